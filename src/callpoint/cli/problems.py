"""What went wrong between here and the server, in words and with the right exit code.

An error of the server becomes the same error here.
"""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
import msgspec

from callpoint.api.messages import Problem
from callpoint.api.problem import MEDIA_TYPE, URN
from callpoint.api.problem import error_of as rebuilt
from callpoint.domain.errors import (
    AuthenticationError,
    CallpointError,
    DeniedError,
    NotFoundError,
    RequestError,
    UnavailableError,
)

_AHEAD, _BEHIND = timedelta(seconds=4), timedelta(seconds=-55)
"""A signature is refused from 5 s ahead and 60 s behind; a Date header is cut to the second."""

_SERVER_FAILED = 500
_BY_STATUS: dict[int, type[CallpointError]] = {
    401: AuthenticationError,
    403: DeniedError,
    404: NotFoundError,
}


def error_of(response: httpx.Response, now: datetime) -> CallpointError:
    """The error that an answer with a failing status stands for.

    An answer that is no problem of ours (a proxy's page) is judged by its status. A refused
    signature is mostly a wrong clock, so it says by how much ``now`` differs from the server's.
    """
    problem = _parse(response)
    error = rebuilt(problem) if problem is not None else _by_status(response.status_code)
    if isinstance(error, AuthenticationError):
        return _with_skew(error, _skew(response.headers.get("date", ""), now))
    return error


def unreachable(server: str, error: httpx.TransportError) -> UnavailableError:
    """Nobody answered, so nothing was done."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return UnavailableError(
            f"the certificate of {server} is not trusted here: {error}",
            way_out="check the address; a private authority is named with SSL_CERT_FILE",
        )
    return UnavailableError(
        f"no server answers at {server}: {str(error) or 'timed out'}",
        way_out="is `callpoint serve` running there? Another address is named with --server URL or"
        " CALLPOINT_SERVER",
    )


def _by_status(status: int) -> CallpointError:
    words = f"the server answered {status} without saying why"
    if status >= _SERVER_FAILED:
        return UnavailableError(words, way_out="try again; then look at the server's log")
    kind = _BY_STATUS.get(status, RequestError)
    return kind(words, way_out="check the address: does a proxy, or another program, answer there?")


def _with_skew(error: AuthenticationError, skew: timedelta | None) -> AuthenticationError:
    if skew is None or _BEHIND <= skew <= _AHEAD:
        return error
    direction = "ahead of" if skew > timedelta(0) else "behind"
    seconds = abs(round(skew.total_seconds()))
    return AuthenticationError(
        f"{error.message}; this machine's clock is {seconds} s {direction} the server's",
        way_out="set the clock (`timedatectl`, chrony) and try again",
    )


def _skew(date: str, now: datetime) -> timedelta | None:
    """Our clock minus the server's, None when it does not say."""
    try:
        said = parsedate_to_datetime(date)
    except ValueError:
        return None
    return now - (said if said.tzinfo else said.replace(tzinfo=UTC))


def _parse(response: httpx.Response) -> Problem | None:
    if not response.headers.get("content-type", "").startswith(MEDIA_TYPE):
        return None
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except msgspec.DecodeError:
        return None
    return problem if problem.type.startswith(URN) else None
