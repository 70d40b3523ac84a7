"""The machine's own clock and its random source."""

import asyncio
import os
import secrets
import string
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Lock

_LETTERS = string.ascii_lowercase
_ALPHABET = string.ascii_lowercase + string.digits
_FRACTION_BITS = 53
_SALT, _SALTS = 16, 256


class SystemClock:
    """Implements ``ports.clock.Clock`` with the operating system's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, span: timedelta) -> None:
        await asyncio.sleep(max(0.0, span.total_seconds()))


class SystemRandom:
    """Implements ``ports.clock.Random`` with the operating system's generator.

    Salts and nonces come out of a stock. Each call of the generator lets other threads have the
    interpreter, and a gateway needs two salts for each statement.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._stock: Iterator[bytes] = iter(())
        self._owner = 0

    def token(self, size: int) -> bytes:
        return self._salt() if size == _SALT else secrets.token_bytes(size)

    def _salt(self) -> bytes:
        with self._lock:
            salt = next(self._stock, None)
            if salt is None or self._owner != os.getpid():  # a fork has the same stock
                some = secrets.token_bytes(_SALT * _SALTS)
                self._owner = os.getpid()
                self._stock = (some[at : at + _SALT] for at in range(0, len(some), _SALT))
                salt = next(self._stock)
        return salt

    def ident(self, length: int) -> str:
        if length < 1:
            raise ValueError("an identifier has at least one character")
        # One number for all characters, each as likely as any: the generator is asked once.
        rest, first = divmod(
            secrets.randbelow(len(_LETTERS) * len(_ALPHABET) ** (length - 1)), len(_LETTERS)
        )
        found = [_LETTERS[first]]
        for _ in range(length - 1):
            rest, digit = divmod(rest, len(_ALPHABET))
            found.append(_ALPHABET[digit])
        return "".join(found)

    def fraction(self) -> float:
        # 53 bits are all that a float in [0, 1) can hold.
        return secrets.randbits(_FRACTION_BITS) / (1 << _FRACTION_BITS)
