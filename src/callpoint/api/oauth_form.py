"""OAuth's own forms: requests as form fields, refusals as RFC 6749, 5.2 writes them."""

from typing import Any
from urllib.parse import parse_qsl

import msgspec
from litestar import Request, Response
from litestar.openapi.datastructures import ResponseSpec

from callpoint.domain.dpop import INVALID
from callpoint.domain.errors import (
    AuthenticationError,
    CallpointError,
    ConflictError,
    DeniedError,
    RequestError,
    TamperError,
)
from callpoint.domain.token import OAuthError
from callpoint.domain.untrusted import printable

FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 32
_TEXT_LIMIT = 500
_NEVER_KEPT = {"cache-control": "no-store", "pragma": "no-cache"}


class OAuthRefusal(msgspec.Struct, frozen=True):
    """The body of an OAuth error."""

    error: str
    error_description: str


REFUSALS = {
    400: ResponseSpec(
        data_container=OAuthRefusal,
        generate_examples=False,
        description="An error, with any status from 400 on; `error` says which",
    )
}
"""How the token routes document their errors."""


async def read_form(request: Request[Any, Any, Any], known: frozenset[str]) -> dict[str, str]:
    """The fields, each once; an empty one counts as not sent (RFC 6749, 3.2).

    Raises:
        OAuthError: ``invalid_request``: another content type, a field twice, or one unknown.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        raise OAuthError("invalid_request", f"send {FORM}")
    try:
        pairs = parse_qsl(
            (await request.body()).decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError as error:
        raise OAuthError("invalid_request", "the body is no form") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise OAuthError("invalid_request", "a field is sent twice")
    if unknown := sorted(fields.keys() - known):
        raise OAuthError("invalid_request", f"this server does not take {printable(unknown[0])}")
    return {name: value for name, value in fields.items() if value}


def needed(fields: dict[str, str], name: str) -> str:
    """A field, or ``invalid_request``."""
    if name not in fields:
        raise OAuthError("invalid_request", f"{name} is missing")
    return fields[name]


def proof_of(request: Request[Any, Any, Any]) -> str:
    """The one DPoP field, or ``invalid_dpop_proof``."""
    found = request.headers.getall("dpop", [])
    if len(found) != 1:
        raise OAuthError(INVALID, "send one DPoP field (RFC 9449)")
    return str(found[0])


def of_oauth(_: Request[Any, Any, Any], error: OAuthError) -> Response[OAuthRefusal]:
    """A refusal that has OAuth's name already."""
    return refusal(400, error.code, error.message)


def of_ours(request: Request[Any, Any, Any], error: CallpointError) -> Response[Any]:
    """An error of the tree, as the nearest thing that OAuth has a name for."""
    text = str(error)
    match error:
        case AuthenticationError():
            answer = refusal(401, "invalid_client", text)
            answer.headers["www-authenticate"] = 'Signature realm="callpoint"'
            return answer
        case DeniedError():
            return refusal(400, "invalid_grant", " ".join((text, *error.reasons)))
        case RequestError() | ConflictError():
            return refusal(400, "invalid_grant", text)
        case TamperError():
            request.app.state.surface.logger.error("tampering_found", detail=printable(text))
            return refusal(500, "server_error", "evidence does not agree; the log says more")
        case _:
            return refusal(503, "temporarily_unavailable", text)


def unstored(content: object) -> Response[Any]:
    """An answer that no cache keeps."""
    return Response(content, status_code=200, headers=dict(_NEVER_KEPT))


def refusal(status: int, code: str, text: str) -> Response[Any]:
    """An OAuth refusal that no cache keeps."""
    # error_description has printable ASCII only, without quote and backslash.
    plain = printable(text, _TEXT_LIMIT).encode("ascii", "replace").decode()
    return Response(
        OAuthRefusal(code, plain.replace('"', "'").replace("\\", "/")),
        status_code=status,
        headers=dict(_NEVER_KEPT),
    )
