"""One side of a connection: bytes in, bytes out, and neither faster than the other side can."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable
from typing import cast

from callpoint.domain.errors import RequestError
from callpoint.gateways.postgres.frames import LOGIN, Inbox

HELD = 256 * 1024
"""Bytes that wait in an inbox before its side is no longer read, beside one message."""

_OUT = 256 * 1024
_AT_ONCE = struct.pack("ii", 1, 0)  # struct linger: on, no seconds
_PIECE = 32 * 1024
"""Bytes that are taken in one turn of the loop. An event loop may read megabytes at once, and one
client that streams would keep everybody else waiting: orders to cut it, for instance."""


class GoneError(Exception):
    """The other end closed the connection, or it was cut."""


class Link(asyncio.Protocol):
    """A connection whose bytes are asked for message by message, or handed on as they come.

    Attributes:
        inbox: What came and was not taken.
        take: Whoever takes the bytes instead of the inbox.
        lost: What is to be done when the connection ends.
        stalled: What is to be done when the other end does not read, and again (False) when it
            does.
        is_gone: It has ended.
    """

    def __init__(self, limits: dict[int, int] = LOGIN) -> None:
        self.inbox = Inbox(limits)
        self.take: Callable[[bytes], None] | None = None
        self.lost: Callable[[], None] = _nothing
        self.stalled: Callable[[bool], None] = _no_matter
        self.is_gone = False
        self.is_full = False
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._is_held = False
        self._is_stopped = False
        self._pieces = b""

    # ---------------------------------------------------------------- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_OUT)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self.take is not None:
            if self._pieces or len(data) > _PIECE:
                is_first = not self._pieces
                self._pieces += data
                if is_first:
                    self._take_piece()
            else:
                self.take(data)
            return
        self.inbox.feed(data)
        if len(self.inbox) > HELD and not self._is_held:
            self._is_held = True
            self._regulate()
        self._wake()

    def pause_writing(self) -> None:
        """More than enough waits to be sent."""
        self.is_full = True
        self.stalled(True)  # noqa: FBT003 -- asyncio has two callbacks

    def resume_writing(self) -> None:
        """It was sent."""
        self.is_full = False
        self.stalled(False)  # noqa: FBT003 -- likewise
        self._wake()

    def eof_received(self) -> bool:
        """The other end will send nothing more: that is its end here."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's
        """It has ended."""
        self.is_gone = True
        self.is_full = False
        if self.take is not None and self._pieces:
            last, self._pieces = self._pieces, b""
            self.take(last)
        self._wake()
        self.lost()

    # ---------------------------------------------------------------- what the gateway calls

    @property
    def transport(self) -> asyncio.Transport:
        """Below.

        Raises:
            GoneError: There is none yet, or no more.
        """
        if self._transport is None:
            raise GoneError
        return self._transport

    @property
    def source(self) -> str:
        """The other end's IP address."""
        name = self.transport.get_extra_info("peername")
        return str(name[0]) if isinstance(name, tuple) else ""

    @property
    def is_drained(self) -> bool:
        """Whether everything that was written has left this process."""
        return not self.is_gone and self.transport.get_write_buffer_size() == 0

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The TLS connection, if it is one."""
        return cast("ssl.SSLObject | None", self.transport.get_extra_info("ssl_object"))

    async def message(self) -> bytes:
        """The next whole message.

        Raises:
            RequestError: What came is none.
            GoneError: Nothing more will come.
        """
        while (found := self.inbox.next()) is None:
            await self.more()
        return found

    async def first(self) -> bytes:
        """The next message without a type, as ``message``; nothing more is read after it."""
        while (found := self.inbox.first()) is None:
            await self.more()
        return found

    async def octet(self) -> int:
        """One byte that must come alone: what follows in the clear is not what TLS would bring.

        Raises:
            RequestError: More than one byte came.
            GoneError: None came.
        """
        while not len(self.inbox):
            await self.more()
        return self.inbox.alone()

    async def more(self) -> None:
        """Wait until something came or could be sent.

        Raises:
            GoneError: The connection has ended.
        """
        if self.is_gone:
            raise GoneError
        self._waiting = asyncio.get_running_loop().create_future()
        if self._is_held:
            self._is_held = False
            self._regulate()
        try:
            await self._waiting
        finally:
            self._waiting = None

    async def writable(self) -> None:
        """Wait until what was written is mostly sent.

        Raises:
            GoneError: The connection has ended.
        """
        while self.is_full:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        if self.is_gone:
            raise GoneError

    def write(self, data: bytes) -> None:
        """Send; a connection that has ended takes everything and sends nothing."""
        if not self.is_gone and data:
            self.transport.write(data)

    async def wrap(self, context: ssl.SSLContext, *, ahead: bytes, name: str | None = None) -> None:
        """Go on in TLS.

        Args:
            context: Of a server, or of a client.
            ahead: What is sent in the clear before it.
            name: Of the server, for a client.

        Raises:
            RequestError: The other end sent something in the clear that would pass for TLS's.
            GoneError: The connection ended, or no TLS came to be.
        """
        below = self.transport
        below.pause_reading()
        if len(self.inbox):
            raise RequestError(
                "bytes came in the clear before TLS began: somebody may have put them there",
                way_out="look for somebody between client and server",
            )
        self.write(ahead)
        loop = asyncio.get_running_loop()
        try:
            made = await loop.start_tls(
                below, self, context, server_side=name is None, server_hostname=name or None
            )
        except (OSError, ssl.SSLError) as error:
            below.abort()
            raise GoneError from error
        if made is None or self.is_gone:
            raise GoneError
        self._transport = made
        made.set_write_buffer_limits(high=_OUT)

    def stop(self, is_stopped: bool) -> None:  # noqa: FBT001 -- as ``stalled``
        """Whoever takes the bytes wants no more for now, or again (False) wants them."""
        self._is_stopped = is_stopped
        self._regulate()

    def close(self) -> None:
        """Send what waits, then end."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End now."""
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """End now, and take back what this machine has not sent yet.

        Without this the system would go on sending what it holds, some megabytes, to a client
        that reads slowly, long after the connection was closed here.
        """
        own = self._transport.get_extra_info("socket") if self._transport is not None else None
        if own is not None:
            # ValueError: the loop has closed it already, and nothing is left to take back.
            with contextlib.suppress(OSError, ValueError):
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.abort()

    def _take_piece(self) -> None:
        """The next one; the rest in later turns of the loop, and nothing is read meanwhile."""
        if self.take is None or not self._pieces:
            return
        piece, self._pieces = self._pieces[:_PIECE], self._pieces[_PIECE:]
        self.take(piece)
        self._regulate()
        if self._pieces:
            asyncio.get_running_loop().call_soon(self._take_piece)

    def _regulate(self) -> None:
        """Read, unless somebody has enough."""
        if self.is_gone:
            return
        if self._is_held or self._is_stopped or self._pieces:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


def _nothing() -> None:
    pass


def _no_matter(_is_stalled: bool) -> None:  # noqa: FBT001 -- asyncio's two callbacks, as one
    pass
