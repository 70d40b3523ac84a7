"""A proxy that ends TLS between a gateway and its server, and does there what a test wants."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.fakes.authority_site import served
from tests.fakes.certificates import write_certificate

_HOP_BY_HOP = (b"connection", b"transfer-encoding", b"content-length", b"host", b"date", b"server")
_PIECE = 1 << 16


@dataclass(frozen=True)
class Asked:
    """A question on its way."""

    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def call(self) -> str:
        """What is asked."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Told:
    """An answer on its way; ``size`` bytes of nonsense follow the body."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    size: int = 0


Forward = Callable[[Asked], Awaitable[Told]]
Hook = Callable[[Asked, Forward], Awaitable[Told]]


def _as_it_is(text: bytes) -> list[bytes]:
    return [text]


@dataclass
class Middle:
    """The proxy. It does nothing to what passes until a test says so.

    Attributes:
        address: For the gateway.
        certificate: Whom the gateway must trust.
        on: What it does with a call, by its name; ``""`` is any other.
        orders: What it makes of a line of the stream of orders.
        is_cut: The stream of orders is refused.
        passed: Every question and answer.
    """

    address: str
    certificate: str
    key: str
    listener: socket.socket
    server: str = ""
    on: dict[str, Hook] = field(default_factory=dict)
    orders: Callable[[bytes], list[bytes]] = _as_it_is
    is_cut: bool = False
    passed: list[tuple[Asked, Told]] = field(default_factory=list)

    def answers(self, call: str) -> list[Told]:
        """To that call, in order."""
        return [told for asked, told in self.passed if asked.call == call]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As an ASGI application."""
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        asked = Asked(scope["path"], scope["headers"], body)
        if asked.call == "cuts" and not self.is_cut:
            await self._stream(asked, receive, send)
            return
        if asked.call == "cuts":
            told = Told(502, [], b"gone")
        else:
            hook = self.on.get(asked.call) or self.on.get("")
            told = await (hook(asked, self._forward) if hook else self._forward(asked))
        await send({"type": "http.response.start", "status": told.status, "headers": told.headers})
        await send({"type": "http.response.body", "body": told.body, "more_body": True})
        for _ in range(told.size // _PIECE):
            await send({"type": "http.response.body", "body": b"x" * _PIECE, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _forward(self, asked: Asked) -> Told:
        answer = await self._http.post(
            self.server + asked.path, content=asked.body, headers=_on(asked.headers)
        )
        told = Told(answer.status_code, _on(answer.headers.raw), answer.content)
        self.passed.append((asked, told))
        return told

    async def _stream(self, asked: Asked, receive: Any, send: Any) -> None:
        async with asyncio.TaskGroup() as group:
            pump = group.create_task(self._pump(asked, send))
            await receive()  # it is over, or who listened has left
            pump.cancel()

    async def _pump(self, asked: Asked, send: Any) -> None:
        async with self._http.stream(
            "GET", self.server + asked.path, headers=_on(asked.headers)
        ) as answer:
            head = {"status": answer.status_code, "headers": _on(answer.headers.raw)}
            await send({"type": "http.response.start", **head})
            async for line in answer.aiter_lines():
                if self.is_cut:
                    break
                for text in self.orders(line.encode()):
                    body = {"body": text + b"\n", "more_body": True}
                    await send({"type": "http.response.body", **body})
        await send({"type": "http.response.body", "body": b""})

    @asynccontextmanager
    async def passing(self, server: str) -> AsyncIterator[None]:
        """Between whoever asks and ``server``."""
        self.server = server
        async with (
            httpx.AsyncClient(timeout=30, trust_env=False) as self._http,
            served(
                self,
                self.listener,
                ssl_certfile=self.certificate,
                ssl_keyfile=self.key,
                timeout_graceful_shutdown=1,
            ),
        ):
            yield


@asynccontextmanager
async def in_the_middle(folder: Path) -> AsyncIterator[Middle]:
    """One that is not passing anything yet, with a certificate for ``localhost``."""
    certificate, key = write_certificate(folder, "localhost")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"https://localhost:{listener.getsockname()[1]}"
        yield Middle(address, certificate, key, listener)


async def hang(_asked: Asked, _forward: Forward) -> Told:
    """Never answers."""
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


def _on(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]
