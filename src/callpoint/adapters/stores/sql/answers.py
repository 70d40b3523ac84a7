"""The way back from a store's thread to the event loops whose callers wait.

``asyncio.wrap_future`` wakes its loop once for each caller, and at every wake-up the loop takes the
interpreter from the thread that has the others still to answer. A batch is answered at once.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from threading import local
from typing import Any

_Pair = tuple["asyncio.Future[Any]", "Future[Any]"]


class Answers:
    """Any thread may answer; ``together`` gathers what the same thread answers meanwhile."""

    def __init__(self) -> None:
        self._held = local()

    def wait(self, answer: "Future[Any]") -> "asyncio.Future[Any]":
        """What the running loop can await; who gives up waiting gives up the work not yet begun."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Any] = loop.create_future()

        def give_up(waiter: "asyncio.Future[Any]") -> None:
            if waiter.cancelled():
                answer.cancel()

        def come(answer: "Future[Any]") -> None:
            held: dict[asyncio.AbstractEventLoop, list[_Pair]] | None
            held = getattr(self._held, "answers", None)
            if held is None:
                _wake(loop, [(waiter, answer)])
            else:
                held.setdefault(loop, []).append((waiter, answer))

        waiter.add_done_callback(give_up)
        answer.add_done_callback(come)
        return waiter

    @contextmanager
    def together(self) -> Iterator[None]:
        """Whatever this thread answers inside reaches its callers at the end."""
        held: dict[asyncio.AbstractEventLoop, list[_Pair]] = {}
        self._held.answers = held
        try:
            yield
        finally:
            self._held.answers = None
            for loop, pairs in held.items():
                _wake(loop, pairs)


def _wake(loop: asyncio.AbstractEventLoop, pairs: list[_Pair]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(_settle, pairs)


def _settle(pairs: list[_Pair]) -> None:
    for waiter, answer in pairs:
        if waiter.done():
            continue
        if answer.cancelled():
            waiter.cancel()
        elif (error := answer.exception()) is not None:
            waiter.set_exception(error)
        else:
            waiter.set_result(answer.result())
