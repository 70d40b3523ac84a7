"""Misspelt words in policies: ``context.activation.lane == "breakglass"`` never holds, silently.

Cedar sees a string compared with a string. We know the closed lists behind some attributes, so a
word that is on none of them is found before it leaves a ``forbid`` without effect.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from cedarpy import pst

from callpoint.domain.eligibility import Lane, Mode, Purpose, Severity
from callpoint.domain.incident_state import IncidentState

CLOSED: dict[tuple[str, str], frozenset[str]] = {
    ("incident", "state"): frozenset(IncidentState),
    ("incident", "severity"): frozenset({*Severity, ""}),
    ("activation", "lane"): frozenset(Lane),
    ("activation", "mode"): frozenset(Mode),
    ("activation", "purpose"): frozenset(Purpose),
    ("activation", "allowed_severity"): frozenset(Severity),
}
"""Record and attribute of the context → every value that it can have."""

_COMPARING = frozenset({"eq", "not_eq", "contains", "contains_all", "contains_any"})


def misspelt(node: object) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Each comparison with a word that cannot occur: the attribute, the word, what can.

    Args:
        node: A ``cedarpy.pst`` node, or what holds some.
    """
    if isinstance(node, pst.BinaryOp) and node.op in _COMPARING:
        yield from _compared(node.left, node.right)
        yield from _compared(node.right, node.left)
    for child in _children(node):
        yield from misspelt(child)


def _compared(one: pst.Expr, other: pst.Expr) -> Iterator[tuple[str, str, frozenset[str]]]:
    match one:
        case pst.GetAttr(pst.GetAttr(pst.Var("context"), record), name):
            known = CLOSED.get((record, name))
            if known is not None:
                for word in _words(other):
                    if word not in known:
                        yield f"context.{record}.{name}", word, known
        case _:
            return


def _words(node: pst.Expr) -> Iterator[str]:
    match node:
        case pst.StringLit(value):
            yield value
        case pst.Set(elements):
            for element in elements:
                yield from _words(element)
        case _:
            return


def _children(node: object) -> Iterator[object]:
    if isinstance(node, Mapping):
        yield from node.values()
    elif isinstance(node, tuple):
        yield from node
    elif is_dataclass(node):
        yield from (getattr(node, field.name) for field in fields(node))
