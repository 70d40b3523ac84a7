"""Approving: distinct natural persons sign the exact request."""

from datetime import timedelta

import msgspec
import pytest

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.approval import Verdict, Vote
from callpoint.domain.errors import ConflictError, DeniedError, RequestError
from callpoint.domain.ids import REFUSALS_STREAM
from callpoint.lifecycle import approve
from callpoint.lifecycle.proof import proven
from callpoint.lifecycle.votes import statement_for
from tests.fakes.keys import Signer
from tests.fakes.stage import Deciders, make_stage
from tests.fakes.world import World, eligibility, make_world


async def asked(who: str = "alice", *rules) -> tuple[World, Activation]:
    world = await make_world(*rules)
    await world.incident()
    return world, await world.ask(who)


async def refusals(world: World) -> list[ev.Event]:
    found = await world.services.store.read(
        lambda view: proven(view, world.services.installation, [REFUSALS_STREAM])
    )
    return [item.event for item in found[REFUSALS_STREAM]]


async def signed_vote(
    world: World, who: str, made: Activation, signer: str = "", **changes: object
) -> Vote:
    """A vote as ``who`` would send it, changed before or after signing."""
    shown = await approve.statement(world.services, world.caller("carol"), made.id, Verdict.APPROVE)
    honest = statement_for(made, world.caller(who).principal, Verdict.APPROVE, shown.checkpoint)
    said = msgspec.structs.replace(honest, **changes)
    return Vote(said.body(), Signer(signer or who).sign(said.message()))


async def test_two_commanders_make_a_quorum():
    """The first yes leaves it open, the second approves it, and both names are on record."""
    world, made = await asked()
    after = await world.vote("carol", made.id)
    assert after.state is ActivationState.REQUESTED
    after = await world.vote("dave", made.id)
    assert after.state is ActivationState.APPROVED
    assert [vote.person for vote in after.approvals] == ["carol", "dave"]


@pytest.mark.parametrize(
    "who, words",
    [
        ("alice", "asks for"),
        ("gina", "confirmed incident"),
        ("erin", "not an approver"),
        ("fixer", "only people approve"),
        ("deployer", "only people approve"),
    ],
)
async def test_who_has_no_say_is_refused_on_record(who, words):
    """Requester, confirmer, bystander and machine: each is told why, and it is in the log."""
    world, made = await asked()
    with pytest.raises(DeniedError, match=words):
        await world.vote(who, made.id)
    (refused,) = await refusals(world)
    assert isinstance(refused, ev.RequestRefused)
    assert (refused.actor, refused.about) == (who, made.id)
    assert (await world.get(made.id)).approvals == ()


@pytest.mark.parametrize("who, requester", [("bob", "bob"), ("bob", "deployer")])
async def test_whoever_stands_behind_a_request_cannot_approve_it(who, requester):
    """A commander cannot approve what he, or a machine that he answers for, asked."""
    world, made = await asked(requester)
    vote = await signed_vote(world, who, made)
    with pytest.raises(DeniedError):
        await approve.approve(world.services, world.caller(who), made.id, vote)
    assert (await world.get(made.id)).approvals == ()


async def test_one_person_votes_once_also_with_two_keys():
    """A second device is not a second person."""
    stage = await make_stage(deciders=Deciders())
    world = stage.node()
    await world.incident(targets=("billing-db", "orders-db"))
    made = await world.ask()
    await world.vote("carol", made.id)
    for who in ("carol", "carol-phone"):
        with pytest.raises(ConflictError, match="carol has voted already"):
            await world.vote(who, made.id)
    assert len((await world.get(made.id)).approvals) == 1


@pytest.mark.parametrize(
    "field",
    [
        "activation",
        "request_digest",
        "configuration_digest",
        "policy_digest",
        "nonce",
        "installation",
        "domain",
        "approver",
        "person",
    ],
)
async def test_a_statement_of_another_request_is_refused_on_record(field):
    """A vote over a changed request, however well signed, counts for nothing."""
    world, made = await asked()
    vote = await signed_vote(world, "carol", made, **{field: "other"})
    with pytest.raises(DeniedError, match=f"{field} differs"):
        await approve.approve(world.services, world.caller("carol"), made.id, vote)
    assert [type(e) for e in await refusals(world)] == [ev.RequestRefused]
    assert (await world.get(made.id)).approvals == ()


async def test_a_vote_for_one_request_does_not_count_for_another():
    """The same words for another activation are another request."""
    world, made = await asked()
    other = await world.ask()
    vote = await signed_vote(world, "carol", made)
    with pytest.raises(DeniedError, match="differs"):
        await approve.approve(world.services, world.caller("carol"), other.id, vote)


async def test_a_no_cannot_be_sent_as_a_yes():
    """The verdict is part of what is signed."""
    world, made = await asked()
    vote = await signed_vote(world, "carol", made, verdict=Verdict.DENY)
    with pytest.raises(DeniedError, match="verdict differs"):
        await approve.approve(world.services, world.caller("carol"), made.id, vote)


async def test_a_signature_by_another_key_is_refused():
    """Only the key that is configured for the caller signs for the caller."""
    world, made = await asked()
    vote = await signed_vote(world, "carol", made, signer="dave")
    with pytest.raises(DeniedError, match="signature does not verify"):
        await approve.approve(world.services, world.caller("carol"), made.id, vote)


@pytest.mark.parametrize("line", ["", "1 AAAA", "999999 AAAA", "-1 x", "1", "0 x", "x" * 60_000])
async def test_a_checkpoint_that_this_log_never_had_is_refused(line):
    """Whoever looked at another log, or claims to, approves nothing here."""
    world, made = await asked()
    vote = await signed_vote(world, "carol", made, checkpoint=line)
    with pytest.raises(DeniedError, match="not a checkpoint of this log"):
        await approve.approve(world.services, world.caller("carol"), made.id, vote)


async def test_an_earlier_checkpoint_of_this_log_is_fine():
    """The log grows while somebody reads and signs."""
    world, made = await asked()
    vote = await signed_vote(world, "carol", made)
    await world.vote("dave", made.id)
    after = await approve.approve(world.services, world.caller("carol"), made.id, vote)
    assert after.state is ActivationState.APPROVED


async def test_a_statement_that_is_none_is_a_malformed_request():
    """Bytes that are no statement are refused before any key is looked at."""
    world, made = await asked()
    with pytest.raises(RequestError, match="not an approval statement"):
        await approve.approve(world.services, world.caller("carol"), made.id, Vote(b"yes!", ""))


async def test_one_no_is_enough():
    """A denial by anybody who could approve ends the request."""
    world, made = await asked()
    await world.vote("carol", made.id)
    after = await world.vote("dave", made.id, Verdict.DENY)
    assert after.state is ActivationState.DENIED
    with pytest.raises(ConflictError, match="the vote is over"):
        await world.vote("bob", made.id)


@pytest.mark.parametrize("who", ["alice", "gina", "erin", "fixer"])
async def test_who_cannot_approve_cannot_deny(who):
    """A no has weight, so it comes from those who are asked; others withdraw or kill."""
    world, made = await asked()
    with pytest.raises(DeniedError):
        await world.vote(who, made.id, Verdict.DENY)
    assert (await world.get(made.id)).state is ActivationState.REQUESTED


async def test_a_request_that_lapsed_takes_no_vote():
    """Silence until the deadline is a no, also before anything swept."""
    world, made = await asked()
    shown = await signed_vote(world, "carol", made)
    world.clock.advance(timedelta(minutes=10, microseconds=1))
    with pytest.raises(ConflictError, match="lapsed"):
        await approve.approve(world.services, world.caller("carol"), made.id, shown)


async def test_words_beside_a_vote_are_personal():
    """A comment is kept beside the log, cut, and only committed to in it."""
    world, made = await asked()
    vote = msgspec.structs.replace(
        await signed_vote(world, "carol", made), comment="saw the graphs " * 1000
    )
    await approve.approve(world.services, world.caller("carol"), made.id, vote)
    assert not any(b"saw the graphs" in leaf for leaf in world.store.state.leaves)
    (kept,) = [p for p in world.store.state.personal.values() if "comment" in p]
    assert len(kept["comment"][1]) <= approve.COMMENT_LIMIT


async def test_a_request_under_old_rules_takes_no_yes():
    """Issue would not count it, so nobody is let approve in vain."""
    world, made = await asked("alice", eligibility())
    vote = await signed_vote(world, "carol", made)
    old = msgspec.structs.replace(made.request, configuration_digest="older")
    held, at = world.store.state.records[Activation, made.id]
    assert isinstance(held, Activation)
    changed = msgspec.structs.replace(held, request=old)
    world.store.state.records[Activation, made.id] = (changed, at)
    with pytest.raises(ConflictError, match="configuration changed"):
        await approve.approve(world.services, world.caller("carol"), made.id, vote)
