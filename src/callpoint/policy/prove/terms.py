"""What an expression of Cedar is while it is being proved about: a value made of solver terms.

Strings are compared and never looked into in the fragment, so each is an element of one
uninterpreted sort: two literals are different elements, anything else may be any element. A set is
an array from elements to truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import z3

WORD = "Word"
STRING = "String"
_LITERAL = "word:"


class UnsupportedError(ValueError):
    """The encoding does not know this construct: nothing is proved where it matters."""


@dataclass(frozen=True, slots=True)
class Truth:
    """A Bool."""

    term: z3.BoolRef


@dataclass(frozen=True, slots=True)
class Number:
    """A Long, without its bounds: see ``encoding`` for why that is sound."""

    term: z3.ArithRef


@dataclass(frozen=True, slots=True)
class Text:
    """A String."""

    term: z3.ExprRef


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity by type and id; the id of a target role is its two names.

    Attributes:
        ancestors: Ids that it is below, by their type; None where only the configuration knows.
        attributes: What can be read of it; None where only the configuration knows.
    """

    type: str
    ids: tuple[z3.ExprRef, ...]
    ancestors: "Mapping[str, Many | Listed] | None" = None
    attributes: "Mapping[str, Value] | None" = None


@dataclass(frozen=True, slots=True)
class Many:
    """A set whose elements are not known: of strings, or of entities of type ``of`` by id."""

    of: str
    array: z3.ArrayRef


@dataclass(frozen=True, slots=True)
class Listed:
    """A set that is written out."""

    elements: "tuple[Value, ...]"


@dataclass(frozen=True, slots=True)
class Fields:
    """A record."""

    values: "Mapping[str, Value]"


Value: TypeAlias = Truth | Number | Text | Entity | Many | Listed | Fields


@dataclass(slots=True)
class Words:
    """The strings that policies name, as elements of the sort."""

    known: dict[str, z3.ExprRef] = field(default_factory=dict)
    sort: z3.SortRef = field(default_factory=lambda: z3.DeclareSort(WORD))

    def word(self, text: str) -> z3.ExprRef:
        """The element that stands for this text."""
        # The solver reads a name up to its first NUL: two texts must not become one symbol, or what
        # is assumed contradicts itself and nothing can be said.
        name = text.encode("unicode_escape").decode()
        return self.known.setdefault(text, z3.Const(_LITERAL + name, self.sort))

    def any(self, name: str) -> z3.ExprRef:
        """A string that may be anything."""
        return z3.Const(name, self.sort)

    def many(self, name: str, of: str = STRING) -> Many:
        """A set that may hold anything."""
        return Many(of, z3.Const(name, z3.ArraySort(self.sort, z3.BoolSort())))

    def different(self) -> z3.BoolRef:
        """That two texts are two elements; to be asserted once all literals are known."""
        alone = len(self.known) <= 1
        return truth(value=True) if alone else z3.Distinct(*self.known.values())


def truth(*, value: bool) -> z3.BoolRef:
    """A truth value as a term."""
    return z3.BoolVal(value)


def equal(one: Value, other: Value) -> z3.BoolRef:
    """That two values of one type are the same.

    Raises:
        UnsupportedError: Of different types, or of one that is not compared here.
    """
    match one, other:
        case Truth(), Truth():
            return one.term == other.term
        case Number(), Number():
            return one.term == other.term
        case Text(), Text():
            return _same(one.term, other.term)
        case Entity(), Entity():
            if one.type != other.type or len(one.ids) != len(other.ids):
                return truth(value=False)
            return z3.And([_same(a, b) for a, b in zip(one.ids, other.ids, strict=True)])
        case ((Many() | Listed()), (Many() | Listed())):
            return array(one) == array(other)
        case _:
            raise UnsupportedError(f"== between {_named(one)} and {_named(other)}")


def _same(one: z3.ExprRef, other: z3.ExprRef) -> z3.BoolRef:
    """That two strings are equal; of two literals that is known, and rules out most policies."""
    if one.eq(other):
        return truth(value=True)
    if all(str(term.decl().name()).startswith(_LITERAL) for term in (one, other)):
        return truth(value=False)
    return one == other


def contains(whole: Value, element: Value) -> z3.BoolRef:
    """That a set holds an element."""
    match whole:
        case Listed():
            return z3.Or([equal(item, element) for item in whole.elements])
        case Many() if whole.of == _kind(element):
            return z3.Select(whole.array, _key(element))
        case _:
            raise UnsupportedError(f"contains of {_named(element)} in {_named(whole)}")


def contains_all(whole: Value, part: Value) -> z3.BoolRef:
    """That each element of ``part`` is in ``whole``."""
    match part:
        case Listed():
            return z3.And([contains(whole, item) for item in part.elements])
        case _:
            return z3.IsSubset(array(part), array(whole))


def contains_any(one: Value, other: Value) -> z3.BoolRef:
    """That two sets have an element in common."""
    match one, other:
        case _, Listed():
            return z3.Or([contains(one, item) for item in other.elements])
        case Listed(), _:
            return z3.Or([contains(other, item) for item in one.elements])
        case _:
            return z3.Not(z3.SetIntersect(array(one), array(other)) == _empty(array(one)))


def is_empty(whole: Value) -> z3.BoolRef:
    """That a set has no element."""
    if isinstance(whole, Listed):
        return truth(value=not whole.elements)
    return array(whole) == _empty(array(whole))


def array(whole: Value) -> z3.ArrayRef:
    """A set as an array.

    Raises:
        UnsupportedError: It is no set, or one of what has no single name.
    """
    match whole:
        case Many():
            return whole.array
        case Listed() if whole.elements:
            keys = [_key(item) for item in whole.elements]
            if len({_kind(item) for item in whole.elements}) > 1:
                raise UnsupportedError("a set of different types")
            found = z3.EmptySet(keys[0].sort())
            for key in keys:
                found = z3.SetAdd(found, key)
            return found
        case _:
            raise UnsupportedError(f"{_named(whole)} in the place of a set")


def _empty(like: z3.ArrayRef) -> z3.ArrayRef:
    return z3.EmptySet(like.sort().domain())


def _kind(value: Value) -> str:
    return value.type if isinstance(value, Entity) else STRING


def _key(value: Value) -> z3.ExprRef:
    match value:
        case Text():
            return value.term
        case Entity(ids=(only,)):
            return only
        case _:
            raise UnsupportedError(f"a set of {_named(value)}")


def _named(value: Value) -> str:
    return value.type if isinstance(value, Entity) else type(value).__name__.lower()
