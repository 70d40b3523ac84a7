"""What carries a gateway's questions, and what its failures mean."""

import asyncio
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec

from callpoint.domain.errors import ConfigError, UnavailableError
from callpoint.domain.problem import error_in
from callpoint.domain.untrusted import printable
from callpoint.domain.untrusted_json import read_json
from callpoint.ports import authority_calls as calls

CONNECT_WITHIN = 2.0
"""Seconds until a server that does not answer at all is passed over."""

ANSWER_WITHIN = 10.0
"""Seconds for an answer: a durable write, behind others."""

_IDLE_FOR = 4.0
"""Seconds that an unused connection is kept: less than the server does (5), or calls would be sent
on connections that it is just closing, and nobody could say whether they arrived."""

_KEPT = 64
_SUCCESS = 2
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
    # The library quotes what it could not read.
    words = printable(str(error)) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in words:
        return UnavailableError(
            f"the certificate of {base} is not trusted here: {words}",
            way_out="name its authority in `certificates` of the gateway's settings",
        )
    return UnavailableError(
        f"the authority does not answer at {base}: {words}",
        way_out="is `callpoint serve` running there, and reachable from here?",
    )


@dataclass(frozen=True)
class Answer:
    """What came back, whole.

    Attributes:
        host: Whom it is from, for people.
        proof: The field that has its MAC; empty when there is none.
    """

    host: str
    status: int
    media_type: str
    proof: str
    body: bytes = field(repr=False)


async def fetched(
    http: httpx.AsyncClient, url: str, body: bytes, headers: dict[str, str]
) -> Answer:
    """Ask, and read what is answered.

    Raises:
        httpx.HTTPError: No answer came, or none that was whole in time, or one without end.
    """
    try:
        async with (
            # httpx counts from one byte to the next, and an answer may drip.
            asyncio.timeout(CONNECT_WITHIN + ANSWER_WITHIN),
            http.stream("POST", url, content=body, headers=headers) as answer,
        ):
            return await whole(answer)
    except TimeoutError as error:
        raise httpx.ReadTimeout("it began to answer, and did not end") from error


async def whole(answer: httpx.Response) -> Answer:
    """All of it, as far as it may go.

    Raises:
        httpx.HTTPError: See ``fetched``.
    """
    if answer.headers.get("content-encoding", "identity") != "identity":
        # It was asked for in clear, and a packed one can grow without bounds.
        raise httpx.RemoteProtocolError("it answered in an encoding that was not asked for")
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > calls.MAX_ANSWER:
            raise httpx.RemoteProtocolError("it answered without end")
    fields = answer.headers
    return Answer(
        answer.url.host,
        answer.status_code,
        fields.get("content-type", ""),
        fields.get(calls.PROOF, ""),
        bytes(body),
    )


def decoded(answer: Answer, kind: type[_T]) -> _T:
    """What a server answered.

    Raises:
        CallpointError: The error that it answered.
        UnavailableError: Something else answered than the authority.
    """
    if answer.status // 100 != _SUCCESS:
        raise error_in(answer.status, answer.media_type, answer.body)
    try:
        return read_json(answer.body, kind)
    except msgspec.DecodeError:
        # Without the cause: it could quote what was answered.
        raise UnavailableError(
            f"{answer.host} answered something else than the authority does",
            way_out="check the address, and that gateway and server have one version",
        ) from None
