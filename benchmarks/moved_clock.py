"""A clock that a benchmark moves, because it cannot wait for minutes and hours."""

from datetime import datetime, timedelta

from callpoint.adapters.clock.system import SystemClock


class MovedClock(SystemClock):
    """The machine's, and so much later."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead
