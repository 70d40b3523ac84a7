"""A gateway without its authority: what it does is on record first, and nothing else is done."""

import asyncio
import threading

import pytest

from callpoint.domain.allowance import Used
from callpoint.domain.errors import UnavailableError
from callpoint.domain.offline import OfflineAllowance
from callpoint.domain.offline_journal import (
    DecidedOffline,
    FinishedOffline,
)
from callpoint.gateways.offline.keeping import NOT_LET_THROUGH
from callpoint.ports.authority import POLL, Deed
from tests.unit.test_guard import passes
from tests.unit.test_offline import DELETE, READ, running


async def test_the_record_names_each_operation_once_and_all_of_them():
    """However often a statement names one: what else it does is not pushed out of the record."""
    async with running(offline=OfflineAllowance(destructive=1)) as made:
        session = (await made.admit()).opened.session
        for deed in (READ, DELETE):
            await made.enduring.decide(session, deed)
        await passes(made.clock, POLL)
        await made.loses()
        both = Deed((*READ.operations * 70, *DELETE.operations))
        answers = [await made.enduring.decide(session, both) for _ in range(2)]
        assert [answer.allowed for answer in answers] == [True, False]
        entry = made.journal.entries[-2].entry
        assert isinstance(entry, DecidedOffline)
        assert set(entry.operations) == {*READ.operations, *DELETE.operations}


async def test_what_cannot_be_put_on_record_is_not_done():
    """With a full disk nothing passes and nothing is spent; with room again it does."""
    async with running(offline=OfflineAllowance(actions=1)) as made:
        session = (await made.admit()).opened.session
        await made.enduring.decide(session, READ)
        await passes(made.clock, POLL)
        await made.loses()
        made.journal.is_broken = True
        with pytest.raises(UnavailableError, match="disk is full"):
            await made.enduring.decide(session, READ)
        made.journal.is_broken = False
        assert (await made.enduring.decide(session, READ)).allowed


async def test_a_decision_that_comes_too_late_is_taken_back(monkeypatch):
    """The disk was slower than the grant: the record says that nothing was let through."""
    async with running() as made:
        session = (await made.admit()).opened.session
        await made.enduring.decide(session, READ)
        await passes(made.clock, POLL)
        await made.loses()
        true = made.journal.append

        def slow(entries):
            true(entries)
            made.keeping.withdraw(session)

        monkeypatch.setattr(made.journal, "append", slow)
        with pytest.raises(UnavailableError, match="meanwhile"):
            await made.enduring.decide(session, READ)
        last = made.journal.entries[-1].entry
        assert isinstance(last, FinishedOffline)
        assert (last.code, last.used) == (NOT_LET_THROUGH, Used())


async def test_what_was_cancelled_while_it_was_written_stays_spent(monkeypatch):
    """The client left, but the record may be on the disk: it counts, and so does its number."""
    async with running(offline=OfflineAllowance(actions=1)) as made:
        session = (await made.admit()).opened.session
        await made.enduring.decide(session, READ)
        await passes(made.clock, POLL)
        await made.loses()
        is_open, true = threading.Event(), made.journal.append

        def slow(entries):
            is_open.wait(5)
            true(entries)

        monkeypatch.setattr(made.journal, "append", slow)
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(made.enduring.decide(session, READ))
            await asyncio.sleep(0.02)
            asked.cancel()
            is_open.set()
        assert asked.cancelled()
        again = await made.enduring.decide(session, READ)
        assert (again.allowed, again.number) == (False, -2)
