"""The push that ends live sessions: from whoever ends something to every gateway, at once (I13).

An order goes to every gateway that listens on this process, and, by the store's signals, to those
on other processes; each gateway knows which sessions it has. It is a push and can be lost: each
gateway also asks how its sessions stand, every two seconds (``ports.authority.POLL``).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from threading import Lock

import msgspec

from callpoint.domain.untrusted_json import read_json
from callpoint.ports.authority import POLL, Cut
from callpoint.ports.stores import Transaction

_HEARTBEAT = POLL.total_seconds() / 2
_KIND = "cut:"
_MOVED = "moved:"
_WAITING = 1_000
"""Orders that may wait for a slow listener; with more its line ends, and it asks instead."""


class _End:
    """After it a line says nothing more."""


class LiveSessions:
    """The gateways that listen on this process. Any thread may call ``cut`` and ``hear``.

    Attributes:
        orders: Moves with every order, and with every word that a session is stopped: whoever
            answers from memory, and not from the store, compares it first.
    """

    def __init__(self) -> None:
        self.orders = 0
        self._lines: set[_Line] = set()
        self._lock = Lock()
        self._is_closed = False

    def cut(self, order: Cut) -> None:
        """End what it covers on every gateway that listens here. Never waits, never raises."""
        with self._lock:
            self.orders += 1
            lines = tuple(self._lines)
        for line in lines:
            line.put(order)

    def hear(self, signal: str) -> None:
        """A signal of the store, also from another process; what is no order is for others."""
        if signal == _MOVED:
            with self._lock:
                self.orders += 1
        if not signal.startswith(_KIND):
            return
        # Whoever uses the database may have said it. All that nonsense could do is cut.
        with suppress(msgspec.DecodeError):
            self.cut(read_json(signal.removeprefix(_KIND), Cut))

    def close(self) -> None:
        """No more orders: every line ends. The process stops, and nobody must wait for it."""
        with self._lock:
            self._is_closed = True
            lines = tuple(self._lines)
        for line in lines:
            line.put(_End())

    async def cuts(self) -> AsyncIterator[Cut | None]:
        """Orders from now on, as they come; None when there was none for a moment.

        It ends for a listener that is too slow for them, and when the process stops.
        """
        line = _Line(asyncio.get_running_loop())
        with self._lock:
            if self._is_closed:
                return
            self._lines.add(line)
        try:
            yield None  # whoever waits for it knows that from here on nothing is missed
            while not isinstance(heard := await line.get(), _End):
                yield heard
        finally:
            with self._lock:
                self._lines.discard(line)


class _Line:
    """One listener, on its own event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._orders: asyncio.Queue[Cut | _End] = asyncio.Queue()
        self._is_over = False

    def put(self, order: Cut | _End) -> None:
        """From any thread; on the listener's own loop without a turn of it in between."""
        with suppress(RuntimeError):  # there is no loop on this thread
            if asyncio.get_running_loop() is self._loop:
                self._accept(order)
                return
        with suppress(RuntimeError):  # its loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._accept, order)

    def _accept(self, order: Cut | _End) -> None:
        if self._is_over:
            return
        if isinstance(order, _End) or self._orders.qsize() >= _WAITING:
            # An order that was left out must not look like one that was never given.
            self._is_over = True
            order = _End()
        self._orders.put_nowait(order)

    async def get(self) -> Cut | _End | None:
        """The next order, None after a while without one, and at last the end."""
        try:
            async with asyncio.timeout(_HEARTBEAT):
                return await self._orders.get()
        except TimeoutError:
            return None


def moved(tx: Transaction) -> None:
    """Nothing is cut, but what any process remembers of sessions is to be looked up again."""
    tx.signal(_MOVED)


def signal(tx: Transaction, order: Cut) -> None:
    """Cut everywhere, once the transaction is committed."""
    tx.signal(_KIND + msgspec.json.encode(order).decode())
