"""Who acts for somebody: named by the holder, allowed by policy, never for longer than it."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest

from callpoint.api.tokens import ACCESS_TOKEN
from callpoint.config.default_policies import default_pack
from callpoint.domain import event as ev
from callpoint.domain.configuration import Configuration
from callpoint.domain.eligibility import Mode
from callpoint.domain.governance import Bundle
from callpoint.domain.kill import Scope
from callpoint.domain.principal import Principal, PrincipalKind
from callpoint.domain.token import DETAILS_TYPE
from callpoint.lifecycle.kill import kill
from callpoint.lifecycle.verify_token import Shown, verify_token
from callpoint.policy import pap
from callpoint.ports.decider import Decider
from tests.fakes.face import ADDRESS, Face
from tests.fakes.invariants import told
from tests.fakes.keys import Signer
from tests.fakes.token_client import AUDIENCE, TokenClient, refused
from tests.fakes.world import World, eligibility, make_world

OWN = "unless { principal.name == context.activation.requester };"
ALSO = """unless {
  principal.name == context.activation.requester ||
  context.actor.acts_for.contains(context.activation.requester)
};"""
PERMIT = """
@id("delegates-may-act")
permit (principal is Agent, action == Action::"credential:reveal", resource is TargetRole)
when { context.actor.acts_for.contains(context.activation.requester) };
"""


def with_delegates(bundle: Bundle) -> Decider:
    """The default pack with the change that docs/authorization-flow.md shows."""
    pack = {name: text.replace(OWN, ALSO) for name, text in default_pack().items()}
    return pap.decider({**pack, "delegates.cedar": PERMIT}, bundle.configuration)


def with_planner(rules: Configuration) -> Configuration:
    """One more agent that alice answers for, and one of bob's."""
    more = {
        name: Principal(name, PrincipalKind.AGENT, (person,), Signer(name).public)
        for name, person in (("planner", "alice"), ("spy", "carol"))
    }
    return msgspec.structs.replace(rules, principals={**rules.principals, **more})


async def world_of(mode: Mode = Mode.ASSISTED) -> World:
    world = await make_world(eligibility(mode=mode), adapt=with_planner)
    await world.incident()
    return world


@pytest.fixture
async def alice() -> AsyncIterator[TokenClient]:
    async with Face((await world_of()).with_decider(with_delegates)) as face:
        yield TokenClient(face)


def agent(alice: TokenClient, name: str = "fixer") -> TokenClient:
    return TokenClient(alice.face, name)


async def act(who: TokenClient, token: str, **fields: str):
    """The delegate's exchange."""
    return await who.exchange(token, subject_token_type=ACCESS_TOKEN, **fields)


async def test_an_agent_acts_for_the_requester(alice: TokenClient):
    """Its token names both, is bound to its own key, and ends with the one it was given for."""
    fixer = agent(alice)
    token = await alice.token(await alice.live(), delegate="fixer")
    alice.face.world.clock.advance(timedelta(minutes=2))
    answer = await act(fixer, token)
    assert answer.status_code == 200, answer.text
    assert answer.json()["expires_in"] == 180
    acting = answer.json()["access_token"]
    told_ = (await fixer.form("/oauth/introspect", {"token": acting})).json()
    assert (told_["sub"], told_["client_id"], told_["act"]) == ("alice", "fixer", {"sub": "fixer"})
    shown = (await fixer.use(acting)).json()
    assert (shown["holder"], shown["acts_for"]) == ("fixer", ["alice"])
    assert refused(await alice.use(acting)) == (401, "invalid_dpop_proof")
    issued = told(alice.face.world.store.state, ev.TokenIssued)
    assert issued[1].parent == issued[0].token
    assert issued[1].asked.actor.acts_for == ("alice",)


async def test_a_chain_of_agents(alice: TokenClient):
    """The present actor is outermost; policy is asked about it, and about everybody behind it."""
    fixer, planner = agent(alice), agent(alice, "planner")
    token = await alice.token(await alice.live(), delegate="planner")
    planned = (await act(planner, token, delegate="fixer")).json()["access_token"]
    acting = (await act(fixer, planned)).json()["access_token"]
    place = (f"{ADDRESS}/v1/token",)
    shown = Shown(acting, "GET", place, proof=fixer.use_proof(acting))
    verified = await verify_token(alice.desk, shown, AUDIENCE)
    assert verified.caller.acts_for == ("planner", "alice")
    chain = {"sub": "fixer", "act": {"sub": "planner"}}
    assert msgspec.to_builtins(verified.claims.act) == chain
    assert (await planner.form("/oauth/revoke", {"token": planned})).status_code == 200
    assert not await fixer.active(acting)
    assert await alice.active(token)


@pytest.mark.parametrize("end", ["revoke", "kill"])
async def test_a_delegate_outlives_nobody(alice: TokenClient, end: str):
    """When the holder gives its token up, or the activation is killed, the delegate's is over."""
    world, found, fixer = alice.face.world, await alice.live(), agent(alice)
    token = await alice.token(found, delegate="fixer")
    acting = (await act(fixer, token)).json()["access_token"]
    assert await fixer.active(acting)
    if end == "kill":
        await kill(world.services, world.caller("erin"), Scope.ACTIVATION, found)
    else:
        await alice.form("/oauth/revoke", {"token": token})
    assert not await fixer.active(acting)
    assert refused(await fixer.use(acting)) == (401, "invalid_token")
    assert refused(await act(fixer, token)) == (400, "invalid_grant")


@pytest.mark.parametrize("about", ["fixer", "alice"])
async def test_a_delegate_is_killed(alice: TokenClient, about: str):
    """A kill of the agent ends what others let it do, and it cannot exchange the token again."""
    world, found, fixer = alice.face.world, await alice.live(), agent(alice)
    token = await alice.token(found, delegate="fixer")
    acting = (await act(fixer, token)).json()["access_token"]
    for _ in range(2):
        await kill(world.services, world.caller("erin"), Scope.PRINCIPAL, about)
    assert not await fixer.active(acting)
    assert refused(await act(fixer, token)) == (400, "invalid_grant")
    assert await alice.active(token) == (about == "fixer")
    world.clock.advance(timedelta(seconds=2))
    if about == "fixer":  # the requester may let it act again
        again = await alice.token(found, delegate="fixer")
        acting = (await act(fixer, again)).json()["access_token"]
        assert await fixer.active(acting)


async def test_a_machine_does_not_cut_another_off(alice: TokenClient):
    """A kill by a machine reaches its own; another agent goes on acting."""
    world, fixer = alice.face.world, agent(alice)
    token = await alice.token(await alice.live(), delegate="fixer")
    acting = (await act(fixer, token)).json()["access_token"]
    await kill(world.services, world.caller("deployer"), Scope.PRINCIPAL, "fixer")
    await kill(world.services, world.caller("erin"), Scope.PRINCIPAL, "fixer" + "x" * 5000)
    assert await fixer.active(acting)
    await kill(world.services, world.caller("fixer"), Scope.PRINCIPAL, "fixer")
    assert not await fixer.active(acting)


async def test_nobody_acts_who_was_not_named(alice: TokenClient):
    """A token that was found, or that names another one, makes nobody a delegate, on record."""
    found = await alice.live()
    for delegate in ("", "planner"):
        token = await alice.token(found, delegate=delegate)
        assert refused(await act(agent(alice), token)) == (400, "invalid_grant")
    refusals = told(alice.face.world.store.state, ev.RequestRefused)
    assert [event.actor for event in refusals] == ["fixer", "fixer"]
    assert refused(await act(agent(alice), "no.token.atall")) == (400, "invalid_grant")


async def test_who_approved_does_not_act_through_an_agent(alice: TokenClient):
    """An agent that others answer for is no delegate: carol approved, and spy is hers (I9)."""
    token = await alice.token(await alice.live(), delegate="spy")
    answer = await act(agent(alice, "spy"), token)
    assert refused(answer) == (400, "invalid_grant")
    assert "others than the requester" in answer.json()["error_description"]


async def test_a_delegate_gets_no_more(alice: TokenClient):
    """Neither another audience nor an action that the exchanged token leaves out."""
    few = json.dumps([{"type": DETAILS_TYPE, "actions": ["sql:select", "sql:show"]}])
    found, fixer = await alice.live(), agent(alice)
    token = await alice.token(found, delegate="fixer", authorization_details=few)
    other = await act(fixer, token, audience=AUDIENCE.replace("repair", "read"))
    assert refused(other) == (400, "invalid_target")
    for actions, wanted in ((["sql:select"], ["sql:select"]), ([], ["sql:select", "sql:show"])):
        asked = json.dumps([{"type": DETAILS_TYPE, "actions": actions}])
        answer = await act(fixer, token, authorization_details=asked)
        assert answer.json()["authorization_details"][0]["actions"] == wanted
    wide = json.dumps([{"type": DETAILS_TYPE, "actions": ["sql:select", "ddl:drop-table"]}])
    widened = await act(fixer, token, authorization_details=wide)
    assert refused(widened) == (400, "invalid_authorization_details")


async def test_the_default_policies_know_no_delegates():
    """Until an installation writes that they may, policy says no, on record."""
    async with Face(await world_of()) as face:
        alice = TokenClient(face)
        token = await alice.token(await alice.live(), delegate="fixer")
        assert refused(await act(agent(alice), token)) == (400, "invalid_grant")
        (event,) = told(face.world.store.state, ev.AccessRefused)
        assert event.question.actor.acts_for == ("alice",)
        assert "only-the-requester-receives" in event.decision.policies


async def test_nobody_acts_where_people_must():
    """An eligibility of mode ``human`` has no delegates, whatever policy says."""
    async with Face((await world_of(Mode.HUMAN)).with_decider(with_delegates)) as face:
        alice = TokenClient(face)
        token = await alice.token(await alice.live(), delegate="fixer")
        answer = await act(agent(alice), token)
        assert refused(answer) == (400, "invalid_grant")
        assert "people themselves" in answer.json()["error_description"]
