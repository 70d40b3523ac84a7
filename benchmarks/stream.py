"""A client that streams as fast as it can until it is cut; for ``kill``.

    python -m benchmarks.stream

Each line of standard input is ``{"dsn": …, "writes": …}``. It logs in, begins to read rows (or to
send them), and answers ``{"begun": true}`` when much has passed; at the end ``{"last", "over",
"bytes"}``: when the last byte was received (or accepted from it) and when it knew that it was over,
on the machine's monotonic clock. After the login it reads and writes the socket itself, so that no
library keeps bytes back.
"""

import json
import select
import socket
import struct
import sys
import time

import psycopg
from psycopg import pq

_ENOUGH = 200_000
_PIECE = 256 * 1024
_READ = b"SELECT a.id, b.id, c.id, d.id FROM orders a, orders b, orders c, orders d"
_WRITE = b"COPY orders FROM STDIN"
_ROWS = b"".join(struct.pack("!ci", b"d", 4 + 2) + b"7\n" for _ in range(500))


class Stream:
    """One session.

    Attributes:
        last: When something passed.
        passed: Bytes.
    """

    def __init__(self, connection: "psycopg.Connection[object]", *, writes: bool) -> None:
        self.last = 0.0
        self.passed = 0
        self._told = False
        self._writes = writes
        self._socket = socket.socket(fileno=connection.fileno())
        self._send(connection.pgconn, _WRITE if writes else _READ)
        self._socket.settimeout(0)

    def run(self) -> float:
        """Until it is over; when that was."""
        try:
            while self._pass_on():
                if not self._told and self.passed > _ENOUGH:
                    self._told = True
                    _say({"begun": True})
        except OSError:
            pass  # reset: it is over
        over = time.monotonic()
        self._socket.detach()
        if not self._told:
            raise SystemExit(f"it was over after {self.passed} bytes")
        return over

    def _pass_on(self) -> bool:
        writing = [self._socket] if self._writes else []
        readable, writable, _ = select.select([self._socket], writing, [], 30)
        if readable:
            got = self._socket.recv(_PIECE)
            if not got:
                return False
            if not self._writes:
                self._count(len(got))
        if writable:
            self._count(self._socket.send(_ROWS))
        return bool(readable or writable)

    def _count(self, size: int) -> None:
        self.last = time.monotonic()
        self.passed += size

    def _send(self, raw: "pq.abc.PGconn", text: bytes) -> None:
        raw.send_query(text)
        raw.flush()
        if self._writes:
            # CopyInResponse must have come before rows may go.
            select.select([self._socket], [], [], 10)


def main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        connection = psycopg.connect(job["dsn"], autocommit=True)
        stream = Stream(connection, writes=job["writes"])
        over = stream.run()
        connection.close()
        _say({"last": stream.last, "over": over, "bytes": stream.passed})


def _say(told: dict[str, object]) -> None:
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
