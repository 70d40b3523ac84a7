"""What went wrong between here and the server, in words and with the right exit code.

An error of the server becomes the same error here.
"""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from callpoint.cli.transport import Answer, UnreachedError
from callpoint.domain.errors import AuthenticationError, CallpointError, UnavailableError
from callpoint.domain.problem import error_in

_AHEAD, _BEHIND = timedelta(seconds=4), timedelta(seconds=-55)
"""A signature is refused from 5 s ahead and 60 s behind; a Date header is cut to the second."""


def error_of(answer: Answer, now: datetime) -> CallpointError:
    """The error that an answer with a failing status stands for.

    A refused signature is mostly a wrong clock, so it says by how much ``now`` differs from the
    server's.
    """
    error = error_in(answer.status, answer.headers.get("content-type", ""), answer.content)
    if isinstance(error, AuthenticationError):
        return _with_skew(error, _skew(answer.headers.get("date", ""), now))
    return error


def unreachable(server: str, error: UnreachedError) -> UnavailableError:
    """Nobody answered, so nothing was done."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return UnavailableError(
            f"the certificate of {server} is not trusted here: {error}",
            way_out="check the address; a private authority is named with SSL_CERT_FILE",
        )
    return UnavailableError(
        f"no server answers at {server}: {error}",
        way_out="is `callpoint serve` running there? Another address is named with --server URL or"
        " CALLPOINT_SERVER",
    )


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
