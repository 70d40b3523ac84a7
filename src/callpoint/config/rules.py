"""Third pass: limits between keys, and what no set of people could ever meet.

The counting follows I9: a requester, and whoever answers for a requesting workload or agent,
neither approves nor reviews, and who approves does not review. Each possible requester is tried.
Who confirms an incident is excluded as well, but anybody may confirm, so nothing is asked of it
here.
"""

from collections.abc import Iterator
from datetime import timedelta

from callpoint.config.document import Problems
from callpoint.config.gateways import check_gateways
from callpoint.config.positions import Path
from callpoint.config.witnessing import check_witnessing
from callpoint.domain.configuration import Configuration
from callpoint.domain.eligibility import Eligibility, Lane, Mode
from callpoint.domain.principal import Principal, PrincipalKind
from callpoint.domain.span import format_span

BREAK_GLASS_LIMIT = timedelta(hours=4)
"""An emergency that lasts longer is a new activation, newly approved."""

_EXTRA = 1
"""Approvers whom a spent budget or a late review adds (I16)."""


def check_rules(found: Configuration, problems: Problems) -> None:
    """Note each limit that is broken and each cap that cannot be met."""
    governors = len(found.governance.governors)
    if governors and found.governance.quorum > governors:
        problems.add(
            ("governance", "quorum"),
            f"{found.governance.quorum} governors must sign, and there are {governors}",
            "name more governors or lower the quorum",
        )
    check_witnessing(found.watched, problems)
    check_gateways(found, problems)
    sections = (("persons",), ("groups",), ("principals",), ("governance",))
    people_are_known = not problems.has_below(*sections)
    for eligibility in found.eligibilities.values():
        _check_limits(eligibility, problems)
        path = ("eligibilities", eligibility.id)
        if people_are_known and not problems.has_below(
            (*path, "who"), (*path, "approval"), (*path, "review")
        ):
            _check_people(found, eligibility, problems)


def _check_limits(rule: Eligibility, problems: Problems) -> None:
    path: Path = ("eligibilities", rule.id)
    if rule.lane is Lane.BREAK_GLASS:
        if rule.incident is None:
            problems.add(
                (*path, "incident"),
                "is missing, and break-glass needs an incident",
                'write incident = { severity = ["sev1"] }, or use the elevation lane',
            )
        if rule.ttl > BREAK_GLASS_LIMIT:
            problems.add(
                (*path, "for"),
                f"{format_span(rule.ttl)} is too long for break-glass",
                f"write at most {format_span(BREAK_GLASS_LIMIT)}: an extension is a new request",
            )
    if rule.idle is not None and rule.idle > rule.ttl:
        problems.add(
            (*path, "idle"),
            f"is longer than for = {format_span(rule.ttl)!r}, so it never ends anything",
            "shorten it, or leave it out",
        )
    if rule.review.triage > rule.review.close:
        problems.add(
            (*path, "review", "triage"),
            f"comes after close = {format_span(rule.review.close)!r}",
            "the first look is due before the verdict",
        )


def requesters(found: Configuration, rule: Eligibility) -> Iterator[Principal]:
    """Principals that may ask for an activation of it."""
    for principal in found.principals.values():
        if found.is_among(principal, rule.who):
            yield principal


def _check_people(found: Configuration, rule: Eligibility, problems: Problems) -> None:
    path: Path = ("eligibilities", rule.id)
    asking = tuple(requesters(found, rule))
    if not asking:
        problems.add(
            (*path, "who"),
            "nobody in it has a principal, so nobody can ask",
            "add a principal with a key for one of them",
        )
    if rule.mode is Mode.HUMAN:
        for principal in asking:
            if principal.kind is not PrincipalKind.HUMAN:
                problems.add(
                    (*path, "who"),
                    f"covers the {principal.kind} {principal.id!r}, and mode is human",
                    'take it out, or write mode = "assisted" or "automated"',
                )
    seats = _Seats(found, rule)
    for check in (seats.check_quorum, seats.check_security, seats.check_reviewers):
        # The first requester for whom it fails shows what is wrong; more would say the same.
        for principal in asking:
            if (problem := check(frozenset(principal.persons))) is not None:
                key, message, way_out = problem
                problems.add((*path, *key), f"when {principal.id} asks, {message}", way_out)
                break


class _Seats:
    """Persons who can sit on each side; only those with a key of their own can sign."""

    def __init__(self, found: Configuration, rule: Eligibility) -> None:
        able = {p.persons[0] for p in found.principals.values() if p.kind is PrincipalKind.HUMAN}
        self.quorum = rule.approval.quorum
        self.approvers = found.persons_in(rule.approval.approvers) & able
        self.security = found.persons_in(found.governance.security) & able
        self.reviewers = found.persons_in(rule.review.by) & able

    def _can_be_filled(self, out: frozenset[str], extra: int) -> bool:
        """Whether two classes of seats can be filled: Hall's condition, as in ``tally``."""
        approvers, security = self.approvers - out, self.security - out
        return (
            len(approvers) >= self.quorum
            and len(security) >= extra
            and len(approvers | (security if extra else approvers)) >= self.quorum + extra
        )

    def check_quorum(self, out: frozenset[str]) -> tuple[Path, str, str] | None:
        if self._can_be_filled(out, 0):
            return None
        return (
            ("approval", "quorum"),
            f"{self.quorum} must approve and {_people(len(self.approvers - out))} can",
            "add approvers who have a human principal, or lower the quorum",
        )

    def check_security(self, out: frozenset[str]) -> tuple[Path, str, str] | None:
        if not self._can_be_filled(out, 0) or self._can_be_filled(out, _EXTRA):
            return None
        return (
            ("approval", "from"),
            "nobody from governance.security is left to add once the budget is spent",
            "add a person with a human principal to a security group",
        )

    def check_reviewers(self, out: frozenset[str]) -> tuple[Path, str, str] | None:
        """Somebody must be left, also when security has supplied an approver."""
        for extra, when in ((0, ""), (_EXTRA, " once the budget is spent")):
            left = self.reviewers - out
            possible = self._can_be_filled(out, extra)
            if possible and not any(self._can_be_filled(out | {one}, extra) for one in left):
                return (
                    ("review", "by"),
                    f"nobody is left{when} to review who neither used nor approved",
                    "add reviewers who have a human principal and need not approve",
                )
        return None


def _people(count: int) -> str:
    return "nobody" if count == 0 else "only one" if count == 1 else f"only {count}"
