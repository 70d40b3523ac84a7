"""Every question at once: one for each type of principal, action and type of resource, in symbols.

Within such a *kind* of question all types are known, as in Cedar's own symbolic compiler, and the
facts are symbols that stand for whatever they could be. Assumed is only what holds of each
question that Callpoint can ask, whatever the configuration:

* a principal's ``name`` is its id, a target role's ``target`` is the target that it belongs to;
* the attributes of which ``literals.CLOSED`` lists the words have one of them;
* a Long has 64 bits.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import z3

from callpoint.policy import schema
from callpoint.policy.literals import CLOSED
from callpoint.policy.prove.terms import (
    Entity,
    Fields,
    Listed,
    Many,
    Number,
    Text,
    Truth,
    Value,
    Words,
)

_LONG = 2**63
GROUP, ROLE, TARGET, INSTALLATION = "Group", "TargetRole", "Target", "Installation"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of question."""

    principal: str
    action: str
    resource: str

    def __str__(self) -> str:
        return f"{self.principal} · {self.action} · {self.resource}"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of one kind, in symbols.

    Attributes:
        symbols: Path (``context.incident.state``) to value, of everything that is free.
        assumed: What holds of each question.
    """

    kind: Kind
    principal: Entity
    resource: Entity
    context: Fields
    symbols: Mapping[str, Value]
    assumed: tuple[z3.BoolRef, ...]


def kinds(spoken: str) -> Iterator[Kind]:
    """All kinds of questions that these policies can tell apart.

    Verbs of one impact are asked about alike. Policies that name none of them cannot tell one from
    another, so what holds of one of these holds of all.

    Args:
        spoken: The policies' syntax trees as text: a verb that is not in it is not named.
    """
    stood_for: set[tuple[str, ...]] = set()
    for action, rule in schema.ACTIONS.items():
        if action in schema.OPERATIONS and action not in spoken:
            if rule.groups in stood_for:
                continue
            stood_for.add(rule.groups)
        for resource in rule.resources:
            for principal in schema.PRINCIPAL_TYPES.values():
                yield Kind(principal, action, resource)


def asked(kind: Kind, words: Words) -> Asked:
    """The question of a kind, of which nothing else is known."""
    free = _Free(words)
    principal = _principal(kind, free)
    resource = _resource(kind, free)
    context = _context(kind, free)
    return Asked(kind, principal, resource, context, free.symbols, tuple(free.assumed))


class _Free:
    """Makes the symbols, and remembers them with what is assumed of them."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self.symbols: dict[str, Value] = {}
        self.assumed: list[z3.BoolRef] = []

    def text(self, path: str) -> Text:
        made = Text(self.words.any(path))
        self.symbols[path] = made
        return made

    def many(self, path: str, of: str = "String") -> Many:
        made = self.words.many(path, of)
        self.symbols[path] = made
        return made

    def attribute(self, path: str, attribute: schema.Attribute) -> Value:
        """A symbol of the attribute's type."""
        where = tuple(path.split("."))
        known = CLOSED.get((where[-2], where[-1]))
        match attribute.type:
            case "String":
                text = self.text(path)
                if known is not None:
                    one = [text.term == self.words.word(word) for word in sorted(known)]
                    self.assumed.append(z3.Or(one))
                return text
            case "Long":
                number = z3.Int(path)
                self.assumed.append(z3.And(number >= -_LONG, number < _LONG))
                self.symbols[path] = Number(number)
            case "Bool":
                self.symbols[path] = Truth(z3.Bool(path))
            case "Set<String>" if known is not None:
                self.symbols[path] = self._some_of(path, sorted(known))
            case "Set<String>":
                return self.many(path)
            case "Set<Group>":
                return self.many(path, GROUP)
            case other:
                raise TypeError(f"the schema has a type that proofs do not know: {other}")
        return self.symbols[path]

    def _some_of(self, path: str, known: list[str]) -> Many:
        """A set of which only these words can be elements."""
        array = z3.EmptySet(self.words.sort)
        for word in known:
            array = z3.Store(array, self.words.word(word), z3.Bool(f"{path}:{word}"))
        return Many("String", array)


def _principal(kind: Kind, free: _Free) -> Entity:
    name = free.text("principal.name")
    return Entity(
        kind.principal,
        (name.term,),
        {GROUP: free.many("principal.groups", GROUP)},
        {"name": name, "persons": free.many("principal.persons")},
    )


def _resource(kind: Kind, free: _Free) -> Entity:
    _, attributes = schema.ENTITIES[kind.resource]
    found = {a.name: free.attribute(f"resource.{a.name}", a) for a in attributes}
    if kind.resource == INSTALLATION:
        # The only one of its type, so its id is no symbol.
        return Entity(INSTALLATION, (free.words.word(schema.INSTALLATION),), {}, found)
    target, role = found["target"], found["role"]
    if not isinstance(target, Text) or not isinstance(role, Text):
        raise TypeError("a target role is named by two strings")
    above = {TARGET: Listed((Entity(TARGET, (target.term,)),))}
    return Entity(ROLE, (target.term, role.term), above, found)


def _context(kind: Kind, free: _Free) -> Fields:
    records: dict[str, tuple[schema.Attribute, ...]] = {"actor": schema.ACTOR}
    for name in schema.ACTIONS[kind.action].records:
        records[name] = schema.RECORDS[name.capitalize()]
    found: dict[str, Value] = {
        name: Fields({a.name: free.attribute(f"context.{name}.{a.name}", a) for a in attributes})
        for name, attributes in records.items()
    }
    at = schema.Attribute("at", "Long", "")
    return Fields({"at": free.attribute("context.at", at), **found})
