"""A clock that only a test moves, and random values that a seed repeats."""

import asyncio
import random
import string
from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


class SimulatedClock:
    """Implements ``ports.clock.Clock``; time stands still until ``advance`` or ``jump``.

    Args:
        start: What ``now`` says at first (aware).
        auto: ``sleep`` moves the clock itself instead of waiting, for tests without a driver.
    """

    def __init__(self, start: datetime = START, *, auto: bool = False) -> None:
        self._now = start.astimezone(UTC)
        self._monotonic = 0.0
        self._auto = auto
        self._waiting: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, span: timedelta) -> None:
        if self._auto:
            self.advance(max(span, timedelta(0)))
        due = self._monotonic + span.total_seconds()
        if due > self._monotonic and not self._auto:
            future = asyncio.get_running_loop().create_future()
            entry = (due, future)
            self._waiting.append(entry)
            try:
                await future
            finally:
                if entry in self._waiting:
                    self._waiting.remove(entry)
        await asyncio.sleep(0)

    def advance(self, span: timedelta) -> None:
        """Let time pass. A negative span is a wall clock set back: ``monotonic`` stays."""
        self._now += span
        self._monotonic += max(0.0, span.total_seconds())
        due = [entry for entry in self._waiting if entry[0] <= self._monotonic]
        for entry in due:
            self._waiting.remove(entry)
            if not entry[1].done():
                entry[1].set_result(None)

    def jump(self, span: timedelta) -> None:
        """Set the wall clock forward or back while ``monotonic`` stays (NTP step, restored VM)."""
        self._now += span

    @property
    def sleepers(self) -> int:
        """How many tasks wait in ``sleep`` now."""
        return len(self._waiting)


class SeededRandom:
    """Implements ``ports.clock.Random``; the same seed gives the same values. Never for secrets."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose, tests only

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def ident(self, length: int) -> str:
        alphabet = string.ascii_lowercase + string.digits
        rest = (self._random.choice(alphabet) for _ in range(length - 1))
        return self._random.choice(string.ascii_lowercase) + "".join(rest)

    def fraction(self) -> float:
        return self._random.random()
