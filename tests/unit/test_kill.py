"""The kill switch: whom it covers, who may pull it, what it says."""

import pytest

from callpoint.domain import event as ev
from callpoint.domain.activation import ActivationState, EndReason
from callpoint.domain.errors import DeniedError, RequestError, UnavailableError
from callpoint.domain.kill import Killed, Scope
from callpoint.lifecycle import give_back, kill
from tests.fakes.invariants import told
from tests.fakes.stage import BOTH, Deciders, Stage, make_stage
from tests.fakes.world import World

DECIDERS = Deciders()
S = Scope


async def staged() -> tuple[Stage, World, dict[str, str]]:
    """Activations of several people, on one or both targets, for two incidents."""
    stage = await make_stage(idle=None, deciders=DECIDERS)
    world = stage.node()
    for name in ("inc-7", "inc-8"):
        await world.incident(name, targets=BOTH)
    return (
        stage,
        world,
        {
            "alice": (await world.active()).id,
            "bob": (await world.approved("bob", opens=("orders-db:repair",))).id,
            "fixer": (await world.active("fixer", opens=("billing-db:repair",))).id,
            "other": (await world.ask("alice", "inc-8")).id,
        },
    )


@pytest.mark.parametrize(
    "scope, about, covered",
    [
        (S.PRINCIPAL, "alice", {"alice", "fixer", "other"}),
        (S.PRINCIPAL, "fixer", {"fixer"}),
        (S.PRINCIPAL, "nobody", set()),
        (S.TARGET, "orders-db", {"alice", "bob", "other"}),
        (S.TARGET, "billing-db", {"alice", "fixer", "other"}),
        (S.INCIDENT, "INC-8", {"other"}),
        (S.INCIDENT, "inc-7", {"alice", "bob", "fixer"}),
        (S.EVERYTHING, "", {"alice", "bob", "fixer", "other"}),
    ],
)
async def test_a_scope_covers_what_it_names_and_nothing_else(scope, about, covered):
    """Pending ones are withdrawn, active ones end and are dead before the answer."""
    stage, world, ids = await staged()
    killed = await kill.kill(world.services, world.caller("carol"), scope, about)
    assert set(killed.activations) == {ids[name] for name in covered}
    assert killed.alive == ()
    for name, key in ids.items():
        found = await world.get(key)
        if name not in covered:
            assert found.state not in {ActivationState.ENDED, ActivationState.WITHDRAWN}
        elif found.not_after:
            assert found.end_reason is EndReason.KILLED
        else:
            assert found.state is ActivationState.WITHDRAWN
    accounts = {a.handle[6:18] for t in stage.targets.values() for a in t.accounts.values()}
    assert accounts == {ids[name] for name in {"alice", "fixer"} - covered}


async def test_one_activation_is_killed_by_its_id():
    """The others go on."""
    _, world, ids = await staged()
    killed = await kill.kill(world.services, world.caller("gina"), S.ACTIVATION, ids["fixer"])
    assert killed.activations == (ids["fixer"],)


@pytest.mark.parametrize("scope, about", [(S.EVERYTHING, ""), (S.PRINCIPAL, "alice")])
async def test_a_machine_ends_only_its_own(scope, about):
    """It is refused as a whole, on record, and nothing ends."""
    stage, world, ids = await staged()
    with pytest.raises(DeniedError, match="can only end its own"):
        await kill.kill(world.services, world.caller("fixer"), scope, about)
    assert (await world.get(ids["fixer"])).state is ActivationState.ACTIVE
    refused = told(stage.state, ev.RequestRefused)
    assert [e.action for e in refused] == [f"kill:{scope}"]
    killed = await kill.kill(world.services, world.caller("fixer"), S.PRINCIPAL, "fixer")
    assert killed.activations == (ids["fixer"],)


@pytest.mark.parametrize("scope", [s for s in S if s is not S.EVERYTHING])
async def test_a_scope_that_needs_a_name_is_refused_without(scope):
    """A forgotten name never means everything."""
    _, world, ids = await staged()
    with pytest.raises(RequestError, match="needs a name"):
        await kill.kill(world.services, world.caller("bob"), scope)
    assert (await world.get(ids["alice"])).state is ActivationState.ACTIVE


async def test_what_ended_before_and_is_still_alive_is_tried_again_and_told():
    """A kill never says "nothing is alive" while a credential of its scope is not proven dead."""
    stage, world, ids = await staged()
    orders = stage.targets["orders-db"]
    (inside,) = orders.accounts.values()
    assert inside.secret is not None
    orders.open_session(inside.name, inside.secret)
    orders.stubborn = {inside.name}
    await give_back.give_back(world.services, world.caller("alice"), ids["alice"])
    killed = await kill.kill(world.services, world.caller("bob"), S.ACTIVATION, ids["alice"])
    assert killed.activations == ()
    assert [lease[:18] for lease in killed.alive] == [f"tstinc{ids['alice']}"]
    orders.stubborn.clear()
    killed = await kill.kill(world.services, world.caller("bob"), S.EVERYTHING)
    assert killed.alive == ()


async def test_the_order_is_recorded_with_what_it_ended_and_wakes_people():
    """One entry for the order, however much it ended; the name is cut and made printable."""
    stage, world, _ = await staged()
    name = "x\x1b[2J" * 10_000
    await kill.kill(world.services, world.caller("bob"), S.PRINCIPAL, name)
    await kill.kill(world.services, world.caller("bob"), S.EVERYTHING)
    first, second = told(stage.state, ev.KillOrdered)
    assert first.about.isprintable()
    assert len(first.about) <= 200
    assert (first.count, second.count) == (0, 4)
    assert len(second.activations) == 4
    notice = stage.notices.said[-1]
    assert (notice.kind, notice.urgent) == ("kill:ordered", True)
    assert notice.to == ("erin", "frank", "gina", "hugo"), "security and governors"


async def test_a_kill_before_any_rules_are_known_tells_everybody_who_watches():
    """A process that has proven no configuration yet kills all the same, and names nobody."""
    stage, world, ids = await staged()
    fresh = stage.node().services
    killed = await kill.kill(fresh, world.caller("bob"), S.EVERYTHING)
    assert (set(killed.activations), killed.alive) == (set(ids.values()), ())
    with pytest.raises(UnavailableError):
        _ = fresh.rules.last_proven
    notice = stage.notices.said[-1]
    assert (notice.kind, notice.to) == ("kill:ordered", ())


async def test_killing_what_is_dead_already_ends_nothing():
    """Doing it twice is safe."""
    _, world, _ = await staged()
    await kill.kill(world.services, world.caller("bob"), S.EVERYTHING)
    again = await kill.kill(world.services, world.caller("bob"), S.EVERYTHING)
    assert again == Killed((), ())
