"""Reviewing: independent, on evidence of this log, and only once everything is dead."""

import msgspec
import pytest

from callpoint.domain import event as ev
from callpoint.domain.activation import ActivationState
from callpoint.domain.approval import Verdict
from callpoint.domain.errors import ConflictError, DeniedError, RequestError
from callpoint.domain.review import Judgement, ReviewVerdict
from callpoint.lifecycle import give_back, review
from tests.fakes.invariants import told
from tests.fakes.world import World, eligibility, make_world

ALL = ("group:security", "group:commanders", "group:oncall", "gina")


async def ended(*, by: tuple[str, ...] = ("group:security",)) -> tuple[World, str]:
    rules = eligibility()
    rules = msgspec.structs.replace(rules, review=msgspec.structs.replace(rules.review, by=by))
    world = await make_world(rules)
    await world.incident()
    made = await world.active()
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    return world, made.id


def judged(
    world: World, verdict: ReviewVerdict = ReviewVerdict.JUSTIFIED, *findings: str
) -> Judgement:
    _, size, root = world.store.state.note.split("\n")[:3]
    return Judgement(verdict, f"{size} {root}", findings)


async def test_an_independent_person_looks_and_then_judges():
    """Triage and verdict are recorded with their person; the stream is closed by the verdict."""
    world, key = await ended()
    looked = await review.triage(world.services, world.caller("erin"), key)
    assert looked.review is not None
    assert (looked.state, looked.review.triaged_by) == (ActivationState.ENDED, "erin")
    said = judged(world, ReviewVerdict.MISUSE, "dropped a table nobody mentioned")
    after = await review.close(world.services, world.caller("frank"), key, said)
    assert after.state is ActivationState.REVIEWED
    assert after.review is not None
    assert (after.review.triaged_by, after.review.closed_by) == ("erin", "frank")
    assert after.review.verdict is ReviewVerdict.MISUSE
    assert after.review.checkpoint == said.checkpoint
    with pytest.raises(ConflictError, match="nothing to review"):
        await review.close(world.services, world.caller("erin"), key, judged(world))


@pytest.mark.parametrize("who", ["alice", "carol", "dave", "fixer", "gina"])
async def test_user_approver_machine_and_stranger_do_not_review(who):
    """Reviewer, user and approver are three persons, also when all are on the reviewers' list."""
    everybody = ("group:security", "group:commanders", "group:oncall")
    world, key = await ended(by=everybody)
    for act in (
        lambda: review.triage(world.services, world.caller(who), key),
        lambda: review.close(world.services, world.caller(who), key, judged(world)),
    ):
        with pytest.raises(DeniedError):
            await act()
    assert (await world.get(key)).state is ActivationState.ENDED
    by_rule = len(told(world.store.state, ev.RequestRefused))
    by_policy = len(told(world.store.state, ev.AccessRefused))
    assert by_rule + by_policy == 2


async def test_a_commander_who_did_not_vote_may_review():
    """What bars a person is the part they had, not the group they are in."""
    world, key = await ended(by=ALL)
    after = await review.close(world.services, world.caller("bob"), key, judged(world))
    assert after.state is ActivationState.REVIEWED


async def test_what_is_not_proven_dead_is_not_reviewed():
    """The verdict waits for every credential."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    world.target.down = True
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    with pytest.raises(ConflictError, match="not proven dead yet: tstinc"):
        await review.close(world.services, world.caller("erin"), made.id, judged(world))
    looked = await review.triage(world.services, world.caller("erin"), made.id)
    assert looked.state is ActivationState.ENDED


async def test_only_what_has_ended_is_reviewed():
    """Pending, active and denied ones have nothing to review."""
    world = await make_world()
    await world.incident()
    active, denied = await world.active(), await world.ask()
    await world.vote("carol", denied.id, Verdict.DENY)
    for key in (active.id, denied.id, (await world.ask()).id):
        with pytest.raises(ConflictError, match="nothing to review"):
            await review.triage(world.services, world.caller("erin"), key)


@pytest.mark.parametrize("line", ["", "1 root", "99999 AAAA"])
async def test_evidence_of_another_log_is_refused(line):
    """The reviewer must have looked at this log."""
    world, key = await ended()
    said = Judgement(ReviewVerdict.JUSTIFIED, line)
    with pytest.raises(DeniedError, match="not a checkpoint of this log"):
        await review.close(world.services, world.caller("erin"), key, said)


@pytest.mark.parametrize("verdict", [ReviewVerdict.MISUSE, ReviewVerdict.ROUTINE])
async def test_a_verdict_that_accuses_says_what_was_seen(verdict):
    """Misuse and routine use need a finding."""
    world, key = await ended()
    with pytest.raises(RequestError, match="needs a finding"):
        await review.close(world.services, world.caller("erin"), key, judged(world, verdict))


@pytest.mark.parametrize("findings", [("x",) * 51, ("x" * 2001,), ("\U0001f525" * 2000,) * 50])
async def test_findings_are_few_and_short_enough_for_one_entry(findings):
    """Whatever is too long is refused as a whole, and nothing is recorded."""
    world, key = await ended()
    said = judged(world, ReviewVerdict.JUSTIFIED, *findings)
    with pytest.raises(RequestError, match=r"at most|cannot|has \d+ bytes"):
        await review.close(world.services, world.caller("erin"), key, said)
    assert (await world.get(key)).state is ActivationState.ENDED
