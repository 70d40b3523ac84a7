"""From Cedar's syntax tree to a formula, for one kind of question.

The formula says when a policy holds *if nothing in it fails to evaluate*. That is enough: the PDP
denies as soon as anything fails (``pdp``), so whatever it allows was evaluated throughout, and of
that the formula is exact. What can fail here at all is arithmetic beyond 64 bits.
"""

from collections.abc import Iterable, Mapping

import z3
from cedarpy import pst

from callpoint.policy import schema
from callpoint.policy.prove import terms
from callpoint.policy.prove.asked import ROLE, Asked
from callpoint.policy.prove.terms import (
    Entity,
    Fields,
    Listed,
    Number,
    Text,
    Truth,
    UnsupportedError,
    Value,
    Words,
)

_ACTION = "Action"


class Encoder:
    """Encodes policies about one kind of question; ``words`` gets their literals."""

    def __init__(self, asked: Asked, words: Words) -> None:
        self._asked = asked
        self._words = words
        above = schema.ACTIONS[asked.kind.action].groups
        groups = Listed(tuple(Entity(_ACTION, (words.word(name),)) for name in above))
        self._action = Entity(_ACTION, (words.word(str(asked.kind.action)),), {_ACTION: groups}, {})

    def allowed(self, policies: Iterable[pst.Template]) -> z3.BoolRef:
        """That the policies allow the question.

        Raises:
            UnsupportedError: One of them, that may hold, is written in what is not known here.
        """
        held: dict[str, list[z3.BoolRef]] = {"permit": [], "forbid": []}
        for policy in policies:
            held[policy.effect].append(self.holds(policy))
        return z3.And(z3.Or(held["permit"]), z3.Not(z3.Or(held["forbid"])))

    def holds(self, policy: pst.Template) -> z3.BoolRef:
        """That the policy's scope and conditions hold; UnsupportedError names the policy."""
        try:
            return self._holds(policy)
        except UnsupportedError as error:
            raise UnsupportedError(f"{policy.id}: {error}") from error

    def _holds(self, policy: pst.Template) -> z3.BoolRef:
        asked = self._asked
        found = [
            self._in_scope(asked.principal, policy.principal),
            self._in_scope(self._action, policy.action),
            self._in_scope(asked.resource, policy.resource),
        ]
        for clause in policy.clauses:
            if never(z3.And(found)):
                break
            term = self._truth(clause.expr)
            found.append(term if isinstance(clause, pst.When) else z3.Not(term))
        return z3.And(found)

    def _in_scope(
        self, entity: Entity, scope: pst.PrincipalOrResourceConstraint | pst.ActionConstraint
    ) -> z3.BoolRef:
        match scope:
            case pst.ScopeAny():
                return terms.truth(value=True)
            case pst.ScopeEq(pst.EntityUid() as uid) | pst.ActionEq(uid):
                return terms.equal(entity, self._named(uid))
            case pst.ScopeIn(pst.EntityUid() as uid):
                return self._below(entity, self._named(uid))
            case pst.ScopeIs(kind):
                return terms.truth(value=entity.type == str(kind))
            case pst.ScopeIsIn(kind, pst.EntityUid() as uid):
                if entity.type != str(kind):
                    return terms.truth(value=False)
                return self._below(entity, self._named(uid))
            case pst.ActionIn(uids):
                return z3.Or([self._below(entity, self._named(uid)) for uid in uids])
            case _:
                raise UnsupportedError("a template's slot")

    def _named(self, uid: pst.EntityUid) -> Entity:
        """An entity that is written out: what it has, and what it is in, only its owner knows."""
        kind = str(uid.type)
        parts = uid.id.split(":", 1) if kind == ROLE else [uid.id]
        return Entity(kind, tuple(self._words.word(part) for part in parts))

    def _below(self, entity: Entity, whole: Value) -> z3.BoolRef:
        """Cedar's ``in``: the same, or below it, or either of one of a set."""
        match whole:
            case Entity():
                same = terms.equal(entity, whole)
                if entity.ancestors is None:
                    raise UnsupportedError(f"what a named {entity.type} is in")
                above = entity.ancestors.get(whole.type)
                return z3.Or(same, terms.contains(above, whole)) if above else same
            case Listed():
                return z3.Or([self._below(entity, item) for item in whole.elements])
            case terms.Many():
                if entity.ancestors is None:
                    raise UnsupportedError(f"what a named {entity.type} is in")
                found = [terms.contains(whole, entity)] if entity.type == whole.of else []
                above = entity.ancestors.get(whole.of)
                return z3.Or(found + ([terms.contains_any(above, whole)] if above else []))
            case _:
                raise UnsupportedError("`in` of what is no entity")

    def _truth(self, node: pst.Expr) -> z3.BoolRef:
        found = self.value(node)
        if not isinstance(found, Truth):
            raise UnsupportedError("a condition that is no Bool")
        return found.term

    def _number(self, node: pst.Expr) -> z3.ArithRef:
        found = self.value(node)
        if not isinstance(found, Number):
            raise UnsupportedError("a comparison of what is no Long")
        return found.term

    def value(self, node: pst.Expr) -> Value:
        """What an expression is.

        Raises:
            UnsupportedError: With the construct that is not known here.
        """
        match node:
            case pst.Var() | pst.BoolLit() | pst.LongLit() | pst.StringLit() | pst.EntityLit():
                return self._leaf(node)
            case pst.Set(elements):
                return Listed(tuple(self.value(element) for element in elements))
            case pst.UnaryOp(op, arg):
                return self._unary(op, arg)
            case pst.BinaryOp(op, left, right):
                return self._binary(op, left, right)
            case pst.IfThenElse():
                return self._either(node)
            case _:
                return self._of_one(node)

    def _leaf(
        self, node: pst.Var | pst.BoolLit | pst.LongLit | pst.StringLit | pst.EntityLit
    ) -> Value:
        match node:
            case pst.Var(name):
                return self._variable(name)
            case pst.BoolLit(value):
                return Truth(terms.truth(value=value))
            case pst.LongLit(number):
                return Number(z3.IntVal(number))
            case pst.StringLit(text):
                return Text(self._words.word(text))
            case pst.EntityLit(uid):
                return self._named(uid)

    def _of_one(self, node: pst.Expr) -> Value:
        """What is asked of one value by name."""
        match node:
            case pst.GetAttr(base, name):
                return _attribute(self.value(base), name)
            case pst.HasAttr(base, names):
                return Truth(terms.truth(value=_has(self.value(base), names)))
            case pst.Is(base, kind, inside):
                return Truth(self._is(self.value(base), str(kind), inside))
            case _:
                raise UnsupportedError(_construct(node))

    def _variable(self, name: str) -> Value:
        known: Mapping[str, Value] = {
            "principal": self._asked.principal,
            "action": self._action,
            "resource": self._asked.resource,
            "context": self._asked.context,
        }
        return known[name]

    def _is(self, value: Value, kind: str, inside: pst.Expr | None) -> z3.BoolRef:
        if not isinstance(value, Entity):
            raise UnsupportedError("`is` of what is no entity")
        if value.type != kind or inside is None:
            return terms.truth(value=value.type == kind)
        return self._below(value, self.value(inside))

    def _unary(self, op: str, arg: pst.Expr) -> Value:
        match op:
            case "not":
                return Truth(z3.Not(self._truth(arg)))
            case "neg":
                return Number(-self._number(arg))
            case "is_empty":
                return Truth(terms.is_empty(self.value(arg)))
            case _:
                raise UnsupportedError(f"the function {op}")

    def _binary(self, op: str, left: pst.Expr, right: pst.Expr) -> Value:
        match op:
            case "and" | "or":
                return Truth(self._joined(op, left, right))
            case "less" | "less_eq" | "greater" | "greater_eq" | "add" | "sub" | "mul":
                return _arithmetic(op, self._number(left), self._number(right))
            case _:
                return Truth(self._compared(op, self.value(left), self.value(right)))

    def _joined(self, op: str, left: pst.Expr, right: pst.Expr) -> z3.BoolRef:
        """What stands to the right is not looked at where the left decides, as in Cedar."""
        first = self._truth(left)
        if op == "and":
            return first if never(first) else z3.And(first, self._truth(right))
        return first if never(z3.Not(first)) else z3.Or(first, self._truth(right))

    def _compared(self, op: str, left: Value, right: Value) -> z3.BoolRef:
        match op:
            case "eq":
                return terms.equal(left, right)
            case "not_eq":
                return z3.Not(terms.equal(left, right))
            case "contains":
                return terms.contains(left, right)
            case "contains_all":
                return terms.contains_all(left, right)
            case "contains_any":
                return terms.contains_any(left, right)
            case "in" if isinstance(left, Entity):
                return self._below(left, right)
            case _:
                raise UnsupportedError(f"the operator {op}")

    def _either(self, node: pst.IfThenElse) -> Value:
        condition = self._truth(node.cond)
        if never(condition):
            return self.value(node.else_expr)
        if never(z3.Not(condition)):
            return self.value(node.then_expr)
        match self.value(node.then_expr), self.value(node.else_expr):
            case Truth(one), Truth(other):
                return Truth(z3.If(condition, one, other))
            case Number(one), Number(other):
                return Number(z3.If(condition, one, other))
            case Text(one), Text(other):
                return Text(z3.If(condition, one, other))
            case _:
                raise UnsupportedError("if … then … else between sets or entities")


def never(term: z3.BoolRef) -> bool:
    """Whether it is false by its form alone, whatever the question says."""
    return bool(z3.is_false(z3.simplify(term)))


def _arithmetic(op: str, left: z3.ArithRef, right: z3.ArithRef) -> Value:
    match op:
        case "less":
            return Truth(left < right)
        case "less_eq":
            return Truth(left <= right)
        case "greater":
            return Truth(left > right)
        case "greater_eq":
            return Truth(left >= right)
        case "add":
            return Number(left + right)
        case "sub":
            return Number(left - right)
        case _:
            return Number(left * right)


def _attribute(base: Value, name: str) -> Value:
    known = base.values if isinstance(base, Fields) else None
    if isinstance(base, Entity):
        known = base.attributes
    if known is None or name not in known:
        raise UnsupportedError(f"the attribute {name} of something that is written out")
    return known[name]


def _has(base: Value, names: tuple[str, ...]) -> bool:
    """Nothing is optional in the schema, so this is known."""
    for name in names:
        known = base.values if isinstance(base, Fields) else None
        if isinstance(base, Entity):
            known = base.attributes
        if known is None:
            raise UnsupportedError(f"`has {name}` of something that is written out")
        if name not in known:
            return False
        base = known[name]
    return True


def _construct(node: pst.Expr) -> str:
    return {"Like": "`like`", "Record": "a record that is written out"}.get(
        type(node).__name__, type(node).__name__
    )
