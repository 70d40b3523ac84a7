"""Time, identifiers and randomness come from here, so that expiry and ids can be tested."""

from datetime import datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """The node's clock. Decisions that give something use the *store's* clock instead (I4)."""

    def now(self) -> datetime:
        """Aware, UTC, microseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for deadlines inside one process."""
        ...

    async def sleep(self, span: timedelta) -> None:
        """Wait; a simulated clock returns as soon as it has been advanced far enough."""
        ...


class Random(Protocol):
    """Unpredictable values."""

    def token(self, size: int) -> bytes:
        """``size`` bytes fit for keys, salts and nonces."""
        ...

    def ident(self, length: int) -> str:
        """``length`` characters of ``[a-z0-9]``, unpredictable, first one a letter."""
        ...

    def fraction(self) -> float:
        """Uniform in [0, 1), for jitter only."""
        ...
