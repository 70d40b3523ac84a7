"""Sentences fit for a person: what a refusal says.

A ``forbid`` carries its sentence as ``@reason("{incident} names {incident_targets}, …")``. The
names in braces are those of ``PLACEHOLDERS``, checked when the policy is loaded. Values may come
from outside (an incident's reference from a webhook), so they are stripped and cut before they are
shown or recorded (I14).
"""

import re
from collections.abc import Callable, Iterable
from datetime import timedelta

from callpoint.domain.decision import DecisionRequest
from callpoint.domain.principal import PrincipalKind
from callpoint.domain.untrusted import printable

_KINDS = {
    PrincipalKind.HUMAN: "a person",
    PrincipalKind.WORKLOAD: "a workload",
    PrincipalKind.AGENT: "an agent",
}
_BRACED = re.compile(r"\{([^{}]*)\}")
_SHOWN = 80
_SHOWN_OF_ERROR = 400
_LISTED = 6

_WORDS: dict[str, Callable[[DecisionRequest], str]] = {
    "action": lambda r: r.verb,
    "object": lambda r: clean(r.operation.object) if r.operation else "no object",
    "principal": lambda r: clean(r.actor.principal),
    "kind": lambda r: _KINDS[r.actor.kind],
    "strength": lambda r: clean(r.actor.strength),
    "target": lambda r: clean(r.resource.opening.target) if r.resource.opening else "no target",
    "role": lambda r: clean(r.resource.opening.role) if r.resource.opening else "no role",
    "environment": lambda r: clean(r.resource.environment) or "no environment",
    "incident": lambda r: (clean(r.incident.ref) if r.incident else "") or "no incident",
    "incident_state": lambda r: r.incident.state if r.incident else "none",
    "incident_targets": lambda r: listed(r.incident.targets if r.incident else ()),
    "severity": lambda r: (r.incident.severity if r.incident else None) or "unrated",
    "activation": lambda r: clean(r.activation.id) if r.activation else "no activation",
    "eligibility": lambda r: clean(r.activation.eligibility) if r.activation else "no eligibility",
    "allowed_severity": lambda r: listed(r.activation.allowed_severity if r.activation else ()),
    "lane": lambda r: r.activation.lane if r.activation else "no lane",
    "mode": lambda r: r.activation.mode if r.activation else "no mode",
    "purpose": lambda r: r.activation.purpose if r.activation else "no purpose",
    "requester": lambda r: clean(r.activation.requester) if r.activation else "nobody",
    "quorum_needed": lambda r: str(r.activation.quorum_needed) if r.activation else "0",
    "ttl": lambda r: span(r.activation.ttl) if r.activation else "no time",
}

PLACEHOLDERS = frozenset(_WORDS)
"""What may stand in braces in a ``@reason``."""


def unknown_placeholders(template: str) -> tuple[str, ...]:
    """What stands in braces and means nothing, sorted; a lone brace counts as ``{`` or ``}``."""
    found = set(_BRACED.findall(template)) - PLACEHOLDERS
    found |= set("{}") & set(_BRACED.sub("", template))
    return tuple(sorted(found))


def words(template: str, request: DecisionRequest) -> str:
    """Fill a checked template with the facts of the request."""
    return _BRACED.sub(lambda match: _WORDS[match[1]](request), template)


def refusal(policy: str, template: str, request: DecisionRequest) -> str:
    """The whole sentence, which names the policy so that it can be looked up."""
    return f"denied by `{policy}`: {words(template, request)}"


def clean(value: str) -> str:
    """Text from outside made safe to show."""
    return printable(value, _SHOWN)


def clean_error(value: str) -> str:
    """An error's text, which quotes what was asked, made safe likewise."""
    return printable(value, _SHOWN_OF_ERROR)


def listed(values: Iterable[str]) -> str:
    """``a, b and c``; ``nothing`` when empty; cut after six."""
    items = [clean(value) for value in values]
    if not items:
        return "nothing"
    if len(items) > _LISTED:
        items = [*items[:_LISTED], f"{len(items) - _LISTED} more"]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def span(value: timedelta) -> str:
    """``1 h 30 min``; smaller than a second reads as ``0 s``."""
    total = int(value.total_seconds())
    minutes, seconds = divmod(total, 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (seconds, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
