"""What widens access between two configurations, line by line (I15).

What widens needs the governors' quorum, what tightens applies at once. The comparison errs in one
direction only: whatever is not known to take something away widens. It compares rules, not
people's intentions: a key that grows here and shrinks there widens.

Policies are compared in ``widening_policies``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TypeVar

from callpoint.domain.change import Change
from callpoint.domain.configuration import (
    Configuration,
    Governance,
    Group,
    IncidentSource,
    KnownAccount,
    Target,
    TargetRole,
)
from callpoint.domain.eligibility import Eligibility, IncidentRule, Lane, Mode
from callpoint.domain.principal import Person, Principal
from callpoint.domain.span import format_span
from callpoint.domain.widening_gateways import (
    compare_allowance,
    compare_gateway,
    compare_offline,
    compare_passage,
)
from callpoint.domain.widening_policies import compare_policies, is_mentioned
from callpoint.domain.widening_signals import compare_signals
from callpoint.domain.widening_witnesses import compare_witnessing

_T = TypeVar("_T")
_MODES = (Mode.HUMAN, Mode.ASSISTED, Mode.AUTOMATED)


def compare(
    old: Configuration | None,
    new: Configuration,
    old_policies: Mapping[str, str],
    new_policies: Mapping[str, str],
) -> tuple[Change, ...]:
    """Every line that differs, and whether it widens access.

    Args:
        old: What is in force; None before the first bundle, which always widens.
        new: What is proposed.
        old_policies: File name to Cedar text, in force.
        new_policies: File name to Cedar text, proposed.
    """
    if old is None:
        return (Change("bundle", widens=True, text="the first configuration"),)
    changes = (
        *_look_into("governance", old.governance, new.governance, _governance),
        *_entries("persons", old.persons, new.persons, _person),
        *_groups(old.groups, new.groups, (*old_policies.values(), *new_policies.values())),
        *_entries("principals", old.principals, new.principals, _principal),
        *_targets(old.targets, new.targets),
        *_entries("gateways", old.known_gateways, new.known_gateways, compare_gateway),
        *_entries("eligibilities", old.eligibilities, new.eligibilities, _eligibility),
        *_entries("sources", old.sources, new.sources, _source),
        *compare_witnessing(old.watched, new.watched),
        *compare_signals(old.streams, new.streams),
    )
    return changes + compare_policies(old_policies, new_policies)


def is_widening(changes: Iterable[Change]) -> bool:
    """Whether one of them widens."""
    return any(change.widens for change in changes)


def required_signatures(
    changes: Iterable[Change], old: Configuration | None, installation_quorum: int
) -> int:
    """How many governors must sign: the quorum that is in force for what widens, else one.

    Args:
        changes: From ``compare``.
        old: What is in force; its quorum counts, never the proposed one.
        installation_quorum: The quorum of genesis, in force before the first bundle.
    """
    quorum = installation_quorum if old is None else old.governance.quorum
    return max(quorum, 1) if is_widening(changes) else 1


# -- pieces of a comparison -------------------------------------------------------------------


def _set(
    key: str, old: Iterable[object], new: Iterable[object], *, removal_widens: bool = False
) -> Iterator[Change]:
    """A list whose order means nothing: more is wider."""
    old_words, new_words = [str(o) for o in old], [str(n) for n in new]
    before, after = set(old_words), set(new_words)
    added, removed = sorted(after - before), sorted(before - after)
    if added or removed:
        words = [f"+ {word}" for word in added] + [f"- {word}" for word in removed]
        widens = bool(added) or (removal_widens and bool(removed))
        yield Change(key, widens=widens, text=", ".join(words))
    elif old_words != new_words:
        yield Change(key, widens=False, text="only the order")


def _size(
    key: str, old: int | timedelta, new: int | timedelta, *, more_is_wider: bool
) -> Iterator[Change]:
    if old != new:
        grows = _number(new) > _number(old)
        yield Change(key, widens=grows is more_is_wider, text=f"{_show(old)} -> {_show(new)}")


def _number(size: int | timedelta) -> float:
    return size.total_seconds() if isinstance(size, timedelta) else size


def _any(key: str, old: object, new: object) -> Iterator[Change]:
    """A value without a known direction: every change widens."""
    if old != new:
        yield Change(key, widens=True, text=f"{_show(old)} -> {_show(new)}")


def _step(key: str, old: object, new: object, *, widens: bool) -> Iterator[Change]:
    if old != new:
        yield Change(key, widens=widens, text=f"{_show(old)} -> {_show(new)}")


def _show(value: object) -> str:
    match value:
        case None | "":
            return "none"
        case bool():
            return "true" if value else "false"
        case timedelta():
            return format_span(value)
        case tuple():
            return "[" + ", ".join(_show(item) for item in value) + "]"
        case dict():
            return ", ".join(f"{key} = {_show(item)}" for key, item in sorted(value.items()))
        case _:
            return str(value)[:100]


def _entries(
    section: str,
    old: Mapping[str, _T],
    new: Mapping[str, _T],
    compare_one: Callable[[str, _T, _T], Iterator[Change]],
) -> Iterator[Change]:
    """Named entries: a new one widens, a removed one tightens, one in both is looked into."""
    for name in sorted({*old, *new}):
        key = f"{section}.{name}"
        if name not in old:
            yield Change(key, widens=True, text="added")
        elif name not in new:
            yield Change(key, widens=False, text="removed")
        else:
            yield from _look_into(key, old[name], new[name], compare_one)


def _look_into(
    key: str, old: _T, new: _T, compare_one: Callable[[str, _T, _T], Iterator[Change]]
) -> Iterator[Change]:
    """A difference that the comparison does not find is a field that it forgot: it widens."""
    if old != new:
        found = tuple(compare_one(key, old, new))
        unknown = Change(key, widens=True, text="changed in a way that is not compared")
        yield from found or (unknown,)


# -- governance and people --------------------------------------------------------------------


def _governance(key: str, old: Governance, new: Governance) -> Iterator[Change]:
    yield from _size(f"{key}.quorum", old.quorum, new.quorum, more_is_wider=False)
    yield from _set(f"{key}.security", old.security, new.security)
    yield from _entries(f"{key}.governors", old.governors, new.governors, _replaced_key)


def _replaced_key(key: str, old: str, new: str) -> Iterator[Change]:
    yield from _any(key, f"key {old[:12]}…", f"key {new[:12]}…")


def _person(key: str, old: Person, new: Person) -> Iterator[Change]:
    """Approvers go by the name that a screen shows; the text does not repeat it (personal)."""
    if old.name != new.name:
        yield Change(f"{key}.name", widens=True, text="changed")


def _groups(
    old: Mapping[str, Group], new: Mapping[str, Group], policies: tuple[str, ...]
) -> Iterator[Change]:
    """Leaving a group widens where a policy speaks of it: a forbid may have held its members."""

    def is_named(name: str) -> bool:
        return any(is_mentioned(name, text) for text in policies)

    def compare_group(key: str, before: Group, after: Group) -> Iterator[Change]:
        named = is_named(after.id)
        yield from _set(f"{key}.members", before.members, after.members, removal_widens=named)

    for change in _entries("groups", old, new, compare_group):
        gone = change.key.removeprefix("groups.")
        if gone in old and gone not in new and is_named(gone):
            yield Change(change.key, widens=True, text="removed, and a policy speaks of it")
        else:
            yield change


def _principal(key: str, old: Principal, new: Principal) -> Iterator[Change]:
    yield from _any(f"{key}.kind", old.kind, new.kind)
    if set(old.persons) != set(new.persons):
        # Fewer answer: those who left may now approve. More answer: they gain a say over it.
        yield from _any(f"{key}.persons", ", ".join(old.persons), ", ".join(new.persons))
    else:
        yield from _set(f"{key}.persons", old.persons, new.persons)
    if old.key != new.key:
        yield from _replaced_key(f"{key}.key", old.key, new.key)


# -- targets and sources ----------------------------------------------------------------------


def _targets(old: Mapping[str, Target], new: Mapping[str, Target]) -> Iterator[Change]:
    """A removed target widens too: leases on it could no longer be revoked.

    Whoever wants access to end at once removes the eligibility.
    """
    for change in _entries("targets", old, new, _target):
        gone = change.key.removeprefix("targets.")
        if gone in old and gone not in new:
            yield Change(change.key, widens=True, text="removed: its leases cannot be revoked")
        else:
            yield change


def _target(key: str, old: Target, new: Target) -> Iterator[Change]:
    yield from _any(f"{key}.connector", old.connector, new.connector)
    yield from _any(f"{key}.environment", old.environment, new.environment)
    yield from _any(f"{key}.owner", old.owner, new.owner)
    yield from _entries(f"{key}.accounts", old.known_accounts, new.known_accounts, _known_account)
    for name in sorted({*old.settings, *new.settings}):
        yield from _any(f"{key}.{name}", old.settings.get(name), new.settings.get(name))
    yield from compare_passage(key, old, new)
    before, after = {r.id: r for r in old.roles}, {r.id: r for r in new.roles}
    yield from _entries(f"{key}.roles", before, after, _role)


def _known_account(key: str, old: KnownAccount, new: KnownAccount) -> Iterator[Change]:
    """Whoever is called its owner, posture stays silent about it."""
    yield from _any(f"{key}.owner", old.owner, new.owner)
    yield from _any(f"{key}.purpose", old.purpose, new.purpose)


def _role(key: str, old: TargetRole, new: TargetRole) -> Iterator[Change]:
    """Privilege orders revocation and opens nothing."""
    yield from _step(f"{key}.privilege", old.privilege, new.privilege, widens=False)
    for name in sorted({*old.settings, *new.settings}):
        yield from _any(f"{key}.{name}", old.settings.get(name), new.settings.get(name))


def _source(key: str, old: IncidentSource, new: IncidentSource) -> Iterator[Change]:
    """Incidents open doors, so a source's words widen however they change."""
    for name in ("kind", "token_sha256", "severity_label", "target_label"):
        yield from _any(f"{key}.{name}", getattr(old, name), getattr(new, name))
    yield from _any(f"{key}.severity", dict(old.severity), dict(new.severity))
    yield from _any(f"{key}.targets", dict(old.targets), dict(new.targets))
    yield from _size(f"{key}.stale_after", old.stale_after, new.stale_after, more_is_wider=True)


# -- eligibilities ----------------------------------------------------------------------------


def _eligibility(key: str, old: Eligibility, new: Eligibility) -> Iterator[Change]:
    yield from _any(f"{key}.lane", old.lane, new.lane)
    freer = _MODES.index(new.mode) > _MODES.index(old.mode)
    yield from _step(f"{key}.mode", old.mode, new.mode, widens=freer)
    yield from _set(f"{key}.who", old.who, new.who)
    yield from _set(f"{key}.opens", old.opens, new.opens)
    yield from _set(f"{key}.purposes", old.purposes, new.purposes)
    yield from _size(f"{key}.for", old.ttl, new.ttl, more_is_wider=True)
    yield from _idle(f"{key}.idle", old.idle, new.idle)
    yield from _step(
        f"{key}.accept_residual",
        old.accept_residual,
        new.accept_residual,
        widens=new.accept_residual,
    )
    needed = Lane.BREAK_GLASS in {old.lane, new.lane}
    yield from _incident(f"{key}.incident", old.incident, new.incident, needed=needed)
    yield from _approval_budget_review(key, old, new)
    yield from compare_allowance(f"{key}.allowance", old.spends, new.spends)
    yield from compare_offline(key, old.offline, new.offline)


def _approval_budget_review(key: str, old: Eligibility, new: Eligibility) -> Iterator[Change]:
    before, after = old.approval, new.approval
    # A quorum below one is never met (I9), so raising it to one lets somebody in.
    fewer = after.quorum < before.quorum or before.quorum < 1
    yield from _step(f"{key}.approval.quorum", before.quorum, after.quorum, widens=fewer)
    yield from _set(f"{key}.approval.from", before.approvers, after.approvers)
    yield from _size(f"{key}.approval.within", before.within, after.within, more_is_wider=True)
    yield from _size(
        f"{key}.budget.incidents", old.budget.incidents, new.budget.incidents, more_is_wider=True
    )
    yield from _size(f"{key}.budget.per", old.budget.per, new.budget.per, more_is_wider=False)
    yield from _set(f"{key}.review.by", old.review.by, new.review.by)
    yield from _size(
        f"{key}.review.triage", old.review.triage, new.review.triage, more_is_wider=True
    )
    yield from _size(f"{key}.review.close", old.review.close, new.review.close, more_is_wider=True)


def _idle(key: str, old: timedelta | None, new: timedelta | None) -> Iterator[Change]:
    if old is None or new is None:
        yield from _step(key, old, new, widens=new is None)
    else:
        yield from _size(key, old, new, more_is_wider=True)


def _incident(
    key: str, old: IncidentRule | None, new: IncidentRule | None, *, needed: bool
) -> Iterator[Change]:
    """A new rule tightens, unless none at all meant that nobody got in (``needed``)."""
    if old is None or new is None:
        if old != new:
            how = "removed" if new is None else "added"
            yield Change(key, widens=new is None or needed, text=how)
        return
    yield from _set(f"{key}.severity", old.severity, new.severity)
    yield from _step(
        f"{key}.must_name_target",
        old.must_name_target,
        new.must_name_target,
        widens=not new.must_name_target,
    )
