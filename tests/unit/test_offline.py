"""A gateway that lost its authority goes on within its grants, on record first, and tells all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import structlog

from callpoint.adapters.tokens.jose import JoseGrantReader, JoseGrants
from callpoint.domain.allowance import Used
from callpoint.domain.errors import StoreUnavailableError, UnavailableError
from callpoint.domain.offline import RENEWED, OfflineAllowance, OnLoss
from callpoint.domain.offline_journal import (
    DecidedOffline,
    FinishedOffline,
    GrantUsed,
    LeftOffline,
    ReportedLate,
)
from callpoint.domain.operation import Operation
from callpoint.gateways.guard import EXPIRED, LOST, Admission, Guard
from callpoint.gateways.offline import EnduringAuthority, Keeping, OfflineKit
from callpoint.ports.authority import LOSS, POLL, Arrival, Deed, Outcome, Reach
from callpoint.ports.credential import Credential
from tests.fakes.authority import GRANTS, FakeAuthority
from tests.fakes.clock import SimulatedClock
from tests.fakes.keys import Signer
from tests.fakes.offline import MemoryJournal
from tests.unit.test_guard import passes, settled

READ = Deed((Operation("sql:select", "public.items"),), "SELECT 1")
OTHER = Deed((Operation("sql:select", "public.people"),))
DELETE = Deed((Operation("sql:delete", "public.items"),))
SPAN = timedelta(minutes=2)


class Clocked(FakeAuthority):
    """By the test's clock."""

    clock: SimulatedClock

    def grant(self, opened, journal):
        made = super().grant(opened, journal)
        at = int(self.clock.now().timestamp())
        return msgspec.structs.replace(made, iat=at, exp=at + int(self.offline_for.total_seconds()))

    async def open_session(self, arrival):
        made = await super().open_session(arrival)
        made = msgspec.structs.replace(made, not_after=self.clock.now() + timedelta(hours=1))
        self.open[made.session] = made
        return made

    async def end_session(self, session, reason):
        if self.is_silent:
            raise StoreUnavailableError("silent")
        await super().end_session(session, reason)


@dataclass
class Gateway:
    """One gateway's parts."""

    clock: SimulatedClock
    authority: Clocked
    journal: MemoryJournal
    keeping: Keeping
    enduring: EnduringAuthority
    guard: Guard

    async def admit(self) -> Admission:
        """A session, with its grant."""
        admission = await self.guard.admit(Arrival("conn1", "192.0.2.7", "front"))
        await settled()
        return admission

    async def loses(self) -> None:
        """The authority says nothing any more, and that is known."""
        self.authority.is_silent = True
        await passes(self.clock, LOSS + POLL)

    async def comes_back(self) -> None:
        self.authority.is_silent = False
        await passes(self.clock, POLL)

    def written(self) -> list[str]:
        return [type(one.entry).__name__ for one in self.journal.entries]


@asynccontextmanager
async def running(**changes: Any) -> AsyncIterator[Gateway]:
    clock, journal, logger = SimulatedClock(), MemoryJournal(), structlog.get_logger()
    given: dict[str, Any] = {"on_loss": OnLoss.OFFLINE, "offline_for": SPAN} | changes
    authority = Clocked(Credential("user", "secret"), **given)
    authority.clock = clock
    keeping = Keeping(OfflineKit(journal, JoseGrantReader), "front", clock)
    enduring = EnduringAuthority(authority, keeping, clock, logger)
    guard = Guard(enduring, clock, logger, offline=enduring)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(guard.run(stop))
        await settled()
        try:
            yield Gateway(clock, authority, journal, keeping, enduring, guard)
        finally:
            stop.set()


async def journaled(made: Gateway) -> None:
    """A journal is written beside the loop, so time must not run away meanwhile."""
    await asyncio.sleep(0.02)
    await settled()


async def test_after_the_loss_only_what_was_allowed_before_goes_on():
    """The authority's own yes, once more; what it refused or never saw is refused, on record."""
    async with running() as made:
        one = await made.admit()
        session = one.opened.session
        made.authority.deny("sql:delete")
        for deed in (READ, DELETE):
            await made.enduring.decide(session, deed)
        await passes(made.clock, POLL)
        await made.loses()
        assert one.cut_for == ""
        answers = [await made.enduring.decide(session, deed) for deed in (READ, OTHER, DELETE)]
        assert [(v.allowed, v.number) for v in answers] == [(True, -1), (False, -2), (False, -3)]
        assert "before the authority fell silent" in answers[1].reasons[0]
        assert made.written() == ["GrantUsed"] + ["DecidedOffline"] * 3
        assert len(made.authority.deeds) == 2
        with pytest.raises(UnavailableError):
            await made.admit()


async def test_without_a_grant_a_loss_cuts():
    """A session whose eligibility says nothing, or whose grant is another's, is cut as ever."""
    async with running(on_loss=OnLoss.CUT) as made:
        one = await made.admit()
        await made.loses()
        assert (one.cut_for, made.written()) == (LOST, [])
    async with running() as made:
        one = await made.admit()
        forged = JoseGrants(Signer("mallory"))
        token = forged.sign(made.authority.grant(one.opened, made.journal.name))
        with pytest.raises(Exception, match="no offline grant"):
            made.keeping.accept(one.opened.session, token, GRANTS.keys)
        made.authority.is_silent = True
        await made.loses()
        assert one.cut_for == LOST


@pytest.mark.parametrize(
    "changes",
    [
        {"session": "s9"},
        {"journal": "journal2"},
        {"aud": "urn:callpoint:inst01:gateway:back"},
        {"activation": "act-2"},
        {"principal": "mallory"},
        {"target": "other-db"},
        {"exp": 1},
        {"exp": 1 << 33},
    ],
)
async def test_a_grant_that_is_not_for_this_session_here_and_now_is_none(changes):
    """Whatever it names otherwise, although the authority signed it, it lets nothing go on."""
    async with running() as made:
        one = await made.admit()
        session = one.opened.session
        assert made.keeping.stands(session)
        said = made.authority.grant(one.opened, made.journal.name)
        token = GRANTS.sign(msgspec.structs.replace(said, **changes))
        with pytest.raises(Exception, match="here and now"):
            made.keeping.accept(session, token, GRANTS.keys)
        assert not made.keeping.stands(session)


async def test_the_grant_ends_by_a_clock_that_cannot_be_set_back():
    """When its time is over the session is cut, whatever somebody does to the gateway's clock."""
    async with running() as made:
        one = await made.admit()
        await made.enduring.decide(one.opened.session, READ)
        await passes(made.clock, POLL)
        await made.loses()
        made.clock.jump(-SPAN)
        assert (await made.enduring.decide(one.opened.session, READ)).allowed
        await passes(made.clock, SPAN)
        assert one.cut_for == LOST
        with pytest.raises(UnavailableError):
            await made.enduring.decide(one.opened.session, READ)


async def test_the_span_counts_from_the_last_answer():
    """While the authority answers grants are renewed, so a late loss has the whole span left."""
    async with running() as made:
        one = await made.admit()
        await passes(made.clock, SPAN + RENEWED)
        await made.loses()
        await passes(made.clock, SPAN - LOSS - RENEWED - 3 * POLL)
        assert one.cut_for == ""
        await passes(made.clock, LOSS + RENEWED)
        assert one.cut_for == LOST


async def test_what_the_authority_refused_last_is_not_done_without_it():
    """Its no, or a pause, is newer than the grant: that ends with it, until there is a new one."""
    async with running() as made:
        one = await made.admit()
        session = one.opened.session
        for deed in (READ, OTHER):
            await made.enduring.decide(session, deed)
        await passes(made.clock, POLL)
        made.authority.deny("sql:delete")
        await made.enduring.decide(session, DELETE)
        assert made.keeping.stands(session)
        made.authority.deny("sql:select public.items")
        await made.enduring.decide(session, READ)
        assert not made.keeping.stands(session)
        await passes(made.clock, POLL)
        assert made.keeping.stands(session)
        made.authority.is_paused = True
        made.authority.allows = lambda _verb, _object: True
        await made.enduring.decide(session, OTHER)
        assert not made.keeping.stands(session)
        await made.loses()
        assert one.cut_for == LOST


async def test_two_sessions_share_one_allowance():
    """Of an activation's actions exactly as many pass as are left, whoever asks at once."""
    async with running(offline=OfflineAllowance(actions=5)) as made:
        sessions = [(await made.admit()).opened.session for _ in range(2)]
        for session in sessions:
            await made.enduring.decide(session, READ)
        await passes(made.clock, POLL)
        await made.loses()
        asked = [made.enduring.decide(sessions[n % 2], READ) for n in range(12)]
        answers = await asyncio.gather(*asked)
        assert sum(answer.allowed for answer in answers) == 5
        assert "5 actions" in answers[-1].reasons[0]


async def test_rows_are_given_in_portions_and_come_back():
    """No action gets more than is left; what one did not use another may."""
    async with running(offline=OfflineAllowance(rows=40)) as made:
        session = (await made.admit()).opened.session
        await made.enduring.decide(session, READ)
        await passes(made.clock, POLL)
        await made.loses()
        first = await made.enduring.decide(session, READ)
        second = await made.enduring.decide(session, READ)
        assert (first.portion.rows, second.portion.rows) == (20, 16)
        more = await made.enduring.draw(session, first.number, Used(20))
        none = await made.enduring.draw(session, first.number, Used(24))
        assert (more.rows, none.rows) == (4, 0)
        await made.enduring.report(session, Outcome(second.number, Used(rows=1)))
        assert (await made.enduring.draw(session, first.number, Used(24))).rows == 15


async def test_the_last_outcomes_are_told_again_after_a_line_that_broke():
    """Who took them may be gone, and had not written them; older ones are. The grant holds on."""
    async with running() as made:
        session = (await made.admit()).opened.session
        for used in (1, 2):
            number = (await made.enduring.decide(session, READ)).number
            await made.enduring.report(session, Outcome(number, Used(rows=used)))
            await passes(made.clock, 3 * POLL)
        number = (await made.enduring.decide(session, READ)).number
        await made.enduring.report(session, Outcome(number, Used(rows=3)))
        made.authority.is_silent = True
        made.authority.drop_lines()
        await passes(made.clock, POLL)
        assert made.keeping.stands(session)
        await made.comes_back()
        await journaled(made)
        (told,) = [one.entry for one in made.authority.told]
        assert isinstance(told, ReportedLate)
        assert told.number == 3
        assert made.keeping.stands(session)
        await passes(made.clock, 2 * POLL)
        assert len(made.authority.told) == 1


async def test_when_the_authority_is_back_it_is_told_all_before_new_grants():
    """Decisions, outcomes, also late ones, and goodbyes, each once; then the authority decides."""
    async with running() as made:
        one, two = await made.admit(), await made.admit()
        session = one.opened.session
        before = await made.enduring.decide(session, READ)
        await passes(made.clock, POLL)
        await made.loses()
        alone = await made.enduring.decide(session, READ)
        await made.enduring.report(session, Outcome(alone.number, Used(rows=3), "", POLL))
        await made.enduring.report(session, Outcome(before.number, Used(rows=1)))
        await made.guard.leave(two, "closed")
        await made.comes_back()
        await journaled(made)
        kinds = [type(one.entry) for one in made.authority.told]
        assert kinds == [GrantUsed, DecidedOffline, FinishedOffline, ReportedLate, LeftOffline]
        assert not made.journal.waiting()
        assert (await made.enduring.decide(session, READ)).number > 0
        await passes(made.clock, POLL)
        assert (one.cut_for, made.keeping.stands(session)) == ("", True)
        assert len(made.authority.told) == 5


async def test_who_was_killed_meanwhile_is_cut_by_the_first_answer():
    """The kill could not be heard; once the authority answers, nothing more is let through."""
    async with running() as made:
        one = await made.admit()
        await made.enduring.decide(one.opened.session, READ)
        await passes(made.clock, POLL)
        await made.loses()
        made.authority.open.clear()
        assert (await made.enduring.decide(one.opened.session, READ)).allowed
        await made.comes_back()
        await journaled(made)
        assert one.cut_for == "over"
        assert [type(one.entry) for one in made.authority.told] == [GrantUsed, DecidedOffline]


async def test_an_order_that_is_heard_cuts_at_once_although_nobody_answers():
    """The line and the answers are two things: a kill from a node without its store still cuts."""
    async with running() as made:
        one = await made.admit()
        await made.loses()
        made.authority.kill(Reach.PRINCIPAL, "alice")
        await settled()
        assert one.cut_for == "killed"


async def test_the_end_of_the_session_is_the_end_whatever_is_granted():
    """``not_after`` cuts during a loss, too."""
    async with running(offline_for=timedelta(minutes=15)) as made:
        one = await made.admit()
        await made.loses()
        made.clock.jump(timedelta(hours=1))
        await passes(made.clock, POLL)
        assert one.cut_for == EXPIRED
