"""Calls that fail on demand: refused, not done, or done but unanswered."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from callpoint.domain.errors import TargetRefusedError, TargetUnknownError


class Fault(StrEnum):
    """How a call fails.

    ``refused``: the target answers no. ``not done``: no answer, nothing done.
    ``done but unanswered``: no answer, done.
    """

    REFUSED = "refused"
    NOT_DONE = "not done"
    UNANSWERED = "done but unanswered"


@dataclass
class _Planned:
    how: Fault
    times: int
    after: int


class Faults:
    """What is planned to fail, by method."""

    def __init__(self) -> None:
        self._planned: dict[str, list[_Planned]] = {}

    def plan(self, method: str, how: Fault, times: int, after: int) -> None:
        """Fail the next ``times`` calls, once ``after`` calls succeeded."""
        self._planned.setdefault(method, []).append(_Planned(how, times, after))

    @contextmanager
    def guard(self, method: str, target: str) -> Iterator[None]:
        """The body is the act: skipped when not done, followed by silence when unanswered."""
        fault = self._due(method)
        if fault is Fault.REFUSED:
            raise TargetRefusedError(f"{method} refused", target=target, code="XX000")
        if fault is Fault.NOT_DONE:
            raise TargetUnknownError(f"{method} was not answered", target=target)
        yield
        if fault is Fault.UNANSWERED:
            raise TargetUnknownError(f"{method} was not answered", target=target)

    def _due(self, method: str) -> Fault | None:
        for planned in self._planned.get(method, []):
            if planned.after > 0:
                planned.after -= 1
                return None
            if planned.times > 0:
                planned.times -= 1
                return planned.how
        return None
