"""Attacks on what a gateway may do without its authority, and on what it tells of it (I13)."""

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import pytest

from callpoint.adapters.tokens.jose import JoseGrantReader, JoseGrants, JoseTokens
from callpoint.domain import event as ev
from callpoint.domain.allowance import Allowance, Portion, Used
from callpoint.domain.decision import Decision, DecisionRequest, Effect
from callpoint.domain.eligibility import Purpose
from callpoint.domain.errors import ConflictError
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
    Told,
    chained,
)
from callpoint.domain.offline_record import OfflineSpending
from callpoint.domain.operation import Operation
from callpoint.domain.spending import Spending
from callpoint.evidence.bundle import evidence_bundle
from callpoint.lifecycle import kill
from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.lifecycle.offline_grant import offline_rule
from callpoint.lifecycle.resume import resume
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


async def test_a_session_that_waited_for_a_person_meanwhile():
    """Stopped while its gateway could not hear it: what was done then is in trouble for that."""
    made = await scene(spends=Allowance(actions=2))
    session, world = made.opened.session, made.world
    world.clock.advance(10 * SECOND)
    for _ in range(2):
        await made.authority.decide(session, READ)
    world.clock.advance(10 * SECOND)
    await resume(world.services, world.caller("carol"), made.opened.activation, "go on")
    world.clock.advance(10 * SECOND)
    start = made.grant.issued_at
    entries = [made.decided(n, at=start + n * 9 * SECOND) for n in (1, 2, 3)]
    await made.tell(made.using(), *entries)
    before, meanwhile, after = made.troubles()
    assert before == ""
    assert "while the session waited for a person" in meanwhile
    assert "waited" not in after


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
