"""Attacks on what a gateway may do without its authority, and on what it tells of it (I13)."""

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import pytest

from callpoint.adapters.tokens.jose import JoseGrantReader, JoseGrants, JoseTokens
from callpoint.domain import canonical
from callpoint.domain import event as ev
from callpoint.domain.allowance import Allowance, Portion, Used
from callpoint.domain.decision import Decision, DecisionRequest, Effect
from callpoint.domain.eligibility import Purpose
from callpoint.domain.errors import ConflictError, RequestError, UnavailableError
from callpoint.domain.governance import Bundle
from callpoint.domain.kill import Scope
from callpoint.domain.offline import (
    GrantError,
    OfflineAllowance,
    OfflineGrant,
    OnLoss,
    gateway_audience,
    grant_digest,
)
from callpoint.domain.offline_journal import (
    BEGINNING,
    Chained,
    DecidedOffline,
    FinishedOffline,
    GrantUsed,
    JournalEntry,
    ReportedLate,
    Told,
    chained,
)
from callpoint.domain.offline_record import Debt, OfflineDebt, OfflineSpending
from callpoint.domain.operation import Operation
from callpoint.domain.spending import Spending
from callpoint.evidence.bundle import evidence_bundle
from callpoint.lifecycle import kill
from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.offline_grant import offline_rule
from callpoint.ports.authority import Deed, Opened, Outcome, Standing
from tests.fakes.authority import GRANTS
from tests.fakes.behind import GATEWAY
from tests.fakes.invariants import check_always
from tests.fakes.keys import Signer
from tests.fakes.world import INSTALLATION, World, build_decider
from tests.unit.test_authority import READ, arrive, opened, told

JOURNAL = "journal1"
SECRETS = Operation("sql:select", "public.secrets")
SECOND = timedelta(seconds=1)


@dataclass
class Scene:
    """A session with a grant, and a gateway that tells what it likes.

    Attributes:
        told: What was told so far.
    """

    world: World
    authority: GatewayAuthority
    opened: Opened
    token: str
    told: list[Chained]

    @property
    def grant(self) -> OfflineGrant:
        return GRANTS.read(self.token)

    def resigned(self, **changes: object) -> str:
        """By the true key, another grant."""
        return GRANTS.sign(msgspec.structs.replace(self.grant, **changes))

    def decided(self, number: int = 1, token: str = "", **changes: object) -> DecidedOffline:
        made = DecidedOffline(
            session=self.opened.session,
            number=number,
            grant=grant_digest(token or self.token),
            at=self.grant.issued_at + SECOND,
            operations=READ.operations,
            allowed=True,
            portion=Portion(10, 100),
        )
        return msgspec.structs.replace(made, **changes)

    def using(self, token: str = "") -> GrantUsed:
        return GrantUsed(self.opened.session, token or self.token)

    async def tell(self, *entries: JournalEntry, journal: str = JOURNAL) -> int:
        """Put them at the journal's end, and tell them."""
        for entry in entries:
            last = self.told[-1] if self.told else None
            seq, before = (last.seq + 1, last.hash) if last else (1, BEGINNING)
            self.told.append(chained(seq, before, entry))
        part = tuple(self.told[-len(entries) :])
        return (await self.authority.take(Told(journal, part, is_whole=True))).seq

    def troubles(self) -> list[str]:
        """Of the actions that the log has."""
        return [event.trouble for event in told(self.world, ev.ActionOffline)]

    def findings(self, kind: str) -> list[str]:
        raised = [event.finding for event in told(self.world, ev.FindingRaised)]
        return [finding.text for finding in raised if finding.kind == kind]


async def scene(rule: OfflineAllowance | None = None, spends: Allowance | None = None) -> Scene:
    changes: dict[str, object] = {"on_loss": OnLoss.OFFLINE}
    if rule is not None:
        changes["offline_allowance"] = rule
    if spends is not None:
        changes["allowance"] = spends
    world, _, first = await opened(Purpose.RECOVER, **changes)
    authority = GatewayAuthority(world.services, GATEWAY, grants=GRANTS)
    made = await arrive(world, authority, first.activation)
    verdict = await authority.decide(made.session, READ)
    await authority.report(made.session, Outcome(verdict.number, Used()))
    granted = await authority.grants(JOURNAL, [made.session])
    return Scene(world, authority, made, granted.grants[made.session], [])


async def test_what_a_grant_covers_is_evidence_without_trouble():
    """Told once, it is in the activation's bundle, off both allowances, and a finding."""
    made = await scene(spends=Allowance(actions=10, rows=100))
    assert made.opened.on_loss is OnLoss.OFFLINE
    at = made.grant.issued_at + SECOND
    ended = FinishedOffline(made.opened.session, 1, Used(rows=4), at)
    await made.tell(made.using(), made.decided(text="SELECT 1"), ended)
    await made.authority.take(Told(JOURNAL, tuple(made.told)))
    assert made.troubles() == [""]
    assert len(made.findings("offline_use")) == 1
    row, spent = await made.world.services.store.read(
        lambda view: (
            view.get(OfflineSpending, made.opened.activation).spent,
            view.get(Spending, made.opened.activation),
        )
    )
    assert (row.actions, row.rows, spent.actions, spent.rows) == (1, 4, 2, 4)
    bundle = await made.world.services.store.read(
        lambda view: evidence_bundle(view, INSTALLATION, made.opened.activation, "inc-7")
    )
    assert b"offline:" + made.opened.session.encode() in msgspec.json.encode(
        [_leaf(item) for item in bundle["sessions"]]  # type: ignore[union-attr]
    )
    later = await made.authority.grants(JOURNAL, [made.opened.session])
    left = GRANTS.read(later.grants[made.opened.session]).allowance
    assert (left.actions, left.rows) == (8, 96)  # what the activation itself has left is less
    check_always(made.world.store.state, {})


async def test_a_grant_of_another_key_or_a_tampered_one():
    """It verifies nowhere, here or at the gateway; what was done under it is on record."""
    made = await scene()
    forged = JoseGrants(Signer("mallory")).sign(made.grant)
    head, _, _ = made.token.split(".")
    wider = msgspec.structs.replace(made.grant, operations=(SECRETS,))
    body = GRANTS.sign(wider).split(".")[1]
    tampered = ".".join((head, body, made.token.split(".")[2]))
    access = JoseTokens(Signer("token-key"))
    for token in (forged, tampered, "a.b.c", "", made.token + "A", "é" * 9):
        with pytest.raises(GrantError):
            JoseGrantReader(GRANTS.keys).read(token)
    assert "typ" not in str(access.key_set())
    for number, token in enumerate((forged, tampered), 1):
        await made.tell(made.using(token), made.decided(number, token))
    assert made.troubles() == ["its grant is none that this installation signed"] * 2
    assert [event.granted for event in told(made.world, ev.SessionOffline)] == [None, None]
    assert len(made.findings("offline_trouble")) == 2
    notices = [n for n in made.world.notices.said if n.kind == "offline:trouble"]
    assert notices
    assert all(notice.urgent for notice in notices)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"aud": gateway_audience(INSTALLATION, "back")}, "another gateway's"),
        ({"iss": "other1"}, "another gateway's"),
        ({"session": "s9"}, "another session's"),
        ({"journal": "journal2"}, "another journal's"),
    ],
)
async def test_a_foreign_grant(changes, words):
    """Signed by the true key, but for somebody else: refused, recorded, a finding."""
    made = await scene()
    token = made.resigned(**changes)
    await made.tell(made.using(token), made.decided(token=token))
    assert words in made.troubles()[0]
    assert words in made.findings("offline_trouble")[0]


async def test_a_grant_outside_its_time():
    """Too early, at its end, and in a future that has not come: none of it is covered."""
    made = await scene()
    early = made.grant.issued_at - timedelta(minutes=1)
    future = made.grant.issued_at + timedelta(minutes=1)
    entries = [made.decided(n, at=at) for n, at in enumerate((early, future), 1)]
    await made.tell(made.using(), *entries, made.decided(3, at=made.grant.expires_at))
    early_, future_, late = made.troubles()
    assert "outside the grant's time" in early_
    assert "outside the grant's time" in late
    assert "in the future" in future_


async def test_more_than_was_granted():
    """Another object, one more action, something destructive: each is told as what it is."""
    made = await scene(OfflineAllowance(actions=2, rows=10))
    await made.tell(
        made.using(),
        made.decided(1, operations=(SECRETS,)),
        made.decided(2),
        made.decided(3),
        FinishedOffline(made.opened.session, 3, Used(rows=999), made.grant.issued_at),
    )
    other, second, third = made.troubles()
    assert "not what its grant lists" in other
    assert "10 rows" in second  # the first one holds them all
    assert "2 actions" in third
    assert "more than the 10 rows" in told(made.world, ev.ActionFinishedOffline)[0].trouble


async def test_beyond_the_activations_own_allowance_its_sessions_stop():
    """What was done alone counts like the rest: a person must look before it goes on."""
    made = await scene(spends=Allowance(actions=2))
    await made.tell(made.using(), *(made.decided(n) for n in (1, 2, 3)))
    session = made.opened.session
    assert await made.authority.standing([session]) == {session: Standing.PAUSED}
    assert told(made.world, ev.SessionPaused)[0].because == "2 actions are spent"
    more = "more than the 1 actions that its grant allows"
    assert made.troubles() == ["", more, more]
    assert not (await made.authority.grants(JOURNAL, [session])).grants


async def test_killed_while_the_gateway_was_away():
    """No grant any more, the session is over; what came after the kill is in trouble, on record."""
    made = await scene()
    session, world = made.opened.session, made.world
    before = made.decided(1)
    world.clock.advance(timedelta(seconds=20))
    await kill.kill(world.services, world.caller("bob"), Scope.EVERYTHING)
    world.clock.advance(timedelta(seconds=20))
    after = made.decided(2, at=world.clock.now() - SECOND)
    assert await made.authority.standing([session]) == {session: Standing.OVER}
    assert not (await made.authority.grants(JOURNAL, [session])).grants
    with pytest.raises(ConflictError):
        await made.authority.decide(session, READ)
    await made.tell(made.using(), before, after)
    first, second = made.troubles()
    assert first == ""
    assert "after the session had ended" in second
    assert "after the session had ended" in made.findings("offline_trouble")[0]


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


async def test_a_machine_and_a_paused_session_get_none():
    """Nobody could stop a machine; and what stands still for a person does not go on alone."""
    made = await scene(spends=Allowance(actions=1))
    session = made.opened.session
    assert not (await made.authority.decide(session, READ)).allowed
    assert not (await made.authority.grants(JOURNAL, [session])).grants
    found = await made.world.get(made.opened.activation)
    principals = made.world.bundle.configuration.principals
    ruled = {name: offline_rule(found, principals[name]) for name in ("alice", "fixer", "deployer")}
    assert ruled["alice"] is not None
    assert ruled["fixer"] is ruled["deployer"] is None


class Until:
    """The world's policies, with one more: of this object nothing after a moment."""

    def __init__(self, bundle: Bundle, name: str, moment: datetime) -> None:
        self._decider = build_decider(bundle)
        self._name, self._moment = name, moment

    def evaluate(self, question: DecisionRequest) -> Decision:
        made = self._decider.evaluate(question)
        about = question.operation
        if about is not None and about.object == self._name and question.at > self._moment:
            return msgspec.structs.replace(made, effect=Effect.DENY)
        return made


async def test_what_policy_denies_at_the_grants_end_is_not_granted():
    """Policy is asked for both ends of the grant: what it would deny meanwhile is not in it."""
    made = await scene()
    people = Deed((Operation("sql:select", "public.people"),))
    moment = made.grant.issued_at + timedelta(minutes=4)
    world = made.world.with_decider(lambda bundle: Until(bundle, "public.people", moment))
    authority = GatewayAuthority(world.services, GATEWAY, grants=GRANTS)
    session = made.opened.session
    for deed in (READ, people):
        assert (await authority.decide(session, deed)).allowed
    granted = await authority.grants(JOURNAL, [session])
    assert GRANTS.read(granted.grants[session]).operations == READ.operations


def _leaf(item: object) -> str:
    return base64.b64decode(item["leaf"]).decode()  # type: ignore[index]
