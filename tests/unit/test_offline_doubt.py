"""Outcomes of which nobody knows whether the authority still has them."""

import asyncio
from types import SimpleNamespace
from typing import Any

import structlog

from callpoint.domain.allowance import Used
from callpoint.gateways.offline.authority import EnduringAuthority, _Reported
from callpoint.ports.authority import Outcome
from tests.fakes.clock import SimulatedClock


async def test_a_line_that_breaks_while_doubts_are_written_adds_to_them():
    """Each outcome in doubt is told again, also one that came into doubt in that moment."""
    clock, gate = SimulatedClock(), asyncio.Event()
    written: list[int] = []

    async def report_late(outcomes):
        taken = list(outcomes)
        await gate.wait()
        written.extend(o.number for _, o in taken)

    async def take(_told):
        return SimpleNamespace(seq=0)

    journal = SimpleNamespace(name="j", waiting=lambda: ())
    keeping: Any = SimpleNamespace(journal=journal, report_late=report_late, sessions=())
    authority: Any = SimpleNamespace(take=take)
    made = EnduringAuthority(authority, keeping, clock, structlog.get_logger())
    made._recent.append(_Reported(clock.monotonic(), "s", Outcome(1, Used())))
    made.line_broke()
    task = asyncio.ensure_future(made._tell_all())
    await asyncio.sleep(0)
    made._recent.append(_Reported(clock.monotonic(), "s", Outcome(2, Used())))
    made.line_broke()
    gate.set()
    await task
    await made._tell_all()
    assert written == [1, 2]
