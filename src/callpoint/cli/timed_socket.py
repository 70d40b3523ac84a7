"""A socket for ``http.client``, every step of which counts against one limit of time.

The library's own limit is for each piece: a server that sends one byte now and then is waited for
without end, and holds whoever asked.
"""

import io
import socket
import time
from collections.abc import Callable
from typing import BinaryIO, TypeVar

_T = TypeVar("_T")


class OvertimeError(Exception):
    """An exchange was not over when its time was."""


class TimedSocket:
    """What ``http.client`` uses of a connected socket.

    Args:
        sock: Owned by this from now on.
        silence: Seconds from one piece to the next; TimeoutError when nothing comes so long.
        within: Seconds for all of an exchange, which ``begin`` starts; then OvertimeError.
    """

    def __init__(self, sock: socket.socket, silence: float, within: float) -> None:
        self._sock = sock
        self._silence = silence
        self._within = within
        self._until = 0.0
        self.begin()

    def begin(self) -> None:
        """The next exchange starts now."""
        self._until = time.monotonic() + self._within

    def sendall(self, content: bytes) -> None:
        """Send all of it."""
        left = memoryview(content)
        while left:  # not the socket's: with TLS each record of it would have the whole time
            left = left[self.in_time(self._sock.send, left) :]

    def makefile(self, mode: str) -> BinaryIO:
        """What is received, to be read; it outlives ``close``."""
        if mode != "rb":
            raise ValueError(f"an answer is read, not opened as {mode}")
        return io.BufferedReader(_Received(self._sock, self))

    def close(self) -> None:
        """Let go of it."""
        self._sock.close()

    def fileno(self) -> int:
        """For ``select``."""
        return self._sock.fileno()

    def in_time(self, step: Callable[[memoryview], _T], part: memoryview) -> _T:
        """Take one step of the socket.

        Raises:
            TimeoutError, OvertimeError: See the class.
        """
        left = self._until - time.monotonic()
        over = OvertimeError(f"it was not over after {self._within:g} s")
        if left <= 0:
            raise over
        self._sock.settimeout(min(left, self._silence))
        try:
            return step(part)
        except TimeoutError:
            if left > self._silence:
                raise
            raise over from None


class _Received(io.RawIOBase):
    """The receiving end."""

    def __init__(self, sock: socket.socket, limit: TimedSocket) -> None:
        super().__init__()
        self._file = sock.makefile("rb", buffering=0)
        self._limit = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]  # as io calls it
        return self._limit.in_time(self._file.readinto, buffer)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
