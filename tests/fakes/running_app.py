"""The real application over a world in memory, reachable by synchronous clients.

The application runs in an event loop of its own thread, as it would in a process of its own.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import httpx
from litestar import Litestar

from callpoint.adapters.identity.signatures import SignatureAuthenticator
from callpoint.api.app import make_app
from callpoint.api.surface import Surface
from tests.fakes.carrying import Carrying
from tests.fakes.face import Face
from tests.fakes.machine import SERVER
from tests.fakes.nonces import FakeNonceBook
from tests.fakes.world import World, make_world

_T = TypeVar("_T")


class RunningApp(Carrying, httpx.BaseTransport):
    """Carries requests to an ASGI application in another thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="app")
        self._thread.start()
        self._app: httpx.ASGITransport | None = None

    def serve(self, app: Litestar) -> None:
        """Answer with this application from now on."""
        # The application's own errors are answers too, so that a client sees what it would see.
        self._app = httpx.ASGITransport(
            app,  # type: ignore[arg-type]  # litestar names the events that ASGI leaves open
            raise_app_exceptions=False,
        )

    def do(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run something in the application's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    def begin(self, work: Coroutine[Any, Any, _T]) -> "Future[_T]":
        """Run something in the application's loop and go on."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.do(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        assert self._app is not None
        arrived = httpx.Request(
            request.method, request.url, headers=request.headers, content=request.content
        )
        response = await self._app.handle_async_request(arrived)
        content = await response.aread()
        return httpx.Response(response.status_code, headers=response.headers, content=content)

    def close(self) -> None:
        """Nothing: clients come and go, the application stays until ``stop``."""

    def stop(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()


@contextmanager
def running_world(
    make: Callable[[], Coroutine[Any, Any, World]] = make_world,
) -> Iterator[tuple[World, RunningApp]]:
    """A founded world, and the application in front of it."""
    running = RunningApp()
    try:
        world = running.do(make())
        running.serve(make_app(_surface(world)))
        yield world, running
    finally:
        running.stop()


def _surface(world: World) -> Surface:
    """The usual one, reached under the address that the shells use."""
    services = world.services
    authenticator = SignatureAuthenticator(
        lambda: services.rules.last_proven, FakeNonceBook(), services.clock, origins=(SERVER,)
    )
    return replace(Face(world).surface, authenticator=authenticator)
