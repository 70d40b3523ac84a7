"""The way back from a store's thread to the event loops whose callers wait.

``asyncio.wrap_future`` wakes its loop once for each caller, and at every wake-up the loop takes the
interpreter from the thread that has the others still to answer. A batch is answered at once.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from threading import local
from typing import Any


class Reply:
    """What a task comes to: given once, and heard by one who was there before it was handed in.

    It is what ``concurrent.futures.Future`` is without lock and condition, which were a fifth of
    what an append costs.

    Attributes:
        is_given: Whether it is answered.
        value: What the task came to.
        error: Why it came to nothing.
        hear: Called when it is answered, on the thread that does it.
    """

    __slots__ = ("_claims", "error", "hear", "is_given", "value")

    def __init__(self) -> None:
        self._claims = [True]
        self.is_given = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.hear: Callable[[Reply], None] | None = None

    def claim(self) -> bool:
        """Begin the task, or take it back: whoever comes first may. Any thread asks."""
        try:
            return self._claims.pop()  # one step, whatever other threads do
        except IndexError:
            return False

    def give(self, value: object) -> None:
        """The task is done."""
        self.value = value
        self._tell()

    def fail(self, error: BaseException) -> None:
        """The task failed."""
        self.error = error
        self._tell()

    def blocking(self) -> "Future[Any]":
        """For a thread that waits; taken before the task is handed in."""
        future: Future[Any] = Future()

        def hear(reply: Reply) -> None:
            if reply.error is not None:
                future.set_exception(reply.error)
            else:
                future.set_result(reply.value)

        self.hear = hear
        return future

    def _tell(self) -> None:
        self.is_given = True
        if self.hear is not None:
            self.hear(self)


_Pair = tuple["asyncio.Future[Any]", Reply]


class Answers:
    """Any thread may answer; ``together`` gathers what the same thread answers meanwhile."""

    def __init__(self) -> None:
        self._held = local()

    def wait(self, reply: Reply) -> "asyncio.Future[Any]":
        """What the running loop can await; taken before the task is handed in."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Any] = loop.create_future()

        def come(reply: Reply) -> None:
            held: dict[asyncio.AbstractEventLoop, list[_Pair]] | None
            held = getattr(self._held, "answers", None)
            if held is None:
                _wake(loop, [(waiter, reply)])
            else:
                held.setdefault(loop, []).append((waiter, reply))

        reply.hear = come
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
    for waiter, reply in pairs:
        if waiter.done():  # it gave up
            continue
        if reply.error is not None:
            waiter.set_exception(reply.error)
        else:
            waiter.set_result(reply.value)
