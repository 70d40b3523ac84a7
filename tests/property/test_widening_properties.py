"""No path widens access without its signatures, whatever two configurations are compared."""

import typing
from datetime import timedelta
from itertools import combinations
from typing import NamedTuple

import msgspec
from hypothesis import event, given, settings
from hypothesis import strategies as st

from callpoint.domain.allowance import Allowance, Rate
from callpoint.domain.configuration import (
    Configuration,
    Governance,
    Group,
    IncidentSource,
    Target,
    TargetRole,
)
from callpoint.domain.eligibility import (
    ApprovalRule,
    BudgetRule,
    Eligibility,
    IncidentRule,
    Lane,
    Mode,
    Opening,
    Purpose,
    ReviewRule,
    Severity,
)
from callpoint.domain.principal import Person, Principal, PrincipalKind
from callpoint.domain.widening import compare, is_widening, required_signatures

PEOPLE = ("ann", "ben", "cat", "dan")
MACHINES = ("bot", "job")
KEYS = st.sampled_from(("k1", "k2"))
OPENINGS = tuple(Opening(target, role) for target in ("db", "web") for role in ("read", "write"))
SPANS = st.sampled_from([timedelta(minutes=m) for m in (10, 20, 30)])
SUBJECTS = ("group:g", "group:h", *PEOPLE, *MACHINES)


def some(items: tuple[object, ...], smallest: int = 0) -> st.SearchStrategy[typing.Any]:
    return st.lists(st.sampled_from(items), min_size=smallest, max_size=3, unique=True).map(tuple)


FIELDS: dict[str, st.SearchStrategy[typing.Any]] = {
    "lane": st.sampled_from(Lane),
    "mode": st.sampled_from(Mode),
    "who": some(SUBJECTS),
    "opens": some(OPENINGS),
    "ttl": SPANS,
    "approval": st.builds(
        ApprovalRule, quorum=st.integers(0, 3), approvers=some(SUBJECTS), within=SPANS
    ),
    "budget": st.builds(BudgetRule, incidents=st.integers(1, 3), per=SPANS),
    "review": st.builds(ReviewRule, by=some(SUBJECTS), triage=SPANS, close=SPANS),
    "incident": st.none()
    | st.builds(IncidentRule, severity=some(tuple(Severity)), must_name_target=st.booleans()),
    "idle": st.none() | SPANS,
    "accept_residual": st.booleans(),
    "purposes": some(tuple(Purpose), 1),
    "allowance": st.just(msgspec.UNSET)
    | st.builds(
        Allowance,
        rows=st.none() | st.integers(0, 3),
        rate=st.none() | st.builds(Rate, actions=st.integers(1, 3), per=SPANS),
    ),
}
"""Fields of an eligibility, each with other values."""

HALF_HOUR = timedelta(minutes=30)
PATROL = Eligibility(
    id="e",
    lane=Lane.BREAK_GLASS,
    mode=Mode.AUTOMATED,
    who=("group:g", "bot"),
    opens=OPENINGS[:3],
    ttl=HALF_HOUR,
    approval=ApprovalRule(quorum=1, approvers=("group:h", "cat"), within=HALF_HOUR),
    budget=BudgetRule(incidents=2, per=timedelta(minutes=20)),
    review=ReviewRule(by=("group:h",), triage=HALF_HOUR, close=HALF_HOUR),
    incident=IncidentRule(severity=(Severity.SEV1, Severity.SEV2)),
)


def key_of(name: str, number: int = 0) -> str:
    return f"key-{number}-of-{name}"


def principal(name: str) -> st.SearchStrategy[Principal]:
    human = name in PEOPLE
    return st.builds(
        Principal,
        id=st.just(name),
        kind=st.just(PrincipalKind.HUMAN if human else PrincipalKind.AGENT),
        persons=st.just((name,)) if human else some(PEOPLE, 1),
        key=st.sampled_from((key_of(name), key_of(name, 1))),
    )


def target(name: str) -> st.SearchStrategy[Target]:
    role = st.builds(
        TargetRole,
        id=st.just("read"),
        settings=st.sampled_from(({"parent": "p"}, {"parent": "q"})),
    )
    write = TargetRole(id="write", settings={"parent": "w"})
    return st.builds(
        Target,
        id=st.just(name),
        connector=st.just("simulated"),
        environment=st.sampled_from(("production", "staging")),
        roles=st.one_of(st.tuples(role, st.just(write)), st.tuples(role)),
    )


def group(name: str) -> st.SearchStrategy[Group]:
    return st.builds(Group, id=st.just(name), members=some((*PEOPLE, *MACHINES)))


def source(name: str) -> st.SearchStrategy[IncidentSource]:
    return st.builds(
        IncidentSource,
        id=st.just(name),
        kind=st.just("alertmanager"),
        token_sha256=st.sampled_from(("a", "b")),
        severity=st.dictionaries(st.sampled_from(("page", "warn")), st.sampled_from(Severity)),
        targets=st.dictionaries(st.just("svc"), some(("db", "web"), 1), max_size=1),
        stale_after=SPANS,
    )


ENTRIES: dict[str, tuple[typing.Any, tuple[str, ...]]] = {
    "groups": (group, ("g", "h")),
    "principals": (principal, (*PEOPLE, *MACHINES)),
    "targets": (target, ("db", "web")),
    "sources": (source, ("s",)),
}
governances = st.builds(
    Governance,
    governors=st.dictionaries(st.sampled_from(PEOPLE), KEYS, min_size=1),
    quorum=st.integers(1, 3),
    security=some(("group:g", "group:h"), 1),
)


def generous(draw: st.DrawFn) -> Configuration:
    """Everybody has a key, both groups have members, and most openings can be had."""
    return Configuration(
        governance=draw(governances),
        persons={name: Person(id=name) for name in PEOPLE},
        groups={
            "g": Group(id="g", members=("ann", "ben", "job")),
            "h": Group(id="h", members=("cat", "dan")),
        },
        principals={name: draw(principal(name)) for name in (*PEOPLE, *MACHINES)},
        targets={name: draw(target(name)) for name in ("db", "web")},
        eligibilities={"e": PATROL},
        sources={"s": draw(source("s"))},
    )


def edited(draw: st.DrawFn, c: Configuration) -> Configuration:
    """One edit, as a person would make it: an entry added, removed or changed, or one line."""
    match draw(st.sampled_from(("entry", "line", "line", "copy", "governance"))):
        case "entry":
            section = draw(st.sampled_from(sorted(ENTRIES)))
            make, names = ENTRIES[section]
            name = draw(st.sampled_from(names))
            table = {k: v for k, v in getattr(c, section).items() if k != name}
            if draw(st.booleans()):
                table[name] = draw(make(name))
            return msgspec.structs.replace(c, **{section: table})
        case "line" if c.eligibilities:
            name = draw(st.sampled_from(sorted(c.eligibilities)))
            field = draw(st.sampled_from(sorted(FIELDS)))
            line = msgspec.structs.replace(c.eligibilities[name], **{field: draw(FIELDS[field])})
            return msgspec.structs.replace(c, eligibilities={**c.eligibilities, name: line})
        case "copy":
            rules = {k: v for k, v in c.eligibilities.items() if k != "f"}
            if "f" not in c.eligibilities:
                rules["f"] = msgspec.structs.replace(PATROL, id="f", who=draw(some(SUBJECTS)))
            return msgspec.structs.replace(c, eligibilities=rules)
        case _:
            return msgspec.structs.replace(c, governance=draw(governances))


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[Configuration, Configuration]:
    """Two configurations a few edits apart; far apart, something would always widen."""
    old = generous(draw)
    for _ in range(draw(st.integers(0, 4))):
        old = edited(draw, old)
    new = old
    for _ in range(draw(st.integers(1, 2))):
        new = edited(draw, new)
    return old, new


class Facts(NamedTuple):
    """What the world is like when somebody asks."""

    incident: bool
    severity: Severity
    names_target: bool
    used: int
    age_of_last: timedelta
    answered_after: timedelta
    asks_for: timedelta
    idle: timedelta
    purpose: Purpose
    rows: int
    at_once: int


MOSTLY = st.sampled_from((True, True, True, False))
facts = st.builds(
    Facts,
    incident=MOSTLY,
    severity=st.sampled_from(Severity),
    names_target=MOSTLY,
    used=st.integers(0, 3),
    age_of_last=SPANS,
    answered_after=SPANS,
    asks_for=SPANS,
    idle=SPANS,
    purpose=st.sampled_from(Purpose),
    rows=st.integers(0, 4),
    at_once=st.integers(1, 4),
)


def voters_needed_met(c: Configuration, e: Eligibility, asks: Principal, votes: set[str]) -> bool:
    able = c.persons_in(e.approval.approvers) - set(asks.persons)
    return e.approval.quorum >= 1 and len(votes & able) >= e.approval.quorum


def is_allowed(e: Eligibility, asks: Principal, opening: Opening, f: Facts) -> bool:
    """The rules of an eligibility, written down a second time."""
    if e.mode is Mode.HUMAN and asks.kind is not PrincipalKind.HUMAN:
        return False
    rule = e.incident
    if rule is None and e.lane is Lane.BREAK_GLASS:
        return False
    if rule is not None:
        fits = f.incident and f.severity in rule.severity
        if not fits or (rule.must_name_target and not f.names_target):
            return False
    budget_left = f.used < e.budget.incidents or f.age_of_last > e.budget.per
    return (
        opening in e.opens
        and f.purpose in e.purposes
        and f.asks_for <= e.ttl
        and (e.idle is None or f.idle <= e.idle)
        and f.answered_after <= e.approval.within
        and budget_left
        and (e.spends.rows is None or f.rows <= e.spends.rows)
        and (e.spends.rate is None or f.at_once <= e.spends.rate.actions)
    )


def accesses(c: Configuration, f: Facts) -> set[tuple[object, ...]]:
    """Every access that can be had: which key opens what, where, approved by whom."""
    return {
        (
            asks.id,
            asks.key,
            str(opening),
            target.environment,
            role.settings["parent"],
            e.lane,
            votes,
        )
        for e in c.eligibilities.values()
        for asks in c.principals.values()
        if c.is_among(asks, e.who)
        for opening in OPENINGS
        if is_allowed(e, asks, opening, f) and (target := c.targets.get(opening.target))
        for role in target.roles
        if role.id == opening.role
        for votes in (v for n in range(1, 4) for v in combinations(PEOPLE, n))
        if voters_needed_met(c, e, asks, set(votes))
    }


@given(neighbours(), st.lists(facts, min_size=5, max_size=5))
@settings(max_examples=400)
def test_no_path_widens_access_without_its_signatures(
    pair: tuple[Configuration, Configuration], worlds: list[Facts]
):
    """What can be had under the new configuration only makes the comparison say that it widens."""
    old, new = pair
    gained = [access for f in worlds for access in accesses(new, f) - accesses(old, f)]
    changes = compare(old, new, {}, {})
    event("gained" if gained else "tightens" if changes and not is_widening(changes) else "other")
    if gained:
        assert is_widening(changes), (gained[0], changes)
        assert required_signatures(changes, old, 1) == max(old.governance.quorum, 1)


def incidents_opened(c: Configuration, word: str, service: str, silence: timedelta) -> set[object]:
    """Which incidents a source's message makes, while it was silent for so long."""
    return {
        (s.id, s.token_sha256, s.severity[word], target)
        for s in c.sources.values()
        if word in s.severity and silence <= s.stale_after
        for target in s.targets.get(service, ())
    }


@given(neighbours(), st.sampled_from(("page", "warn")), SPANS)
@settings(max_examples=100)
def test_no_source_opens_more_without_signatures(
    pair: tuple[Configuration, Configuration], word: str, silence: timedelta
):
    """An incident that only the new configuration would open makes the comparison widen."""
    old, new = pair
    if incidents_opened(new, word, "svc", silence) - incidents_opened(old, word, "svc", silence):
        assert is_widening(compare(old, new, {}, {}))


def publishers(c: Configuration) -> set[tuple[str, ...]]:
    """Which sets of keys can widen the configuration."""
    keys = sorted(c.governance.governors.items())
    return {
        tuple(key for _, key in chosen)
        for n in range(1, len(keys) + 1)
        for chosen in combinations(keys, n)
        if n >= c.governance.quorum
    }


@given(neighbours())
@settings(max_examples=100)
def test_no_one_gets_a_say_without_signatures(pair: tuple[Configuration, Configuration]):
    """Whoever could publish under the new configuration only was let in by the quorum."""
    old, new = pair
    if publishers(new) - publishers(old):
        assert is_widening(compare(old, new, {}, {}))


@given(neighbours())
@settings(max_examples=100)
def test_the_same_configuration_has_no_changes(pair: tuple[Configuration, Configuration]):
    """Comparing a configuration with itself finds nothing."""
    assert compare(pair[1], pair[1], {}, {}) == ()


@given(neighbours())
@settings(max_examples=100)
def test_every_difference_is_told(pair: tuple[Configuration, Configuration]):
    """Two configurations that differ have at least one change, and only then."""
    old, new = pair
    assert bool(compare(old, new, {}, {})) == (old != new)
