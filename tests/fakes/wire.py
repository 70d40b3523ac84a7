"""A client of PostgreSQL's protocol that sends whatever a test wants, and shows what comes back."""

import asyncio
import base64
import struct
from dataclasses import dataclass
from typing import Self

from callpoint.gateways.postgres import messages, scram
from callpoint.gateways.postgres.frames import HEADER, message
from callpoint.gateways.postgres.startup import startup_body


@dataclass
class Wire:
    """One connection.

    Attributes:
        pid: Of the session, once it is logged in.
        key: Its cancel key.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    pid: int = 0
    key: bytes = b""

    @classmethod
    async def dial(cls, port: int) -> Self:
        """Connected, and nothing said."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @classmethod
    async def session(cls, port: int, secret: str, **parameters: str) -> Self:
        """Logged in as ``conn1``."""
        made = await cls.dial(port)
        made.send(startup_body({"user": "conn1"} | parameters))
        await made.prove(await made.frame(), secret)
        return made

    async def prove(self, asked: bytes, secret: str) -> None:
        """SCRAM, and all that the server says until it is ready.

        Args:
            asked: The server's first message about it.
        """
        assert asked[HEADER:].startswith(struct.pack("!i", 10)), asked
        side = scram.ClientSide(secret, base64.b64encode(b"n" * 18).decode(), "n")
        first = side.first()
        self.send(message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first))
        self.send(message(b"p", side.final((await self.frame())[HEADER + 4 :])))
        side.check((await self.frame())[HEADER + 4 :])
        for frame in await self.until(b"Z"):
            if frame[:1] == b"K":
                self.pid, self.key = struct.unpack_from("!i", frame, HEADER)[0], frame[HEADER + 4 :]

    def send(self, *frames: bytes) -> None:
        """As they are, in one piece."""
        self.writer.write(b"".join(frames))

    async def frame(self) -> bytes:
        """The next message; EOFError when there is none."""
        async with asyncio.timeout(10):
            head = await self.reader.readexactly(HEADER)
            (length,) = struct.unpack_from("!I", head, 1)
            return head + await self.reader.readexactly(length - 4)

    async def until(self, kind: bytes = b"Z") -> list[bytes]:
        """All messages up to the first of that kind."""
        found = [await self.frame()]
        while found[-1][:1] != kind:
            found.append(await self.frame())
        return found

    async def rest(self) -> bytes:
        """Whatever comes until the other end closes."""
        async with asyncio.timeout(10):
            return await self.reader.read(-1)

    def close(self) -> None:
        self.writer.close()


def kinds(frames: list[bytes]) -> str:
    """The types of messages, without what may come at any time."""
    return "".join(frame[:1].decode() for frame in frames if frame[:1] not in b"NS")


def code(frame: bytes) -> str:
    """The SQLSTATE of an ErrorResponse."""
    assert frame[:1] == b"E", frame
    return messages.error_fields(frame)["C"]


def rows(frames: list[bytes]) -> list[tuple[str | None, ...]]:
    """Of all DataRows."""
    return [messages.row(frame) for frame in frames if frame[:1] == b"D"]


def parse(text: str, name: str = "") -> bytes:
    return messages.parse_frame(name, text)


def bind(statement: str = "", portal: str = "") -> bytes:
    names = portal.encode() + b"\0" + statement.encode() + b"\0"
    return message(b"B", names + b"\0\0" * 3)


def execute(portal: str = "", rows: int = 0) -> bytes:
    return message(b"E", portal.encode() + b"\0" + struct.pack("!i", rows))


def describe(kind: str, name: str = "") -> bytes:
    return message(b"D", f"{kind}{name}\0".encode())


def close(kind: str, name: str = "") -> bytes:
    return message(b"C", f"{kind}{name}\0".encode())


def query(text: str) -> bytes:
    return messages.query_frame(text)


SYNC, FLUSH, TERMINATE = messages.SYNC, messages.FLUSH, messages.TERMINATE
__all__ = ["FLUSH", "SYNC", "TERMINATE", "Wire", "message"]
