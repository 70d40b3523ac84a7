"""A time-stamping authority over HTTP (RFC 3161, section 3.4); implements ``TimestampAuthority``.

The library (`rfc3161-client`, the extra ``timestamp``) is loaded with the first stamp, so that a
server without it starts, and says what is missing.
"""

from datetime import timedelta
from pathlib import Path

import httpx

from callpoint.audit.verify.timestamp import MAX_RESPONSE, TimestampError, check_timestamp
from callpoint.domain.errors import UnavailableError
from callpoint.domain.untrusted import printable
from callpoint.ports.clock import Clock
from callpoint.ports.timestamps import Stamped

_ANSWER_WITHIN = 15.0
_MOST_SKEW = timedelta(minutes=5)
"""An authority whose clock, or ours, is off by more stamps nothing that anybody could use."""


class Rfc3161Authority:
    """One authority.

    Args:
        url: Where it answers.
        certificates: PEM file: its root, and intermediate certificates that it does not send.
        client: For HTTP; whoever made it closes it.
        clock: To see whether the stated time is believable.
    """

    def __init__(
        self, url: str, certificates: Path, client: httpx.AsyncClient, clock: Clock
    ) -> None:
        self._url = url
        self._certificates = certificates
        self._client = client
        self._clock = clock

    @property
    def name(self) -> str:
        return self._url

    async def stamp(self, message: bytes) -> Stamped:
        query, nonce = _query(message)
        trusted = self._trusted()  # first: without it no answer could be checked
        response = await self._post(query)
        try:
            found = check_timestamp(response, message, trusted, nonce=nonce)
        except TimestampError as error:
            raise self._failed(
                f"gave no time stamp that holds: {error}",
                f"compare {self._certificates} with the authority's certificates",
            ) from error
        off = found.at - self._clock.now()
        if abs(off) > _MOST_SKEW:
            raise self._failed(
                f"states a time that is {off.total_seconds():+.0f} s off ours",
                "set this server's clock right, or take another authority",
            )
        return Stamped(response=response, at=found.at, by=found.by)

    def _trusted(self) -> bytes:
        try:
            return self._certificates.read_bytes()
        except OSError as error:
            raise UnavailableError(
                f"nothing is stamped: the certificates of the time-stamping authority {self._url}"
                f" cannot be read: {self._certificates}: {error.strerror}",
                way_out="put them there as one PEM file that this server's user can read (root, and"
                " intermediate ones), or correct `certificates` under [timestamps] in server.toml"
                " and restart",
            ) from error

    async def _post(self, query: bytes) -> bytes:
        """The answer's body, at most what an answer can have."""
        headers = {
            "content-type": "application/timestamp-query",
            "accept-encoding": "identity",
        }
        try:
            async with self._client.stream(
                "POST", self._url, content=query, headers=headers, timeout=_ANSWER_WITHIN
            ) as answer:
                if not answer.is_success:
                    raise self._failed(f"answered {answer.status_code}", "is the address right?")
                body = b""
                # As it came: what was compressed would be large before it can be counted.
                async for part in answer.aiter_raw():
                    body += part
                    if len(body) > MAX_RESPONSE:
                        raise self._failed("sends more than a time stamp", "is the address right?")
                return body
        except httpx.HTTPError as error:
            words = str(error) or type(error).__name__
            raise self._failed(f"does not answer: {words}", "it is tried again") from error

    def _failed(self, what: str, way_out: str) -> UnavailableError:
        return UnavailableError(
            f"the time-stamping authority {self._url} {printable(what, 500)}", way_out=way_out
        )


def _query(message: bytes) -> tuple[bytes, int | None]:
    """A DER query over the SHA-256 of the message, and its nonce.

    Raises:
        UnavailableError: The library is not installed.
    """
    try:
        import rfc3161_client as tsp  # noqa: PLC0415 -- an extra: see the module
    except ImportError as error:
        raise UnavailableError(
            "checkpoints cannot be stamped: rfc3161-client is not installed",
            way_out="pip install 'callpoint[timestamp]', or remove [timestamps] from server.toml",
        ) from error
    request = tsp.TimestampRequestBuilder(
        data=message, hash_algorithm=tsp.HashAlgorithm.SHA256, nonce=True, cert_req=True
    ).build()
    return request.as_bytes(), request.nonce
