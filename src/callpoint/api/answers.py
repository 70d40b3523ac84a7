"""The one place where errors become HTTP answers."""

from typing import Any, cast

import msgspec
import structlog
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from callpoint.domain.errors import AuthenticationError, CallpointError, TamperError
from callpoint.domain.problem import MEDIA_TYPE, Problem, internal, problem_of, refusal
from callpoint.domain.untrusted import printable

_DETAIL_LIMIT = 500

PROBLEMS = {
    400: ResponseSpec(
        data_container=Problem,
        generate_examples=False,
        description="An error, with any status from 400 on; `type` says which",
        media_type=cast("MediaType", MEDIA_TYPE),
    )
}
"""How every route documents its errors."""
_CHALLENGE = {"www-authenticate": 'Signature realm="callpoint", Bearer realm="callpoint-webhook"'}


class Answers:
    """Exception handlers that log what only the operator should read."""

    def __init__(self, logger: structlog.typing.FilteringBoundLogger) -> None:
        self._logger = logger

    def of_ours(self, request: Request[Any, Any, Any], error: CallpointError) -> Response[bytes]:
        """An error of the tree."""
        problem = problem_of(error)
        if isinstance(error, TamperError) or problem.type == internal().type:
            self._log("tampering_found", request, error)
        headers = _CHALLENGE if isinstance(error, AuthenticationError) else {}
        return _answer(problem, headers)

    def of_the_framework(
        self, request: Request[Any, Any, Any], error: HTTPException
    ) -> Response[bytes]:
        """No such route, no such method, a body that does not fit its type."""
        problem = refusal(error.status_code, _detail(error))
        if problem.type == internal().type:
            self._log("request_failed", request, error)
        return _answer(problem, error.headers or {})

    def of_a_defect(self, request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        """Anything else is ours to repair; the caller learns nothing of it (I14)."""
        self._log("request_failed", request, error)
        return _answer(internal(), {})

    def _log(self, event: str, request: Request[Any, Any, Any], error: Exception) -> None:
        self._logger.error(
            event,
            method=request.method,
            path=printable(request.scope["path"]),
            error=type(error).__name__,
            # A library's message may quote a secret (I14); the logger writes where it happened.
            detail=printable(error.message, _DETAIL_LIMIT)
            if isinstance(error, CallpointError)
            else "",
            exc_info=error,
        )


def _detail(error: HTTPException) -> str:
    """What is wrong with the request; for a wrong body, with which member."""
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        parts = [_part(item) for item in error.extra if isinstance(item, dict)]
        return printable("; ".join(parts) or error.detail, _DETAIL_LIMIT)
    return printable(error.detail, _DETAIL_LIMIT)


def _part(item: dict[str, Any]) -> str:
    place, message = item.get("key", ""), item.get("message", "")
    return f"{place}: {message}" if place and place != "data" else str(message)


def _answer(problem: Problem, headers: dict[str, str]) -> Response[bytes]:
    return Response(
        msgspec.json.encode(problem),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={"cache-control": "no-store", **headers},
    )
