"""One gate: what gives asks the PDP and is refused on record; what takes away never asks (I11)."""

from collections.abc import Awaitable, Callable

import pytest

from callpoint.domain.activation import ActivationState, EndReason
from callpoint.domain.approval import Verdict
from callpoint.domain.decision import Decision, DecisionRequest, Effect
from callpoint.domain.declaration import Declaration
from callpoint.domain.eligibility import Severity
from callpoint.domain.errors import DeniedError
from callpoint.domain.event import AccessRefused
from callpoint.domain.governance import Bundle
from callpoint.domain.ids import REFUSALS_STREAM
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.kill import Scope
from callpoint.domain.lease import LeaseState
from callpoint.domain.review import Judgement, ReviewVerdict
from callpoint.lifecycle import give_back, incidents, issue, kill, review, sweep, use
from callpoint.lifecycle.proof import proven
from callpoint.ports.decider import Decider
from tests.fakes.world import World, make_world


class Denying:
    """A PDP that refuses everything."""

    def evaluate(self, request: DecisionRequest) -> Decision:
        return Decision(Effect.DENY, ("no",), ("denied by `no`: because",), "digest")


class Broken:
    """A PDP that fails."""

    def evaluate(self, request: DecisionRequest) -> Decision:
        raise RuntimeError("the engine is broken")


def denying(_: Bundle) -> Decider:
    return Denying()


def broken(_: Bundle) -> Decider:
    return Broken()


async def prepared() -> tuple[World, dict[str, str]]:
    """One activation in each state, made under the real PDP."""
    world = await make_world()
    await world.incident()
    ids = {
        "pending": (await world.ask()).id,
        "approved": (await world.approved()).id,
        "active": (await world.active()).id,
        "ended": (await world.active()).id,
    }
    await give_back.give_back(world.services, world.caller("alice"), ids["ended"])
    return world, ids


Act = Callable[[World, dict[str, str]], Awaitable[object]]


async def act_request(world: World, ids: dict[str, str]) -> object:
    return await world.ask()


async def act_approve(world: World, ids: dict[str, str]) -> object:
    return await world.vote("carol", ids["pending"])


async def act_issue(world: World, ids: dict[str, str]) -> object:
    return await issue.issue(world.services, world.caller("alice"), ids["approved"])


async def act_reveal(world: World, ids: dict[str, str]) -> object:
    lease = (await world.leases(ids["active"]))[0]
    return await use.reveal(world.services, world.caller("alice"), lease.id)


async def act_declare(world: World, ids: dict[str, str]) -> object:
    said = Declaration("inc-9", Severity.SEV1, ("orders-db",))
    return await incidents.declare(world.services, world.caller("frank"), said)


async def act_confirm(world: World, ids: dict[str, str]) -> object:
    return await incidents.confirm(world.services, world.caller("gina"), "inc-7")


async def act_triage(world: World, ids: dict[str, str]) -> object:
    return await review.triage(world.services, world.caller("erin"), ids["ended"])


async def act_review(world: World, ids: dict[str, str]) -> object:
    said = Judgement(ReviewVerdict.JUSTIFIED, "1 root")
    return await review.close(world.services, world.caller("erin"), ids["ended"], said)


GIVES = [
    act_request,
    act_approve,
    act_issue,
    act_reveal,
    act_declare,
    act_confirm,
    act_triage,
    act_review,
]


@pytest.mark.parametrize("build", [denying, broken])
@pytest.mark.parametrize("act", GIVES)
async def test_what_gives_is_refused_on_record(act: Act, build: Callable[[Bundle], Decider]):
    """With a denying or broken PDP every use case that gives refuses, and the refusal is logged."""
    world, ids = await prepared()
    barred = world.with_decider(build)
    before = world.store.state.records.copy()
    with pytest.raises(DeniedError):
        await act(barred, ids)
    assert world.store.state.records == before
    events = await world.store.read(
        lambda view: proven(view, world.services.installation, [REFUSALS_STREAM])
    )
    refused = [e.event for e in events[REFUSALS_STREAM] if isinstance(e.event, AccessRefused)]
    assert [event.decision.effect for event in refused] == [Effect.DENY]


async def test_deny_never_asks_the_pdp():
    """A no is recorded although the PDP is broken."""
    world, ids = await prepared()
    made = await world.with_decider(broken).vote("carol", ids["pending"], Verdict.DENY)
    assert made.state is ActivationState.DENIED


async def test_withdraw_never_asks_the_pdp():
    """A request is taken back although the PDP is broken."""
    world, ids = await prepared()
    barred = world.with_decider(broken)
    made = await give_back.withdraw(barred.services, world.caller("alice"), ids["approved"])
    assert made.state is ActivationState.WITHDRAWN


async def test_return_never_asks_the_pdp():
    """Access is given back, and proven dead, although the PDP is broken."""
    world, ids = await prepared()
    barred = world.with_decider(broken)
    made = await give_back.give_back(barred.services, world.caller("alice"), ids["active"])
    assert (made.state, made.end_reason) == (ActivationState.ENDED, EndReason.RETURNED)
    assert not world.target.accounts


@pytest.mark.parametrize(
    "scope, about",
    [
        (Scope.ACTIVATION, "active"),
        (Scope.PRINCIPAL, "alice"),
        (Scope.TARGET, "orders-db"),
        (Scope.INCIDENT, "inc-7"),
        (Scope.EVERYTHING, ""),
    ],
)
async def test_kill_never_asks_the_pdp(scope: Scope, about: str):
    """Each scope of kill ends what it covers although the PDP is broken."""
    world, ids = await prepared()
    barred = world.with_decider(broken)
    killed = await kill.kill(barred.services, world.caller("bob"), scope, ids.get(about, about))
    assert ids["active"] in killed.activations
    assert killed.alive == ()
    assert not world.target.accounts


async def test_resolving_never_asks_the_pdp():
    """Closing the incident ends its activations although the PDP is broken."""
    world, ids = await prepared()
    barred = world.with_decider(broken)
    made = await incidents.resolve(barred.services, world.caller("bob"), "inc-7")
    assert made.state is IncidentState.RESOLVED
    assert (await world.get(ids["active"])).end_reason is EndReason.INCIDENT_RESOLVED
    assert not world.target.accounts


async def test_time_never_asks_the_pdp():
    """Expiry ends and revokes although the PDP is broken."""
    world, ids = await prepared()
    barred = world.with_decider(broken)
    found = await world.get(ids["active"])
    world.clock.advance(found.request.ttl)
    await sweep.sweep(barred.services)
    assert (await world.get(ids["active"])).end_reason is EndReason.EXPIRED
    assert [x.state for x in await world.leases(ids["active"])] == [LeaseState.ENDED]
    assert not world.target.accounts
