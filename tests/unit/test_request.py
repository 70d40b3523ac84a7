"""Asking: what is taken, what is refused, and that it grants nothing."""

from datetime import timedelta

import msgspec
import pytest

from callpoint.domain import event as ev
from callpoint.domain.activation import ActivationState
from callpoint.domain.allowance import Allowance, Rate
from callpoint.domain.declaration import Declaration
from callpoint.domain.eligibility import Lane, Opening, Purpose
from callpoint.domain.errors import (
    ConflictError,
    DeniedError,
    NotFoundError,
    RequestError,
    TamperError,
)
from callpoint.domain.ids import REFUSALS_STREAM
from callpoint.domain.request import Ask
from callpoint.lifecycle import incidents
from callpoint.lifecycle.fit import must_fit
from callpoint.lifecycle.proof import proven
from callpoint.lifecycle.request import request
from callpoint.ports.identity import Caller
from tests.fakes.behind import behind
from tests.fakes.world import WORDS, World, eligibility, make_world

SEAL_TO = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
BOTH = (Opening("billing-db", "repair"), Opening("orders-db", "repair"))


async def world_with_incident(*rules) -> World:
    world = await make_world(*rules)
    await world.incident(targets=tuple(world.services.targets))
    return world


async def test_a_request_opens_a_vote_and_grants_nothing():
    """It is recorded with its digest, its deadline and the words as a commitment."""
    world = await world_with_incident()
    made = await world.ask()
    assert made.state is ActivationState.REQUESTED
    assert made.digest == made.request.digest()
    assert made.request.lapses_at == made.request.requested_at + timedelta(minutes=10)
    assert WORDS not in str(made)
    assert not world.target.accounts
    asked = [n for n in world.notices.said if n.kind == "activation:requested"]
    assert asked[0].to == ("bob", "carol", "dave")
    assert WORDS not in asked[0].text


async def test_what_it_may_do_through_gateways_is_part_of_the_request():
    """Approvers sign it, and a request with more of it is not one that the rules allow."""
    allowance = Allowance(actions=50, rate=Rate(60, timedelta(minutes=1)))
    world = await make_world(eligibility(allowance=allowance), adapt=behind)
    await world.incident()
    made = await world.ask()
    assert made.request.spends == allowance
    rules = world.bundle.configuration
    must_fit(made.request, rules)
    for other in (msgspec.UNSET, Allowance(actions=51)):
        wider = msgspec.structs.replace(made.request, allowance=other)
        assert wider.digest() != made.digest
        with pytest.raises(TamperError, match="allowance"):
            must_fit(wider, rules)


async def test_an_agent_asks_in_the_name_of_who_answers_for_it():
    """The person behind it is part of the request, so that person cannot approve."""
    world = await world_with_incident()
    made = await world.ask("fixer")
    assert (made.request.principal, made.request.persons) == ("fixer", ("alice",))


async def test_whoever_is_acted_for_stands_behind_the_request_too():
    """A chain of delegation hides nobody from the quorum."""
    world = await world_with_incident()
    fixer = world.bundle.configuration.principals["fixer"]
    caller = Caller(fixer, "fixer", acts_for=("bob", "fixer", "nobody"))
    made = await request(world.services, caller, Ask("orders-repair", "inc-7", WORDS, SEAL_TO))
    assert made.request.persons == ("alice", "bob")


async def test_all_that_the_eligibility_opens_is_opened_unless_less_is_asked():
    """Openings are sorted and listed once."""
    world = await world_with_incident(eligibility(opens=tuple(reversed(BOTH))))
    everything = await world.ask()
    assert everything.request.opens == ("billing-db:repair", "orders-db:repair")
    twice = await world.ask(opens=("orders-db:repair", "orders-db:repair"))
    assert twice.request.opens == ("orders-db:repair",)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"justification": "short"}, "justification has 5 characters"),
        ({"justification": " " * 50}, "justification has 0 characters"),
        ({"justification": "x" * 2001}, "justification has 2001"),
        ({"seal_to": "age1nonsense"}, "not an age recipient"),
        ({"seal_to": ""}, "not an age recipient"),
        ({"purpose": Purpose.DRILL}, "not for purpose drill"),
        ({"ttl": timedelta(0)}, "lasts at least 1m and at most 30m"),
        ({"ttl": timedelta(minutes=-1)}, "lasts at least 1m and at most 30m"),
        ({"ttl": timedelta(seconds=59.9)}, "ask for 1m to 30m with --for"),
        ({"ttl": timedelta(minutes=31)}, "lasts at least 1m and at most 30m"),
        ({"opens": ("orders-db:read",)}, "does not open orders-db:read"),
        ({"opens": ("billing-db:repair",)}, "does not open"),
        ({"sources": ("everywhere",)}, "not a network"),
        ({"sources": ("10.0.0.1/8",)}, "not a network"),
        ({"sources": ("10.0.0.0/8",) * 17}, "at most 16"),
        ({"incident": "x" * 129}, "at most 128"),
    ],
)
async def test_a_malformed_request_is_refused_with_what_to_change(changes, words):
    """Each limit is said before anything is recorded."""
    world = await world_with_incident()
    before = len(world.store.state.leaves)
    with pytest.raises(RequestError, match=words):
        await world.ask(**changes)
    assert len(world.store.state.leaves) == before


async def test_no_more_is_asked_for_than_one_entry_can_hold():
    """An eligibility may open much; one activation opens at most 32 roles, and all are issued."""
    many = tuple(Opening(f"{'database-' * 6}{n:02}", "repair") for n in range(33))
    world = await world_with_incident(eligibility(opens=many))
    with pytest.raises(RequestError, match="33 target roles are too many"):
        await world.ask()
    networks = tuple(f"2001:db8:{n:x}:ffff:ffff:ffff:ffff:ffff/128" for n in range(16))
    made = await world.active(opens=tuple(map(str, many[:32])), sources=networks)
    assert len(await world.leases(made.id)) == 32


async def test_an_unknown_eligibility_is_not_found():
    """Names are looked up in the configuration in force."""
    world = await world_with_incident()
    with pytest.raises(NotFoundError, match="no eligibility"):
        await world.ask(eligibility="root-everywhere")


async def test_networks_are_written_in_one_form():
    """A single address is a network of one."""
    world = await world_with_incident()
    made = await world.ask(sources=("203.0.113.7", "10.1.0.0/16"))
    assert made.request.sources == ("203.0.113.7/32", "10.1.0.0/16")


@pytest.mark.parametrize("who", ["carol", "gina"])
async def test_who_is_not_eligible_is_refused_on_record(who):
    """The refusal names the rule, and is in the log."""
    world = await world_with_incident()
    with pytest.raises(DeniedError) as refused:
        await world.ask(who)
    assert any("only-the-eligible" in reason for reason in refused.value.reasons)
    (item,) = (
        await world.store.read(
            lambda view: proven(view, world.services.installation, [REFUSALS_STREAM])
        )
    )[REFUSALS_STREAM]
    assert isinstance(item.event, ev.AccessRefused)
    assert item.event.actor == who


async def test_without_an_incident_there_is_no_request():
    """Neither an unknown name, nor a declared one that nobody confirmed, nor a resolved one."""
    world = await make_world()
    with pytest.raises(DeniedError):
        await world.ask(incident="inc-7")
    said = Declaration("inc-7", "sev1", ("orders-db",))  # type: ignore[arg-type]
    await incidents.declare(world.services, world.caller("frank"), said)
    with pytest.raises(DeniedError):
        await world.ask(incident="inc-7")
    await incidents.confirm(world.services, world.caller("gina"), "inc-7")
    await world.ask(incident="INC-7")
    await incidents.resolve(world.services, world.caller("gina"), "inc-7")
    with pytest.raises(DeniedError):
        await world.ask(incident="inc-7")


async def test_an_incident_of_another_target_or_severity_justifies_nothing():
    """The incident must name the target, and be as severe as the eligibility asks."""
    world = await make_world(targets=None)
    await world.incident("inc-8", severity="sev4")
    with pytest.raises(DeniedError, match="denied"):
        await world.ask(incident="inc-8")
    world = await make_world(eligibility(opens=BOTH))
    await world.incident("inc-9", targets=("billing-db",))
    with pytest.raises(DeniedError):
        await world.ask(incident="inc-9")
    await world.ask(incident="inc-9", opens=("billing-db:repair",))


async def test_the_elevation_lane_may_do_without_an_incident_but_not_with_a_wrong_one():
    """A name that no open incident has is refused at once, not at issue."""
    lane = eligibility(lane=Lane.ELEVATION, incident=None, purposes=(Purpose.ROTATE,))
    world = await make_world(lane)
    made = await world.ask(incident="", purpose=Purpose.ROTATE)
    assert made.request.incident == ""
    with pytest.raises(ConflictError, match="no longer open"):
        await world.ask(incident="inc-77", purpose=Purpose.ROTATE)


async def test_a_machine_asks_for_no_more_than_an_hour_and_people_only_means_people():
    """The pack's caps and an eligibility's mode hold at the request."""
    world = await world_with_incident(eligibility(mode="human"))
    with pytest.raises(DeniedError) as refused:
        await world.ask("fixer")
    assert any("human-mode" in reason for reason in refused.value.reasons)
