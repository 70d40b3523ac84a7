"""A counterexample: one question, in words and as Cedar itself is asked it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import cedarpy
import msgspec
import z3

from callpoint.policy import schema
from callpoint.policy.policy_set import PolicySet
from callpoint.policy.prove.asked import INSTALLATION, ROLE, TARGET, Asked, Kind
from callpoint.policy.prove.terms import Many, Number, Text, Truth, Value, Words

Fact: TypeAlias = "str | int | bool | list[str]"

_PREFIX = {
    "principal.name": "principal",
    "principal.persons": "person",
    "principal.groups": "group",
    "resource.target": "target",
    "resource.role": "role",
    "resource.security": "group",
    "resource.governors": "person",
    "context.activation.requester": "principal",
    "context.activation.persons": "person",
    "context.incident.targets": "target",
}


@dataclass(frozen=True, slots=True)
class Witness:
    """One question by its facts: path (``context.incident.state``) to value."""

    kind: Kind
    facts: Mapping[str, Fact]

    def __str__(self) -> str:
        return "; ".join([str(self.kind), *self.lines()])

    def lines(self) -> list[str]:
        """What is asked, in a line for each record; facts that say nothing are left out."""
        records: dict[str, list[str]] = {}
        for path, fact in self.facts.items():
            record, _, name = path.rpartition(".")
            words = records.setdefault(record, [])
            if fact not in ("", []):
                words.append(f"{name} {_shown(fact)}")
        return [f"{record}: {', '.join(words)}" for record, words in records.items() if words]


def witness(asked: Asked, model: z3.ModelRef, words: Words) -> Witness:
    """The question that the solver found, with a name for each string that it made up."""
    named = _Names(model, words)
    facts = {path: _fact(path, value, model, named) for path, value in asked.symbols.items()}
    return Witness(asked.kind, facts)


def allows(policies: PolicySet, found: Witness) -> bool:
    """Whether Cedar itself allows the question under these policies, with nothing left in doubt."""
    result = _ask(policies.cedar, policies, found)
    return result.decision is cedarpy.Decision.Allow and not result.diagnostics.errors


def holds(policies: PolicySet, policy: str, found: Witness) -> bool:
    """Whether one of the policies holds of the question, in Cedar's own judgement."""
    result = _ask(policies.alone, policies, found)
    return policy in result.diagnostics.reasons and not result.diagnostics.errors


def _ask(handle: cedarpy.PolicySet, policies: PolicySet, found: Witness) -> cedarpy.AuthzResult:
    text = msgspec.json.encode(_entities(found)).decode()
    known = cedarpy.Entities.from_json_str(text, policies.schema)
    return cedarpy.is_authorized(_request(found), handle, known, policies.schema)


class _Names:
    """A text for each element of the model: its literal, or a new one that no literal is."""

    def __init__(self, model: z3.ModelRef, words: Words) -> None:
        self._model = model
        self.texts: dict[str, str] = {}
        self._elements: dict[str, z3.ExprRef] = {}
        for text, term in words.known.items():
            self.texts[self._seen(term)] = text
        for element in model.get_universe(words.sort) or ():
            self._seen(element)

    def _seen(self, term: z3.ExprRef) -> str:
        element = self._model.eval(term, model_completion=True)
        self._elements[str(element)] = element
        return str(element)

    def of(self, path: str, term: z3.ExprRef) -> str:
        """The text of a string; one that the formula left free is named by what it is for."""
        free = z3.is_const(term) and self._model[term.decl()] is None
        prefix = _PREFIX.get(path, path.rpartition(".")[2])
        if free and str(term) not in self.texts:
            self.texts[str(term)] = self._new(prefix)
        key = str(term) if free else self._seen(term)
        if key not in self.texts:
            self.texts[key] = self._new(prefix)
        return self.texts[key]

    def within(self, path: str, array: z3.ArrayRef) -> list[str]:
        """The elements of a set."""
        held = [
            element
            for element in list(self._elements.values())
            if z3.is_true(self._model.eval(z3.Select(array, element), model_completion=True))
        ]
        return sorted(self.of(path, element) for element in held)

    def _new(self, prefix: str) -> str:
        taken = set(self.texts.values())
        return next(
            name for n in range(1, len(taken) + 2) if (name := f"{prefix}-{n}") not in taken
        )


def _fact(path: str, value: Value, model: z3.ModelRef, named: _Names) -> Fact:
    match value:
        case Text(term):
            return named.of(path, term)
        case Number(term):
            return int(model.eval(term, model_completion=True).as_long())
        case Truth(term):
            return bool(z3.is_true(model.eval(term, model_completion=True)))
        case Many(_, array):
            return named.within(path, array)
        case _:
            raise TypeError(f"{path} is no symbol")


def _request(found: Witness) -> dict[str, object]:
    return {
        "principal": _uid(found.kind.principal, _text(found, "principal.name")),
        "action": _uid("Action", str(found.kind.action)),
        "resource": _resource(found),
        "context": msgspec.json.encode(_context(found)).decode(),
    }


def _context(found: Witness) -> dict[str, object]:
    context: dict[str, object] = {}
    for path, fact in found.facts.items():
        match path.split("."):
            case ["context", name]:
                context[name] = fact
            case ["context", record, name]:
                inside = context.setdefault(record, {})
                if isinstance(inside, dict):
                    inside[name] = fact
            case _:
                pass
    return context


def _resource(found: Witness) -> dict[str, str]:
    if found.kind.resource == INSTALLATION:
        return _uid(INSTALLATION, schema.INSTALLATION)
    target, role = _text(found, "resource.target"), _text(found, "resource.role")
    return _uid(ROLE, f"{target}:{role}")


def _entities(found: Witness) -> list[dict[str, object]]:
    """All that the question names; the configuration behind it has no more and no less."""
    groups = [*_list(found, "principal.groups"), *_list(found, "resource.security")]
    made: list[dict[str, object]] = [
        {"uid": _uid("Group", name), "attrs": {}, "parents": []} for name in sorted({*groups})
    ]
    name, persons = _text(found, "principal.name"), _list(found, "principal.persons")
    made.append(
        {
            "uid": _uid(found.kind.principal, name),
            "attrs": {"name": name, "persons": persons},
            "parents": [_uid("Group", group) for group in _list(found, "principal.groups")],
        }
    )
    if found.kind.resource == INSTALLATION:
        security = [{"__entity": _uid("Group", g)} for g in _list(found, "resource.security")]
        attrs: dict[str, object] = {
            "security": security,
            "governors": _list(found, "resource.governors"),
        }
        return [*made, {"uid": _resource(found), "attrs": attrs, "parents": []}]
    whole = _uid(TARGET, _text(found, "resource.target"))
    environment = _text(found, "resource.environment")
    attrs = {
        "target": whole["id"],
        "role": _text(found, "resource.role"),
        "environment": environment,
    }
    target = {"environment": environment, "connector": "simulated"}
    return [
        *made,
        {"uid": whole, "attrs": target, "parents": []},
        {"uid": _resource(found), "attrs": attrs, "parents": [whole]},
    ]


def _text(found: Witness, path: str) -> str:
    return str(found.facts[path])


def _list(found: Witness, path: str) -> list[str]:
    fact = found.facts.get(path, [])
    return fact if isinstance(fact, list) else []


def _uid(kind: str, name: str) -> dict[str, str]:
    return {"type": kind, "id": name}


def _shown(fact: Fact) -> str:
    match fact:
        case bool():
            return "true" if fact else "false"
        case list():
            return "[" + ", ".join(fact) + "]"
        case str():
            return f'"{fact}"'
        case _:
            return str(fact)
