"""Obligations of a permit: met in own steps or no yes, told to enforcement points elsewhere."""

from collections.abc import Callable

import msgspec
import pytest

from callpoint.domain import event as ev
from callpoint.domain.decision import Action
from callpoint.domain.errors import ConfigErrors, DeniedError
from callpoint.domain.evaluation import Answer, Entity
from callpoint.domain.governance import Bundle
from callpoint.domain.obligation import Obligation, ObligationKind, parse_obligations
from callpoint.domain.widening_policies import compare_policies
from callpoint.lifecycle import use
from callpoint.lifecycle.authority import GatewayAuthority
from callpoint.policy.policy_set import PolicySet
from callpoint.ports.authority import Arrival
from callpoint.ports.decider import Decider
from tests.fakes.asking import ALICE, about, ask, made
from tests.fakes.behind import GATEWAY, SOURCE, behind, connect
from tests.fakes.face import Face
from tests.fakes.world import World, build_decider, configuration, make_world
from tests.unit.test_authority import READ, told

PERMIT = """
@id("reveal-with-duties")
@oblige("{owed}")
permit (principal, action == Action::"credential:reveal", resource is TargetRole);
"""


def obliging(owed: str, verb: str = "credential:reveal") -> Callable[[Bundle], Decider]:
    """The default pack, and one more permit that obliges."""

    def build(bundle: Bundle) -> Decider:
        permit = PERMIT.format(owed=owed).replace("credential:reveal", verb)
        more = {**bundle.policies, "duties.cedar": permit}
        return build_decider(msgspec.structs.replace(bundle, policies=more))

    return build


async def emergency(owed: str) -> tuple[World, str]:
    """An active activation, and from then on the obligations."""
    world = await make_world()
    await world.incident()
    active = await world.active()
    return world.with_decider(obliging(owed)), active.id


async def asked(world: World, activation: str, **context: object) -> Answer:
    """May alice have the credential?"""
    entity = Entity("activation", activation)
    return await ask(world, about(Action.CREDENTIAL_REVEAL, entity, ALICE, **context))


@pytest.mark.parametrize(
    "text",
    ["", "recorded", "record now", "notify", "step-up", "step-up a b", "record, record", "record,"],
)
def test_what_is_no_obligation_is_refused(text: str):
    """At load, with the line: an obligation that is misread would be one that nobody meets."""
    with pytest.raises(ValueError, match=r"oblig|takes"):
        parse_obligations(text)
    with pytest.raises(ConfigErrors, match="@oblige"):
        PolicySet.load({"duties.cedar": PERMIT.format(owed=text)}, configuration())


def test_obligations_are_read_in_order_and_name_groups():
    """All three kinds; whoever is to be told must be a configured group; a forbid has none."""
    assert parse_obligations("record, notify group:security,step-up  phr") == (
        Obligation(ObligationKind.RECORD),
        Obligation(ObligationKind.NOTIFY, "group:security"),
        Obligation(ObligationKind.STEP_UP, "phr"),
    )
    for nobody in ("security", "group:nobody"):
        with pytest.raises(ConfigErrors, match="nobody is told"):
            PolicySet.load({"a.cedar": PERMIT.format(owed=f"notify {nobody}")}, configuration())
    forbid = (
        PERMIT.format(owed="record")
        .replace("permit", "forbid")
        .replace("@oblige", '@reason("no")\n@oblige')
    )
    with pytest.raises(ConfigErrors, match="means nothing on a forbid"):
        PolicySet.load({"a.cedar": forbid}, configuration())


def test_an_obligation_less_widens():
    """A permit that obliges cannot be removed, or lose its words, as if that tightened."""
    old = {"a.cedar": PERMIT.format(owed="record")}
    plain = {"a.cedar": PERMIT.format(owed="record").replace('@oblige("record")\n', "")}
    assert any(change.widens for change in compare_policies(old, {"a.cedar": ""}))
    assert any(change.widens for change in compare_policies(old, plain))
    assert not any(change.widens for change in compare_policies(plain, {"a.cedar": ""}))


async def test_an_own_step_meets_them_or_is_refused():
    """It tells whom it must; what it cannot do makes its yes a no, on record, in lists too."""
    world, active = await emergency("record, notify group:security")
    lease = (await world.leases(active))[0]
    await use.reveal(world.services, world.caller("alice"), lease.id)
    told = [notice for notice in world.notices.said if notice.kind == "access:allowed"]
    assert [(notice.to, notice.about) for notice in told] == [(("erin", "frank"), active)]
    assert told[0].text == f"alice may credential:reveal on orders-db:repair ({active})"
    stricter = world.with_decider(obliging("step-up hardware"))
    with pytest.raises(DeniedError) as refused:
        await use.reveal(stricter.services, stricter.caller("alice"), lease.id)
    assert refused.value.reasons == ("policy obliges to step-up hardware",)
    assert refused.value.way_out == "authenticate with hardware"
    same = world.with_decider(obliging("step-up key"))
    await use.reveal(same.services, same.caller("alice"), lease.id)


async def test_an_enforcement_point_is_told_them():
    """With a yes and on record; a step up that lies behind the subject is not asked for again."""
    world, active = await emergency("record, notify group:security, step-up hardware")
    yes = await asked(world, active)
    assert yes.allowed
    assert [str(owed.obligation) for owed in yes.obligations] == [
        "record",
        "notify group:security",
        "step-up hardware",
    ]
    decision = made(world)[-1].decision
    assert decision is not None
    assert decision.obligations == tuple(owed.obligation for owed in yes.obligations)
    same = world.with_decider(obliging("step-up key"))
    assert (await asked(same, active)).obligations == ()


@pytest.mark.parametrize(
    "supported,is_yes",
    [
        (["custom", "step-up", "other"], True),
        (["custom"], False),
        ([], False),
        ("custom, step-up", False),
        ([1, None], False),
    ],
)
async def test_who_says_that_it_cannot_is_answered_no(supported: object, is_yes: bool):
    """What it cannot meet it must deny, so it is not tempted; the record says why."""
    world, active = await emergency("record, step-up hardware")
    answer = await asked(world, active, supported_obligations=supported)
    assert answer.allowed is is_yes
    assert bool(answer.obligations) is is_yes
    assert bool(answer.reasons) is not is_yes
    event = made(world)[-1]
    assert (event.allowed, bool(event.reason)) == (is_yes, not is_yes)


async def test_obligations_go_over_the_wire_as_the_profile_has_them():
    """Types and properties, and the metadata that says which there are."""
    world, active = await emergency("record, notify group:security, step-up phr")
    question = {
        "subject": {"type": "human", "id": "alice"},
        "action": {"name": "credential:reveal"},
        "resource": {"type": "activation", "id": active},
    }
    async with Face(world) as face:
        answer = await face.post("erin", "/access/v1/evaluation", question)
        found = (await face.client.get("/.well-known/authzen-configuration")).json()
    owed = {item["type"]: item for item in answer["context"]["obligations"]}
    assert sorted(owed) == found["supported_obligations"] == ["custom", "notification", "step-up"]
    assert owed["step-up"]["properties"] == {"acr_value": "phr"}
    assert owed["notification"]["properties"]["to"] == "group:security"
    assert owed["custom"]["properties"] == {"vendor": "callpoint", "action": "record"}
    assert len({item["id"] for item in owed.values()}) == 3


@pytest.mark.parametrize("owed,is_done", [("record", True), ("notify group:security", False)])
async def test_an_action_through_a_gateway_meets_them_or_is_refused(owed: str, is_done: bool):
    """Each is recorded; what no gateway does makes its yes a no, with the reason."""
    world = await make_world(adapt=behind)
    world = world.with_decider(obliging(owed, verb="sql:select"))
    await world.incident()
    active = await world.active()
    offer = await connect(world, active.id)
    authority = GatewayAuthority(world.services, GATEWAY)
    opened = await authority.open_session(Arrival(offer.connection.id, SOURCE, GATEWAY, "psql"))
    verdict = await authority.decide(opened.session, READ)
    assert verdict.allowed is is_done
    event = told(world, ev.ActionDecided)[-1]
    assert event.decisions[0].allowed
    assert ("policy obliges to" in event.reason) is not is_done
