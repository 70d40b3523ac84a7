"""Policy tests: files beside the policies, in TOML, that say who may do what, when, and why not.

A file may bring its own ``[world]`` of principals, targets and eligibilities, so that it says the
same under every configuration; without one it speaks of the real configuration. Facts that a case
leaves out are those of the eligibility. ``docs/policy.md`` describes the format.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from callpoint.domain.configuration import Configuration
from callpoint.domain.decision import (
    ActivationFacts,
    Decision,
    DecisionRequest,
    Effect,
    IncidentFacts,
)
from callpoint.domain.eligibility import Purpose, Severity, parse_opening
from callpoint.domain.errors import CallpointError, ConfigError
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.span import parse_span
from callpoint.policy import question
from callpoint.policy.world import World, configured
from callpoint.ports.decider import Decider

_WAY_OUT = "docs/policy.md shows a test file"
_IN_CASE = re.compile(r"\$\.case\[(\d+)\]")
_AT_LINE = re.compile(r"\(at line (\d+)")
_AT = datetime(2026, 1, 1, tzinfo=UTC)


class CaseIncident(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The incident of a case; see ``IncidentFacts``."""

    state: IncidentState
    ref: str = "INC-7"
    severity: Severity | None = None
    targets: tuple[str, ...] = ()
    age: str = "0s"
    confirmed: bool = True


class CaseActivation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The activation of a case; what is None is taken from the eligibility."""

    eligibility: str
    requester: str | None = None
    ttl: str | None = None
    purpose: Purpose | None = None
    quorum_needed: int | None = None
    quorum_met: bool = False
    age: str = "0s"
    uses: int = 0
    budget_left: int | None = None
    remaining: str | None = None


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question and the answer that is expected.

    Attributes:
        name: What is shown, as a sentence.
        who: The acting principal.
        action: What it does; through a gateway, the verb.
        to: Of a verb: the object, for instance ``public.items``.
        expect: ``allow`` or ``deny``.
        on: ``target:role``; left out for the installation itself.
        by: Ids of exactly the policies that decide; left out when that does not matter.
        at: When; only for policies that read the time.
    """

    name: str
    who: str
    action: str
    expect: Effect
    on: str = ""
    to: str = ""
    by: tuple[str, ...] | None = None
    incident: CaseIncident | None = None
    activation: CaseActivation | None = None
    strength: str = "key"
    acts_for: tuple[str, ...] = ()
    at: datetime = _AT


class CaseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole file."""

    case: tuple[Case, ...]
    world: World | None = None


class CaseResult(msgspec.Struct, frozen=True):
    """How one case came out.

    Attributes:
        file: The file as the reader named it.
        line: 1-based line of its ``[[case]]``.
        decision: The PDP's answer.
        problem: Empty when it is as expected.
    """

    file: str
    line: int | None
    case: Case
    decision: Decision
    problem: str

    @property
    def passed(self) -> bool:
        """Whether the answer is the expected one."""
        return not self.problem

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.case.name}: {self.problem or 'as expected'}"


def parse_cases(text: str, filename: str) -> CaseFile:
    """Read a policy test file.

    Raises:
        ConfigError: It is not TOML, has an unknown key or a wrong value, or holds no case.
    """
    try:
        found = msgspec.toml.decode(text, type=CaseFile)
    except msgspec.ValidationError as error:
        line, key = _place(text, str(error))
        raise ConfigError(
            str(error), file=filename, line=line, key=key, way_out=_WAY_OUT
        ) from error
    except msgspec.DecodeError as error:
        at = _AT_LINE.search(str(error))
        line = int(at[1]) if at else None
        raise ConfigError(str(error), file=filename, line=line, way_out=_WAY_OUT) from error
    if not found.case:
        raise ConfigError("there is no [[case]] in it", file=filename, way_out="write one")
    return found


def run_cases(
    text: str,
    filename: str,
    configuration: Configuration,
    decider: Callable[[Configuration], Decider],
) -> list[CaseResult]:
    """Run each case of a file.

    Args:
        text: The file's text.
        filename: Its name, for messages.
        configuration: The real one, used when the file has no ``[world]``.
        decider: Makes the PDP with the policies under test for a configuration.

    Raises:
        ConfigError: The file cannot be read, or a case names what does not exist.
    """
    found = parse_cases(text, filename)
    world = configured(found.world, filename) if found.world else configuration
    pdp = decider(world)
    lines = _lines(text)
    results: list[CaseResult] = []
    for number, case in enumerate(found.case):
        line = lines[number] if number < len(lines) else None
        try:
            decision = pdp.evaluate(request_of(case, world))
        except (CallpointError, ValueError) as error:
            raise ConfigError(
                str(error), file=filename, line=line, key=case.name, way_out="mend the case"
            ) from error
        results.append(CaseResult(filename, line, case, decision, _problem(case, decision)))
    return results


def request_of(case: Case, configuration: Configuration) -> DecisionRequest:
    """The request that a case describes.

    Raises:
        NotFoundError: It names what the configuration has not.
        ValueError: A span or target role is written wrongly.
    """
    actor = question.actor(configuration, configuration.principal(case.who), case.strength)
    opening = parse_opening(case.on) if case.on else None
    action, operation = question.action(case.action, case.to)
    return DecisionRequest(
        actor=msgspec.structs.replace(actor, acts_for=case.acts_for),
        action=action,
        resource=question.resource(configuration, opening),
        at=case.at,
        incident=_incident(case.incident) if case.incident else None,
        activation=_activation(case, configuration),
        operation=operation,
    )


def _lines(text: str) -> list[int]:
    """The 1-based lines of the ``[[case]]`` headings."""
    return [n for n, line in enumerate(text.splitlines(), start=1) if line.strip() == "[[case]]"]


def _place(text: str, message: str) -> tuple[int | None, str]:
    """Line and name of the case that msgspec's message points to, as ``$.case[0]``."""
    found = _IN_CASE.search(message)
    if found is None:
        return None, ""
    number, lines = int(found[1]), _lines(text)
    case = msgspec.toml.decode(text)["case"][number]
    name = case.get("name") if isinstance(case, dict) else None
    return lines[number] if number < len(lines) else None, str(name or f"case {number + 1}")


def _incident(stated: CaseIncident) -> IncidentFacts:
    return IncidentFacts(
        state=stated.state,
        ref=stated.ref,
        severity=stated.severity,
        targets=stated.targets,
        age=parse_span(stated.age),
        confirmed=stated.confirmed,
    )


def _activation(case: Case, configuration: Configuration) -> ActivationFacts | None:
    stated = case.activation
    if stated is None:
        return None
    begun = question.activation(
        configuration,
        configuration.eligibility(stated.eligibility),
        configuration.principal(stated.requester or case.who),
        activation_id="A-1",
        ttl=parse_span(stated.ttl) if stated.ttl else None,
    )
    given = {
        "purpose": stated.purpose,
        "quorum_needed": stated.quorum_needed,
        "budget_left": stated.budget_left,
    }
    return msgspec.structs.replace(
        begun,
        quorum_met=stated.quorum_met,
        age=parse_span(stated.age),
        uses=stated.uses,
        remaining=None if stated.remaining is None else parse_span(stated.remaining),
        **{name: value for name, value in given.items() if value is not None},
    )


def _problem(case: Case, decision: Decision) -> str:
    """What differs from the expectation, in a sentence; an error is never as expected."""
    if decision.errors:
        return f"could not be decided: {decision.errors[0]}"
    by = ", ".join(decision.policies) or "no policy"
    why = f" ({'; '.join(decision.reasons)})" if decision.reasons else ""
    if decision.effect is not case.expect:
        return f"expected {case.expect}, got {decision.effect} by {by}{why}"
    if case.by is not None and tuple(sorted(case.by)) != decision.policies:
        return f"expected {case.expect} by {', '.join(sorted(case.by))}, got it by {by}{why}"
    return ""
