"""Attacks on a journal: what a gateway tells that it did without its authority (I13)."""

from datetime import timedelta

import msgspec
import pytest

from callpoint.domain import canonical
from callpoint.domain import event as ev
from callpoint.domain.allowance import Allowance, Portion, Used
from callpoint.domain.errors import RequestError, UnavailableError
from callpoint.domain.offline_journal import (
    Chained,
    FinishedOffline,
    GrantUsed,
    ReportedLate,
    Told,
    chained,
)
from callpoint.domain.offline_record import Debt, OfflineDebt
from callpoint.domain.spending import Spending
from callpoint.lifecycle.authority import GatewayAuthority
from tests.attack.test_gateway_offline import JOURNAL, SECOND, scene
from tests.fakes.authority import GRANTS
from tests.fakes.behind import GATEWAY
from tests.unit.test_authority import READ, told


async def test_a_journal_that_comes_after_everything_is_closed():
    """Session closed, gateway away for days: it is evidence of the activation all the same."""
    made = await scene()
    made.world.clock.advance(2 * SECOND)
    await made.authority.end_session(made.opened.session, "left")
    made.world.clock.advance(timedelta(hours=2))
    await made.tell(made.using(), made.decided())
    assert made.troubles() == [""]


async def test_another_gateway_tells_of_a_session_that_is_not_its_own():
    """It reaches neither the session's evidence nor its allowance, and is kept among refusals."""
    made = await scene()
    other = GatewayAuthority(made.world.services, "back", grants=GRANTS)
    true, made.authority = made.authority, other
    await made.tell(made.using(), made.decided(), journal="elsewhere")
    assert made.troubles() == ["this gateway has no such session"]
    assert not made.findings("offline_trouble")
    made.told = []
    await made.tell(made.using())  # under the true journal's name: that takes nothing of it
    made.authority, made.told = true, []
    await made.tell(made.using(), made.decided())
    assert made.troubles()[1] == ""


async def test_a_journal_that_was_changed():
    """An entry rewritten, left out, or told under another name: each of them shows."""
    made = await scene()
    await made.tell(made.using(), made.decided(1))
    copied = Told("journal2", tuple(made.told))
    made.told[-1] = msgspec.structs.replace(made.told[-1], hash="0" * 64)
    await made.tell(made.decided(2))
    made.told.append(chained(9, made.told[-1].hash, made.decided(3)))
    await made.authority.take(Told(JOURNAL, (made.told[-1],)))
    _, changed, missing = made.troubles()
    assert "chain breaks" in changed
    assert "entries 4 to 8 of the journal are missing" in missing
    await made.authority.take(copied)
    assert "another journal's" in told(made.world, ev.SessionOffline)[-1].trouble
    assert "told before" in made.troubles()[-1]


async def test_a_journal_that_was_set_back_or_is_a_copy():
    """Other entries in places that were taken are recorded, and the first shows; the same are not.

    A machine's snapshot that was restored, or the file on a second machine of the gateway.
    """
    made = await scene()
    await made.tell(made.using(), made.decided(1), made.decided(2))
    before = made.told[:2]
    await made.authority.take(Told(JOURNAL, tuple(made.told)))
    assert made.troubles() == ["", ""]
    made.told = list(before)
    assert await made.tell(made.decided(3), made.decided(4)) == 4
    _, _, first, second = made.troubles()
    assert "set back, or is a copy" in first
    assert second == ""
    assert "set back" in made.findings("offline_trouble")[0]
    await made.authority.take(Told(JOURNAL, tuple(made.told)))
    assert len(made.troubles()) == 4


async def test_absurd_numbers_are_told_as_what_they_are():
    """No sum of them overflows, so they keep nobody from going on, and nothing from being told."""
    made = await scene(spends=Allowance(actions=1000))
    huge = Portion(1 << 52, 1 << 52)
    at = made.grant.issued_at
    ends = [FinishedOffline(made.opened.session, n, Used(1 << 52), at) for n in range(1, 14)]
    await made.tell(made.using(), *(made.decided(n, portion=huge) for n in range(1, 14)), *ends)
    assert len(told(made.world, ev.ActionFinishedOffline)) == 13
    row = await made.world.services.store.read(lambda v: v.get(Spending, made.opened.activation))
    assert canonical.encode(row)
    with pytest.raises(RequestError, match="of that number"):
        await made.authority.take(Told(JOURNAL, (chained(1 << 50, "", made.using()),)))


async def test_a_session_whose_use_was_promised_to_another_journal_gets_no_grant():
    """Else whoever names a new journal has nothing more to tell of the old one."""
    made = await scene()
    session = made.opened.session
    assert not (await made.authority.grants("journal2", [session])).grants
    assert (await made.authority.grants(JOURNAL, [session])).grants
    await made.authority.take(Told("journal2", is_whole=True))
    debt = await made.world.services.store.read(lambda view: view.get(OfflineDebt, session))
    assert (debt.journal, debt.state) == (JOURNAL, Debt.OPEN)


async def test_a_server_without_the_token_key_takes_no_use_of_a_grant():
    """It could not tell a true one; what became of its own actions it takes all the same."""
    made = await scene()
    made.authority = GatewayAuthority(made.world.services, GATEWAY)
    with pytest.raises(UnavailableError, match="token key"):
        await made.tell(made.using(), made.decided())
    made.told = []
    session, at = made.opened.session, made.grant.issued_at
    assert (await made.authority.decide(session, READ)).number == 2
    assert await made.tell(ReportedLate(session, 2, Used(rows=3), at)) == 1
    assert told(made.world, ev.ActionFinished)[-1].rows == 3


@pytest.mark.parametrize(
    "told_",
    [
        Told("", ()),
        Told("../j", ()),
        Told("j" * 65, ()),
        Told(JOURNAL, tuple(Chained(n, "", GrantUsed("s", "")) for n in range(1, 60))),
    ],
)
async def test_what_is_no_part_of_a_journal(told_):
    """A name that is none, and more than a call holds, are refused; nothing is recorded."""
    made = await scene()
    with pytest.raises(RequestError):
        await made.authority.take(told_)
    assert not told(made.world, ev.SessionOffline)
