"""The proofs: of invariants, and of what differs between two packs.

An invariant is a Cedar ``forbid``: no question that the policies allow may fulfil it. It is read,
checked and encoded as the policies are, so that whoever can write one can write the other.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import z3

from callpoint.policy.policy_set import PolicySet
from callpoint.policy.prove.asked import Kind, asked, kinds
from callpoint.policy.prove.encoding import Encoder, never
from callpoint.policy.prove.terms import UnsupportedError, Words
from callpoint.policy.prove.witness import Witness, allows, holds, witness

PATIENCE = 10_000
"""Milliseconds for one query; the default pack's take a few each."""


class Outcome(StrEnum):
    """What is known of an invariant."""

    PROVED = "proved"
    BROKEN = "broken"
    NOT_PROVED = "not proved"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found out about one invariant, or about one direction of a difference.

    Attributes:
        name: The invariant's ``@id``.
        says: Its ``@reason``.
        witness: A question that breaks it, confirmed by Cedar.
        because: Why nothing is proved, one reason each.
        kinds: How many kinds of question it speaks of.
    """

    name: str
    says: str
    outcome: Outcome
    witness: Witness | None = None
    because: tuple[str, ...] = ()
    kinds: int = 0


@dataclass(frozen=True, slots=True)
class _Query:
    """One thing that must not be: how it is encoded, and how Cedar confirms what was found.

    Attributes:
        about: The questions that it speaks of.
        never: Of those, what must not be.
    """

    name: str
    says: str
    about: "Callable[[_Room], z3.BoolRef]"
    never: "Callable[[_Room], z3.BoolRef]"
    confirmed: Callable[[Witness], bool]


class _Room:
    """One kind of question, in which each set of policies is encoded once."""

    def __init__(self, kind: Kind) -> None:
        self.words = Words()
        self.question = asked(kind, self.words)
        self.encoder = Encoder(self.question, self.words)
        self._allowed: dict[str, z3.BoolRef] = {}

    def allowed(self, policies: PolicySet) -> z3.BoolRef:
        """That the policies allow the question, or UnsupportedError."""
        found = self._allowed.get(policies.digest)
        if found is None:
            found = self.encoder.allowed(policies.cedar.to_pst().static_policies.values())
            self._allowed[policies.digest] = found
        return found

    def solver(self, *facts: z3.BoolRef) -> z3.Solver:
        """What is assumed of the question, and these facts."""
        solver = z3.Solver()
        solver.set("timeout", PATIENCE)
        solver.add(self.words.different(), *self.question.assumed, *facts)
        return solver


def prove(policies: PolicySet, invariants: PolicySet) -> list[Verdict]:
    """Try to prove each invariant of the policies.

    Both must be valid against the schema (``PolicySet.load``), or the encoding means nothing.
    """
    queries = [_invariant(name, policies, invariants) for name in invariants.policies]
    return _verdicts(queries, (policies, invariants))


def differences(here: PolicySet, there: PolicySet, names: tuple[str, str]) -> list[Verdict]:
    """Whether each of two packs allows nothing that the other refuses; ``names`` are shown."""
    one, other = names
    return _verdicts(
        [
            _difference(here, there, "here", f"what {one} allows, {other} allows too"),
            _difference(there, here, "there", f"what {other} allows, {one} allows too"),
        ],
        (here, there),
    )


def _invariant(name: str, policies: PolicySet, invariants: PolicySet) -> _Query:
    stated = invariants.cedar.to_pst().static_policies[name]
    return _Query(
        name=name,
        says=invariants.policies[name].reason,
        about=lambda room: room.encoder.holds(stated),
        never=lambda room: room.allowed(policies),
        confirmed=lambda found: allows(policies, found) and holds(invariants, name, found),
    )


def _difference(one: PolicySet, other: PolicySet, name: str, says: str) -> _Query:
    return _Query(
        name=name,
        says=says,
        about=lambda _: z3.BoolVal(val=True),
        never=lambda room: z3.And(room.allowed(one), z3.Not(room.allowed(other))),
        confirmed=lambda found: allows(one, found) and not allows(other, found),
    )


@dataclass(slots=True)
class _Found:
    """What is known of a query so far."""

    kinds: int = 0
    because: dict[str, None] = field(default_factory=dict)
    witness: Witness | None = None

    def verdict(self, query: _Query) -> Verdict:
        """A confirmed counterexample decides; otherwise nothing may be left open."""
        because = tuple(self.because)
        if not self.kinds and not because:
            because = ("it speaks of no question that can be asked, so it says nothing",)
        outcome = Outcome.NOT_PROVED if because else Outcome.PROVED
        if self.witness is not None:
            because, outcome = (), Outcome.BROKEN
        return Verdict(query.name, query.says, outcome, self.witness, because, self.kinds)


def _verdicts(queries: list[_Query], concerned: tuple[PolicySet, PolicySet]) -> list[Verdict]:
    spoken = "".join(repr(policies.cedar.to_pst().static_policies) for policies in concerned)
    found = [_Found() for _ in queries]
    for kind in kinds(spoken):
        room = _Room(kind)
        for query, so_far in zip(queries, found, strict=True):
            if so_far.witness is None:
                _look(room, query, so_far)
    return [so_far.verdict(query) for query, so_far in zip(queries, found, strict=True)]


def _look(room: _Room, query: _Query, so_far: _Found) -> None:
    """Look for a counterexample among the questions of one kind."""
    try:
        about = query.about(room)
        if never(about):
            return
        bad = query.never(room)
    except UnsupportedError as error:
        so_far.because[str(error)] = None
        return
    solver = room.solver(about)
    if solver.check() == z3.unsat:
        return
    so_far.kinds += 1
    solver.add(bad)
    answer = solver.check()
    if answer == z3.sat:
        found = witness(room.question, solver.model(), room.words)
        if query.confirmed(found):
            so_far.witness = found
        else:
            so_far.because[f"Cedar does not agree about: {found}"] = None
    elif answer != z3.unsat:
        why = f"{room.question.kind}: the solver gave up: {solver.reason_unknown()}"
        so_far.because[why] = None


def summary(verdicts: list[Verdict]) -> Mapping[Outcome, int]:
    """How many there are of each outcome."""
    return {outcome: sum(v.outcome is outcome for v in verdicts) for outcome in Outcome}


def lines(verdicts: list[Verdict]) -> Iterator[str]:
    """The verdicts for a person."""
    for verdict in verdicts:
        yield f"{verdict.outcome:<10}  {verdict.name}: {verdict.says}"
        yield from (f"    {reason}" for reason in verdict.because)
        if verdict.witness is not None:
            yield f"    allowed all the same, by Cedar's own answer: {verdict.witness.kind}"
            yield from (f"      {line}" for line in verdict.witness.lines())
