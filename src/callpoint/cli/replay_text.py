"""What a replay found, for a person and for a program."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import msgspec

from callpoint.cli.words import listed, moment
from callpoint.domain.counted import plural
from callpoint.domain.decision import Decision, DecisionRequest
from callpoint.policy.replay.replaying import NOBODY, Outcome, Redecided

_ALARM = "! ALARM: the policy of the time gives another answer than the one on record"
_OUTDATED = "! ALARM: decided under a configuration that was no longer in force"
_KEEP = "! keep the log and this installation as they are, and find out what changed"


def facts(
    outcome: Outcome, since: datetime, until: datetime, size: int, *, is_proposed: bool
) -> dict[str, object]:
    """One document; ``differences`` and ``changes`` are cut, their numbers are not."""
    found: dict[str, object] = {
        "ok": True,
        "since": since,
        "until": until,
        "entries": size,
        "decided": outcome.decided,
        "differing": outcome.differing,
        "differences": [_redecided(item) for item in outcome.differences],
        "outdated": outcome.outdated,
        "outdates": [_redecided(item) for item in outcome.outdates],
        "not_decided": dict(outcome.missed),
    }
    if is_proposed:
        found |= {
            "changing": outcome.changing,
            "changes": [_redecided(item) for item in outcome.changes],
            "other_policies": outcome.other_policies,
            "by_policy": _counted(outcome.by_policy, "policy"),
            "by_principal": _counted(outcome.by_principal, "principal"),
        }
    return found


def lines(
    outcome: Outcome, since: datetime, until: datetime, size: int, *, is_proposed: bool
) -> Iterator[str]:
    """The alarm first, then what would change, then the sums."""
    if outcome.differing:
        yield f"{_ALARM}, {plural(outcome.differing, 'time')}:"
        yield from _listed(outcome.differences, outcome.differing)
        yield _KEEP
    if outcome.outdated:
        yield f"{_OUTDATED}, {plural(outcome.outdated, 'time')}:"
        yield from _listed(outcome.outdates, outcome.outdated)
        yield _KEEP
    if is_proposed and outcome.changing:
        yield "would be decided otherwise:"
        yield from _listed(outcome.changes, outcome.changing)
        yield "by the policy that decides now:"
        yield from _sums(outcome.by_policy)
        yield "by principal:"
        yield from _sums(outcome.by_principal)
    for why, count in sorted(outcome.missed.items()):
        yield f"not decided again, {plural(count, 'decision')}: {why}"
    yield f"the log of {plural(size, 'entry', 'entries')} is verified"
    yield (
        f"{moment(since)} to {moment(until)}: {plural(outcome.decided, 'decision')} decided again,"
        f" {outcome.differing or 'none'} with another answer by the policy of the time"
    )
    if is_proposed:
        other = outcome.other_policies
        also = f"; {plural(other, 'other')} for another reason" if other else ""
        yield f"the proposal would change {outcome.changing or 'none'} of them{also}"


def _listed(kept: list[Redecided], count: int) -> Iterator[str]:
    for item in kept:
        yield from _words(item)
    if count > len(kept):
        yield f"  … and {count - len(kept)} more"


def _words(item: Redecided) -> Iterator[str]:
    about = item.question.incident.ref if item.question.incident else ""
    what = f"{item.question.verb} on {_resource(item.question)}"
    named = f" for {about}" if about else ""
    yield (
        f"  {moment(item.at)}  {item.question.actor.principal} {what}{named}:"
        f" {item.old.effect} -> {item.new.effect}"
    )
    yield from _why("was", item.old)
    yield from _why("now", item.new)


def _why(when: str, decision: Decision) -> Iterator[str]:
    yield f"      {when}: {listed(decision.policies, NOBODY)}"
    yield from (f"        {reason}" for reason in decision.reasons or decision.errors)


def _sums(counts: "Counter[tuple[str, str]]") -> Iterator[str]:
    for (name, change), count in sorted(counts.items(), key=_most_first):
        yield f"  {name}: {plural(count, 'decision')} {change}"


def _counted(counts: "Counter[tuple[str, str]]", what: str) -> list[dict[str, object]]:
    return [
        {what: name, "change": change, "count": count}
        for (name, change), count in sorted(counts.items(), key=_most_first)
    ]


def _most_first(item: tuple[tuple[str, str], int]) -> tuple[int, tuple[str, str]]:
    return -item[1], item[0]


def _redecided(item: Redecided) -> dict[str, object]:
    question = item.question
    return {
        "at": item.at,
        "principal": question.actor.principal,
        "action": question.action,
        "resource": _resource(question),
        "incident": question.incident.ref if question.incident else "",
        "activation": question.activation.id if question.activation else "",
        "old": msgspec.to_builtins(item.old),
        "new": msgspec.to_builtins(item.new),
    }


def _resource(question: DecisionRequest) -> str:
    opening = question.resource.opening
    return "the installation" if opening is None else str(opening)
