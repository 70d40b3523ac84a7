"""Decisions in process, beside Cedar's own handles.

    python -m benchmarks.decide --json

Ours is what every gate calls: build the question from facts, refuse what the configuration does not
describe, ask Cedar with the schema, and read the answer so that an error denies. Cedar's side is
``cedarpy.is_authorized`` with the same parsed policies, entities and schema, on questions that were
built beforehand. Both decide the same requests, in turns.
"""

import gc
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from typing import cast

import cedarpy
import msgspec

from benchmarks.report import Report, median_ratio, must, options, percentile
from callpoint.config.default_policies import default_pack
from callpoint.domain.configuration import Configuration
from callpoint.domain.decision import Action, ActivationFacts, DecisionRequest, IncidentFacts
from callpoint.domain.eligibility import Opening, Severity
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.principal import PrincipalKind
from callpoint.policy import entities, question, schema
from callpoint.policy.pdp import Pdp
from callpoint.policy.policy_set import PolicySet
from callpoint.policy.world import (
    World,
    WorldEligibility,
    WorldPrincipal,
    WorldTarget,
    configured,
)

POLICIES, ENTITIES = 30, 400
_TEAMS, _PEOPLE, _TARGETS = 19, 199, 60
_AT = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
_ACTIONS = (Action.ACTIVATION_REQUEST, Action.ACTIVATION_ISSUE, Action.CREDENTIAL_REVEAL)
_MORE = """
@id("no-team-{n}-on-{n}")
@reason("team {n} does not repair that target")
forbid (principal in Group::"team-{n}", action, resource in Target::"target-{n}");
"""


def configuration() -> Configuration:
    """A company of ordinary size: teams on call for their own targets."""
    people = {
        f"person-{n}": WorldPrincipal(
            PrincipalKind.HUMAN if n % 3 else PrincipalKind.WORKLOAD,
            () if n % 3 else ("person-1",),
            (f"team-{n % _TEAMS}",),
        )
        for n in range(_PEOPLE)
    }
    targets = {f"target-{n}": WorldTarget(("read", "repair")) for n in range(_TARGETS)}
    eligibilities = {
        f"team-{n}": WorldEligibility(
            (f"group:team-{n}",),
            tuple(f"target-{t}:repair" for t in range(n, _TARGETS, _TEAMS)),
            severity=(Severity.SEV1, Severity.SEV2),
        )
        for n in range(_TEAMS)
    }
    return configured(World(people, targets, eligibilities, ("grace",)), "benchmark")


def requests(rules: Configuration) -> list[DecisionRequest]:
    """Some that are allowed, some that are not: another target, another team, no quorum."""
    found = []
    for n, action in islice(zip(range(_PEOPLE), cycle(_ACTIONS), strict=False), _PEOPLE):
        who = rules.principals[f"person-{n}"]
        eligibility = rules.eligibilities[f"team-{n % _TEAMS}"]
        target = n % _TEAMS if n % 4 else (n + 1) % _TEAMS
        opening = Opening(f"target-{target}", "repair")
        facts: ActivationFacts = msgspec.structs.replace(
            question.activation(rules, eligibility, who), quorum_met=n % 5 > 0
        )
        incident = IncidentFacts(
            state=IncidentState.OPEN,
            ref="inc-7",
            severity=Severity.SEV1,
            targets=(opening.target,),
            age=timedelta(minutes=5),
            confirmed=True,
        )
        found.append(
            DecisionRequest(
                actor=question.actor(rules, who),
                action=action,
                resource=question.resource(rules, opening),
                at=_AT,
                incident=incident,
                activation=facts,
            )
        )
    return found


def policies() -> dict[str, str]:
    """The pack that comes with Callpoint, and as many more as it lacks."""
    pack = default_pack()
    held = sum(text.count('@id("') for text in pack.values())
    more = "".join(_MORE.format(n=n) for n in range(POLICIES - held))
    return {**pack, "more.cedar": more} if more else pack


def bare(asked: DecisionRequest, rules: Configuration) -> dict[str, object]:
    """The question as Cedar takes it, built outside the clock."""
    principal = rules.principals[asked.actor.principal]
    return {
        "principal": entities.principal_uid(principal),
        "action": {"type": "Action", "id": str(asked.action)},
        "resource": entities.resource_uid(asked.resource),
        "context": msgspec.json.encode(schema.context(asked)).decode(),
    }


def timed(act: Callable[[object], object], questions: Sequence[object]) -> list[float]:
    """Seconds of each call."""
    took = []
    for item in questions:
        begun = time.perf_counter()
        act(item)
        took.append(time.perf_counter() - begun)
    return took


def main() -> None:
    chosen = options(__doc__)
    report = Report()
    rules = configuration()
    chosen_policies = PolicySet.load(policies(), rules)
    pdp = Pdp(chosen_policies, rules)
    held = entities.parsed(rules, chosen_policies.schema)
    asked = requests(rules)
    questions = [bare(item, rules) for item in asked]

    def cedar(item: object) -> cedarpy.AuthzResult:
        return cedarpy.is_authorized(
            cast("dict[str, object]", item), chosen_policies.cedar, held, chosen_policies.schema
        )

    def ours(item: object) -> object:
        return pdp.evaluate(cast("DecisionRequest", item))

    allowed = 0
    for item, plain in zip(asked, questions, strict=True):
        said, plainly = pdp.evaluate(item), cedar(plain)
        must(not said.errors, f"errors: {said.errors}")
        must(said.allowed == (plainly.decision is cedarpy.Decision.Allow), f"not alike: {item}")
        allowed += said.allowed
    must(0 < allowed < len(asked), "all requests come out the same")
    report.figure("policies", len(chosen_policies.policies), 0)
    report.figure("entities", _count(rules), 0)
    report.figure("allowed_share", allowed / len(asked), 2)
    must(len(chosen_policies.policies) >= POLICIES, "too few policies")
    must(_count(rules) >= ENTITIES, "too few entities")
    mine: list[float] = []
    theirs: list[float] = []
    pairs: list[tuple[float, float]] = []
    gc.disable()  # a collection in one of the two would be told as its cost
    for _ in range(2 if chosen.quick else 40):
        a, b = timed(ours, asked), timed(cedar, questions)
        mine += a
        theirs += b
        pairs.append((sum(b), sum(a)))
    gc.enable()
    for name, took in (("decide", mine), ("cedarpy", theirs)):
        report.figure(f"{name}_per_s", len(took) / sum(took), 0)
        report.figure(f"{name}_p50_us", percentile(took, 50) * 1e6, 1)
        report.figure(f"{name}_p99_us", percentile(took, 99) * 1e6, 1)
    report.ratio("decide_vs_cedarpy", median_ratio(pairs), ">= 0.8")
    report.note(
        "a refusal also asks which permits were near, so that its reason helps;"
        " Cedar's side says yes or no"
    )
    report.finish(as_json=chosen.json)


def _count(rules: Configuration) -> int:
    roles = sum(len(target.roles) for target in rules.targets.values())
    return len(rules.groups) + len(rules.principals) + len(rules.targets) + roles + 1


if __name__ == "__main__":
    main()
