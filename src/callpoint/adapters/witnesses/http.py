"""The way to witnesses: HTTP as C2SP tlog-witness says, with short patience."""

import asyncio
from datetime import timedelta
from typing import Final

import httpx

from callpoint.domain.errors import UnavailableError
from callpoint.domain.untrusted import printable
from callpoint.ports.witnesses import Reply

PATIENCE: Final = timedelta(seconds=10)
"""For a whole answer: nothing waits for it, but a dead witness must not pile up passes."""

MOST: Final = 64_000
"""Bytes of an answer that are read: a few signature lines, also post-quantum ones."""


class HttpWitnesses:
    """Implements ``ports.witnesses.Witnesses``.

    Args:
        client: Shared with nothing that keeps secrets in its headers; its owner closes it.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def add_checkpoint(self, url: str, submission: bytes) -> Reply:
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                return await self._post(f"{url}/add-checkpoint", submission)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:  # TimeoutError is an OSError
            # The library quotes what it could not read.
            why = printable(str(error)) or type(error).__name__
            raise UnavailableError(
                f"no answer from {url}: {why}",
                way_out="see that it runs and can be reached from here",
            ) from error

    async def _post(self, url: str, submission: bytes) -> Reply:
        async with self._client.stream(
            "POST",
            url,
            content=submission,
            headers={
                "content-type": "text/plain; charset=utf-8",
                "accept-encoding": "identity",
            },
            follow_redirects=False,
        ) as answer:
            body = b""
            # As it came: what was compressed, and twice, would be large before it can be counted.
            async for part in answer.aiter_raw():
                body += part
                if len(body) > MOST:
                    break
            return Reply(answer.status_code, body[:MOST])
