"""One pass over the events of a log, in order: each decision that they hold is decided again.

Memory does not grow with the log: of what differs a bounded number is kept whole, all of it is
counted, and few bundles are loaded at a time.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from callpoint.domain import canonical
from callpoint.domain.asked import Asked
from callpoint.domain.configuration import Configuration
from callpoint.domain.decision import Decision, DecisionRequest
from callpoint.domain.errors import ConfigError, NotFoundError, TamperError
from callpoint.domain.event import AnyEvent, BundlePublished
from callpoint.domain.governance import Bundle
from callpoint.policy.pap import decider
from callpoint.policy.replay.anew import asked_under
from callpoint.policy.replay.recorded import Recorded, recorded_in, told_in
from callpoint.ports.decider import Decider

LISTED = 1000
"""Decisions that are kept whole, of those that differ and of those that would change, each."""

NOBODY = "(no policy permits it)"
"""Who decided, where no policy did."""

UNASKED = "the log holds the decision without its question, as earlier versions wrote it"

WITHHELD = "the log holds the decision without its question, though earlier ones have theirs"
"""Nobody gets out of a replay by leaving questions out."""

GRACE = timedelta(minutes=1)
"""So long may a step that began before a publication still be recorded after it."""

_LOADED = 4
_TOLD = 20_000  # facts of sessions, which are told anew at least with each of their seconds


class Rules(msgspec.Struct, frozen=True):
    """A policy, and the configuration that it speaks of."""

    configuration: Configuration
    decider: Decider


class Redecided(msgspec.Struct, frozen=True):
    """One decision that comes out otherwise.

    Attributes:
        at: When it was recorded.
        question: As it was asked then.
        old: The answer on record.
        new: The answer now.
    """

    at: datetime
    question: DecisionRequest
    old: Decision
    new: Decision


class Span(Protocol):
    """Which moments count."""

    def __contains__(self, moment: datetime, /) -> bool: ...


class Outcome(msgspec.Struct):
    """What a replay found; it grows while the log is read.

    Attributes:
        decided: Decisions that were decided again.
        differing: Those to which the policy of their time gives another answer than the one on
            record: an alarm. The first ``LISTED`` are in ``differences``.
        outdated: Those that were recorded under a configuration that had been replaced: whoever
            could choose among all that ever were in force would choose the weakest. An alarm too;
            the first are in ``outdates``.
        changing: Those that the proposal would decide otherwise; the first are in ``changes``.
        other_policies: Those with the same answer under the proposal, by other policies.
        by_policy: What would change, by the policy that decides now, ``old -> new``.
        by_principal: The same by who asked.
        missed: Why decisions could not be decided again, and how many: nothing is known of them.
        unasked: Those of them that no version of the program could decide.
    """

    decided: int = 0
    differing: int = 0
    differences: list[Redecided] = []
    outdated: int = 0
    outdates: list[Redecided] = []
    changing: int = 0
    changes: list[Redecided] = []
    other_policies: int = 0
    by_policy: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    by_principal: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    missed: Counter[str] = msgspec.field(default_factory=Counter)

    @property
    def unasked(self) -> int:
        return self.missed[UNASKED]

    @property
    def unknown(self) -> int:
        """Decisions with a question on record that could not be decided again all the same."""
        return self.missed.total() - self.unasked


class Replay:
    """Takes the events of a log in order.

    Args:
        fetch: The bundle of a publication. NotFoundError when it was not kept.
        when: Decisions of other times are passed over.
        proposed: What else to ask; None asks the policy of the time alone.
    """

    def __init__(
        self,
        fetch: Callable[[BundlePublished], Bundle],
        when: Span,
        proposed: Rules | None = None,
    ) -> None:
        self.outcome = Outcome()
        self._fetch = fetch
        self._when = when
        self._proposed = proposed
        self._published: dict[tuple[str, str], BundlePublished] = {}
        self._in_force: tuple[str, str] | None = None
        self._is_asked = False
        self._replaced: dict[tuple[str, str], datetime] = {}
        self._told: OrderedDict[str, Asked] = OrderedDict()
        self._loaded: OrderedDict[tuple[str, str], Rules | str] = OrderedDict()

    def take(self, event: AnyEvent, at: datetime) -> None:
        """The next event.

        Raises:
            TamperError: A bundle is not the one that the log names.
        """
        if isinstance(event, BundlePublished):
            self._publish(event, at)
            return
        self._remember(event)
        held = recorded_in(event, self._told)
        self._is_asked = self._is_asked or bool(held.decisions)
        if at not in self._when:
            return
        if held.unasked:
            self.outcome.missed[WITHHELD if self._is_asked else UNASKED] += held.unasked
        for recorded in held.decisions:
            self._again(recorded, at)

    def _remember(self, event: AnyEvent) -> None:
        """What later actions of the same session may rest on."""
        facts = told_in(event)
        if facts is not None:
            self._told[canonical.digest(facts)] = facts
            if len(self._told) > _TOLD:
                self._told.popitem(last=False)

    def _publish(self, event: BundlePublished, at: datetime) -> None:
        key = (event.configuration_digest, event.policy_digest)
        if self._in_force is not None:
            self._replaced[self._in_force] = at
        self._replaced.pop(key, None)  # what is published again is in force again
        self._in_force = key
        self._published[key] = event

    def miss(self, why: str, at: datetime) -> None:
        """An event that may hold decisions cannot be read."""
        if at in self._when:
            self.outcome.missed[why] += 1

    def _again(self, recorded: Recorded, at: datetime) -> None:
        outcome, old = self.outcome, recorded.decision
        key = (recorded.configuration_digest, old.policy_digest)
        then = self._rules(key)
        if isinstance(then, str):
            outcome.missed[then] += 1
            return
        outcome.decided += 1
        now = then.decider.evaluate(recorded.question)
        if not is_same(old, now):
            outcome.differing += 1
            _keep(outcome.differences, Redecided(at, recorded.question, old, now))
        replaced = self._replaced.get(key)
        if replaced is not None and at - replaced > GRACE:
            outcome.outdated += 1
            _keep(outcome.outdates, Redecided(at, recorded.question, old, now))
        if self._proposed is None:
            return
        question = asked_under(recorded.question, then.configuration, self._proposed.configuration)
        self._compare(
            Redecided(at, recorded.question, old, self._proposed.decider.evaluate(question))
        )

    def _compare(self, found: Redecided) -> None:
        outcome, old, new = self.outcome, found.old, found.new
        if old.effect is new.effect:
            outcome.other_policies += old.policies != new.policies
            return
        outcome.changing += 1
        _keep(outcome.changes, found)
        change = f"{old.effect} -> {new.effect}"
        outcome.by_principal[found.question.actor.principal, change] += 1
        for policy in new.policies or (NOBODY,):
            outcome.by_policy[policy, change] += 1

    def _rules(self, key: tuple[str, str]) -> Rules | str:
        """Of that time, or why they are not there: remembered too, it would be tried each time."""
        found = self._loaded.pop(key, None)
        if found is None:
            found = self._load(key)
        self._loaded[key] = found
        if len(self._loaded) > _LOADED:
            self._loaded.popitem(last=False)
        return found

    def _load(self, key: tuple[str, str]) -> Rules | str:
        event = self._published.get(key)
        if event is None:
            return "the log names no configuration that it was decided under"
        name = f"configuration {event.number}"
        try:
            bundle = self._fetch(event)
        except NotFoundError as error:
            return f"{name}: {error.message}"
        digests = (bundle.digest(), bundle.configuration_digest(), bundle.policy_digest())
        if digests != (event.digest, event.configuration_digest, event.policy_digest):
            raise TamperError(
                f"{name} is not the one that the log says was published",
                way_out="find out who changed it; the newest backup of the database holds the one"
                " that was signed",
            )
        try:
            return Rules(bundle.configuration, decider(bundle.policies, bundle.configuration))
        except ConfigError as error:
            return f"{name}: its policies do not load in this version: {error}"


def is_same(one: Decision, other: Decision) -> bool:
    """The same answer by the same policies. How a version words its reasons does not count."""
    return (one.effect, one.policies, one.policy_digest, bool(one.errors)) == (
        other.effect,
        other.policies,
        other.policy_digest,
        bool(other.errors),
    )


def _keep(kept: list[Redecided], found: Redecided) -> None:
    if len(kept) < LISTED:
        kept.append(found)
