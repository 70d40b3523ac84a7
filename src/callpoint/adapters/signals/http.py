"""Pushing security event tokens over HTTP (RFC 8935), with short patience."""

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import httpx

from callpoint.domain.errors import UnavailableError
from callpoint.domain.signal_stream import SignalStream
from callpoint.ports.signals import Receipt

PATIENCE: Final = timedelta(seconds=10)
"""For a whole answer: only its own stream waits for a slow receiver."""

MOST: Final = 8_000
"""Bytes of an answer that are read: an error and a sentence."""

_HIDDEN = b"[hidden]"
# Visible ASCII and spaces: anything else, and the HTTP library would say the value in its error.
_FIELD = re.compile(r"[!-~][ -~]{0,4000}")


class HttpReceivers:
    """Implements ``ports.signals.Receivers``.

    Args:
        client: Without secrets of its own in its headers; its owner closes it.
        secret: The value of an environment variable; raises UnavailableError when it is not set.
    """

    def __init__(self, client: httpx.AsyncClient, secret: Callable[[str], str]) -> None:
        self._client = client
        self._secret = secret

    async def push(self, stream: SignalStream, token: str) -> Receipt:
        headers = {
            "content-type": "application/secevent+jwt",
            "accept": "application/json",
            "accept-encoding": "identity",
        }
        authorization = self._authorization(stream)
        if authorization:
            headers["authorization"] = authorization
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                receipt = await self._post(stream.url, token, headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:  # TimeoutError is an OSError
            # Its kind alone: an error of the HTTP library may repeat what was sent.
            raise UnavailableError(
                f"no answer from the receiver {stream.id} ({type(error).__name__})",
                way_out="see that it runs and can be reached from here",
            ) from None
        self._client.cookies.clear()  # a receiver is told, and remembers nothing in us
        return Receipt(receipt.status, _without(receipt.body, authorization))

    def _authorization(self, stream: SignalStream) -> str:
        if not stream.authorization_env:
            return ""
        value = self._secret(stream.authorization_env).strip()
        if not _FIELD.fullmatch(value):
            raise UnavailableError(
                f"the environment variable {stream.authorization_env} holds no Authorization field",
                way_out="set it to the whole value, such as `Bearer TOKEN`, in visible ASCII",
            )
        return value

    async def _post(self, url: str, token: str, headers: dict[str, str]) -> Receipt:
        async with self._client.stream(
            "POST", url, content=token.encode(), headers=headers, follow_redirects=False
        ) as answer:
            body = b""
            # As it came: what was compressed, and twice, would be large before it can be counted.
            async for part in answer.aiter_raw():
                body += part
                if len(body) > MOST:
                    break
            return Receipt(answer.status_code, body[:MOST])


def _without(body: bytes, authorization: str) -> bytes:
    """A receiver's words are shown to people, and it may repeat what it was sent (I14)."""
    for secret in (authorization, authorization.rpartition(" ")[2]):
        if secret:
            body = re.sub(b"".join(map(_spellings, secret)), _HIDDEN, body)
    return body


def _spellings(character: str) -> bytes:
    """A pattern for it as it is, or escaped in one of the ways that JSON allows (RFC 8259, 7)."""
    itself = re.escape(character.encode())
    return rb"(?:%s|\\%s|\\u(?i:%04x))" % (itself, itself, ord(character))
