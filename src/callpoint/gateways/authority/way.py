"""What carries a gateway's questions, and what its failures mean."""

import ssl
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec

from callpoint.domain.errors import ConfigError, UnavailableError
from callpoint.domain.problem import error_in

CONNECT_WITHIN = 2.0
"""Seconds until a server that does not answer at all is passed over."""

ANSWER_WITHIN = 10.0
"""Seconds for an answer: a durable write, behind others."""

_IDLE_FOR = 4.0
"""Seconds that an unused connection is kept: less than the server does (5), or calls would be sent
on connections that it is just closing, and nobody could say whether they arrived."""

_KEPT = 64
_T = TypeVar("_T")


def carrier(certificates: Path | None = None) -> httpx.AsyncClient:
    """The client that carries the questions.

    Args:
        certificates: PEM, of whom to trust; None: whom this machine trusts.

    Raises:
        ConfigError: The certificates cannot be read.
    """
    try:
        trusted = ssl.create_default_context(cafile=certificates and str(certificates))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificates cannot be used: {error.strerror or error}", file=str(certificates)
        ) from error
    return httpx.AsyncClient(
        verify=trusted,
        timeout=httpx.Timeout(ANSWER_WITHIN, connect=CONNECT_WITHIN),
        limits=httpx.Limits(
            max_connections=None, max_keepalive_connections=_KEPT, keepalive_expiry=_IDLE_FOR
        ),
        follow_redirects=False,
        # A proxy from the environment would see, and could hold back, a kill.
        trust_env=False,
    )


def silent(base: str, error: httpx.HTTPError) -> UnavailableError:
    """Nobody can say now."""
    words = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in words:
        return UnavailableError(
            f"the certificate of {base} is not trusted here: {words}",
            way_out="name its authority in `certificates` of the gateway's settings",
        )
    return UnavailableError(
        f"the authority does not answer at {base}: {words}",
        way_out="is `callpoint serve` running there, and reachable from here?",
    )


def decoded(answer: httpx.Response, kind: type[_T]) -> _T:
    """What a server answered.

    Raises:
        CallpointError: The error that it answered.
        UnavailableError: Something else answered than the authority.
    """
    if not answer.is_success:
        media_type = answer.headers.get("content-type", "")
        raise error_in(answer.status_code, media_type, answer.content)
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.DecodeError:
        # Without the cause: it could quote what was answered.
        raise UnavailableError(
            f"{answer.url.host} answered something else than the authority does",
            way_out="check the address, and that gateway and server have one version",
        ) from None
