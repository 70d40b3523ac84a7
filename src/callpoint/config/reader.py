"""TOML documents to a ``Configuration``: every problem of every file at once, or a sound value.

Three passes: each table against its list of keys, then names against each other (``references``),
then what could never be met (``rules``). A pass leaves out what an earlier one refused, so one
mistake is told once.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec

from callpoint.config.connectors import CONNECTORS
from callpoint.config.document import Document, Problems, closest
from callpoint.config.keys import GOVERNANCE, OPTIONAL_SECTIONS, ROLE, SECTIONS, TARGET, WITNESSING
from callpoint.config.kinds import BAD, mapping, read_name, type_name
from callpoint.config.kinds import NAME as NAME_KIND
from callpoint.config.offline import read_offline
from callpoint.config.references import check_references
from callpoint.config.rules import check_rules
from callpoint.config.shape import Key, Values, read_table, refuse_unknown, table
from callpoint.config.signals import check_signal
from callpoint.domain.allowance import Allowance
from callpoint.domain.configuration import (
    Configuration,
    Governance,
    Group,
    IncidentSource,
    KnownAccount,
    Target,
    TargetRole,
)
from callpoint.domain.eligibility import (
    ApprovalRule,
    BudgetRule,
    Eligibility,
    IncidentRule,
    ReviewRule,
)
from callpoint.domain.gateway import Gateway
from callpoint.domain.principal import Person, Principal
from callpoint.domain.signal_stream import SignalStream
from callpoint.domain.witnessing import Witness, WitnessedLog, Witnessing

_T = TypeVar("_T")


def read_configuration(documents: Iterable[Document]) -> Configuration:
    """Read one configuration from one or more documents.

    Raises:
        ConfigErrors: All that is wrong, each with file, line, key and the way out.
    """
    problems = Problems(tuple(documents))
    sections = _merge(problems)
    governance = None
    if sections["governance"]:
        governance = read_table(GOVERNANCE, sections["governance"], ("governance",), problems)
    found = Configuration(
        governance=Governance(**(governance or {"governors": {}, "quorum": 1, "security": ()})),
        persons=_entries("persons", sections, problems, _person),
        groups=_entries("groups", sections, problems, _group),
        principals=_entries("principals", sections, problems, _principal),
        targets=_entries("targets", sections, problems, _target),
        gateways=_entries("gateways", sections, problems, _gateway) or msgspec.UNSET,
        eligibilities=_entries("eligibilities", sections, problems, _eligibility),
        sources=_entries("sources", sections, problems, _source),
        witnessing=_witnessing(sections["witnessing"], problems),
        signals=_entries("signals", sections, problems, _signal) or msgspec.UNSET,
    )
    check_references(found, sections, problems)
    check_rules(found, problems)
    problems.raise_all()
    return found


def _merge(problems: Problems) -> dict[str, dict[str, object]]:
    """The sections of all files; the same entry in two files is a problem, as in one file."""
    merged: dict[str, dict[str, object]] = {}
    for document in problems.documents:
        inside = Problems((document,), problems.found)
        for section, raw in document.data.items():
            if section not in SECTIONS:
                inside.add((section,), "unknown section", closest(section, SECTIONS))
            elif not isinstance(raw, dict):
                inside.add((section,), f"is {type_name(raw)}", f"write [{section}.NAME] tables")
            else:
                _merge_section(merged.setdefault(section, {}), section, raw, inside)
    for section in SECTIONS:
        if section not in merged and section not in OPTIONAL_SECTIONS:
            problems.add((section,), "section is missing", f"write [{section}…]")
    return {section: merged.get(section, {}) for section in SECTIONS}


def _merge_section(
    merged: dict[str, object], section: str, raw: Mapping[str, object], inside: Problems
) -> None:
    for name, entry in raw.items():
        if name in merged:
            inside.add((section, name), "is defined in another file too", "keep one of them")
        else:
            merged[name] = entry


def _entries(
    section: str,
    sections: Mapping[str, Mapping[str, object]],
    problems: Problems,
    build: Callable[[str, object, Problems], _T | None],
) -> dict[str, _T]:
    found: dict[str, _T] = {}
    for name, raw in sections[section].items():
        if read_name(name, (section, name), problems) is BAD:
            continue
        if (entry := build(name, raw, problems)) is not None:
            found[name] = entry
    return found


def _values(section: str, name: str, raw: object, problems: Problems) -> Values | None:
    return read_table(SECTIONS[section], raw, (section, name), problems)


def _person(name: str, raw: object, problems: Problems) -> Person | None:
    values = _values("persons", name, raw, problems)
    return None if values is None else Person(id=name, **values)


def _group(name: str, raw: object, problems: Problems) -> Group | None:
    values = _values("groups", name, raw, problems)
    return None if values is None else Group(id=name, **values)


def _principal(name: str, raw: object, problems: Problems) -> Principal | None:
    values = _values("principals", name, raw, problems)
    if values is None:
        return None
    human = values["kind"] == "human"
    wanted, refused = ("person", "answers") if human else ("answers", "person")
    path = ("principals", name)
    if refused in values:
        problems.add(
            (*path, refused),
            f"does not go with kind {str(values['kind'])!r}",
            'a human has person = "NAME"; a workload or agent has answers = ["NAME"]',
        )
    if wanted not in values:
        way_out = (
            'write person = "NAME": the one person behind the key'
            if human
            else 'write answers = ["NAME"]: who answers for what it does'
        )
        problems.add((*path, wanted), "is missing", way_out)
    if problems.has_below(path):
        return None
    persons = (values["person"],) if human else values["answers"]
    return Principal(id=name, kind=values["kind"], persons=persons, key=values["key"])


def _target(name: str, raw: object, problems: Problems) -> Target | None:
    path = ("targets", name)
    kind = raw.get("connector") if isinstance(raw, dict) else None
    shape = CONNECTORS.get(kind) if isinstance(kind, str) else None
    if not isinstance(raw, dict) or shape is None:
        # Which other keys are right depends on the connector, so only this one is told.
        head = (
            raw
            if not isinstance(raw, dict)
            else {k: v for k, v in raw.items() if k == TARGET[0].name}
        )
        read_table(TARGET[:1], head, path, problems)
        return None
    roles = Key("roles", mapping(NAME_KIND, table((*ROLE, *shape.role)), empty=_NO_ROLE), "")
    keys = tuple(roles if key.name == "roles" else key for key in TARGET)
    refuse_unknown((*keys, *shape.settings), raw, path, problems)
    own = _only(raw, keys)
    values = read_table(keys, own, path, problems)
    settings = read_table(shape.settings, _only(raw, shape.settings), path, problems)
    if values is None or settings is None:
        return None
    for role, given in values["roles"].items():
        shape.check(given, settings, (*path, "roles", role), problems)
    if (known := values.pop("accounts", None)) is not None:
        values["accounts"] = {n: KnownAccount(**given) for n, given in known.items()}
    parts = tuple(_role(r, s) for r, s in sorted(values.pop("roles").items()))
    return Target(id=name, roles=parts, settings=settings, **values)


def _gateway(name: str, raw: object, problems: Problems) -> Gateway | None:
    values = _values("gateways", name, raw, problems)
    return None if values is None else Gateway(id=name, **values)


def _role(name: str, values: Values) -> TargetRole:
    privilege = values.pop("privilege")
    return TargetRole(id=name, settings=values, privilege=privilege)


_NO_ROLE = "define at least one role: nothing could be opened"


def _only(raw: Mapping[str, object], keys: Iterable[Key]) -> dict[str, object]:
    names = {key.name for key in keys}
    return {name: value for name, value in raw.items() if name in names}


def _eligibility(name: str, raw: object, problems: Problems) -> Eligibility | None:
    values = _values("eligibilities", name, raw, problems)
    if values is None:
        return None
    incident = values.pop("incident", None)
    if (allowance := values.pop("allowance", None)) is not None:
        values["allowance"] = Allowance(**allowance)
    read_offline(values)
    return Eligibility(
        id=name,
        incident=None if incident is None else IncidentRule(**incident),
        approval=ApprovalRule(**values.pop("approval")),
        budget=BudgetRule(**values.pop("budget")),
        review=ReviewRule(**values.pop("review")),
        **values,
    )


def _witnessing(raw: Mapping[str, object], problems: Problems) -> Witnessing | msgspec.UnsetType:
    values = read_table(WITNESSING, raw, ("witnessing",), problems) if raw else None
    if values is None:
        return msgspec.UNSET
    witnesses, logs = values.pop("witnesses", {}), values.pop("logs", {})
    return Witnessing(
        witnesses={name: Witness(name, **inner) for name, inner in witnesses.items()},
        logs={name: WitnessedLog(name, **inner) for name, inner in logs.items()},
        **values,
    )


def _signal(name: str, raw: object, problems: Problems) -> SignalStream | None:
    values = _values("signals", name, raw, problems)
    if values is None or not check_signal(values, ("signals", name), problems):
        return None
    return SignalStream(id=name, **values)


def _source(name: str, raw: object, problems: Problems) -> IncidentSource | None:
    values = _values("sources", name, raw, problems)
    return None if values is None else IncidentSource(id=name, **values)
