"""The policies of a bundle, parsed once and strictly validated.

Each policy has a unique ``@id`` (decision records name it), each ``forbid`` a ``@reason`` (a person
reads it). What Cedar would skip at run time is refused here: a policy that does not type-check, or
that names a group, target or principal which is not configured, is an error at load. A ``forbid``
that never fires because of a typing mistake would otherwise be an open door.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cedarpy
import msgspec
from cedarpy import pst

from callpoint.domain import canonical
from callpoint.domain.configuration import GROUP, Configuration
from callpoint.domain.errors import ConfigError, ConfigErrors
from callpoint.domain.obligation import Obligation, ObligationKind, parse_obligations
from callpoint.policy import policy_text, reason, schema
from callpoint.policy.entities import names_of
from callpoint.policy.literals import misspelt

PERMIT, FORBID = "permit", "forbid"
_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_ANNOTATIONS = {PERMIT: frozenset({"id", "needs", "oblige"}), FORBID: frozenset({"id", "reason"})}
_COMMENT = "//"
_FEWER = "chain or nest fewer conditions"
_TRIES = 20
"""A semicolon may stand in a comment or a string of a sound policy, but not in 20 lines of it."""


class Policy(msgspec.Struct, frozen=True):
    """One policy as a reader sees it.

    Attributes:
        id: Its ``@id``.
        effect: ``permit`` or ``forbid``.
        file: The file that holds it.
        line: 1-based line of its ``@id``.
        reason: The ``@reason`` of a forbid: what a refusal says.
        needs: The ``@needs`` of a permit: when it holds, in words; may be empty.
        obligations: The ``@oblige`` of a permit: what whoever enforces its yes must do.
    """

    id: str
    effect: str
    file: str
    line: int | None
    reason: str = ""
    needs: str = ""
    obligations: tuple[Obligation, ...] = ()


_Parsed: TypeAlias = tuple[Policy, dict[str, Any]]
"""A policy, and its tree in Cedar's JSON form."""


@dataclass(frozen=True)
class PolicySet:
    """Validated policies as reusable Cedar handles, under their own ids.

    Attributes:
        policies: By id, in the order of files and lines.
        digest: SHA-256 hex, equal to ``Bundle.policy_digest``.
        cedar: What decides.
        scopes: Each policy as a permit without conditions: who matches is within its scope.
        alone: Each policy as a permit: who matches fulfils its conditions too.
        schema: The schema to pass on each call.
    """

    policies: Mapping[str, Policy]
    digest: str
    cedar: cedarpy.PolicySet
    scopes: cedarpy.PolicySet
    alone: cedarpy.PolicySet
    schema: cedarpy.Schema

    @classmethod
    def load(cls, policies: Mapping[str, str], configuration: Configuration) -> "PolicySet":
        """Parse and validate ``policies`` (file name → Cedar text).

        Raises:
            ConfigErrors: All problems, each with file, line, policy id and the way out.
        """
        rules = schema.parsed()
        found, parsed = _checked(policies, configuration, rules)
        if found:
            raise ConfigErrors(tuple(found))
        return cls._of(policies, parsed, rules)

    @classmethod
    def assembled(cls, policies: Mapping[str, str]) -> "PolicySet":
        """The handles without validation. ``load`` is the way in; tests of the PDP come here.

        Raises:
            ConfigError: A file cannot be parsed, or a policy has no usable ``@id``.
        """
        parsed = [one for file in sorted(policies) for one in _parse(file, policies[file])]
        return cls._of(policies, parsed, schema.parsed())

    @classmethod
    def _of(
        cls, policies: Mapping[str, str], parsed: Sequence[_Parsed], rules: cedarpy.Schema
    ) -> "PolicySet":
        trees = {policy.id: tree for policy, tree in parsed}
        return cls(
            policies={policy.id: policy for policy, _ in parsed},
            digest=canonical.digest(dict(policies)),
            cedar=_handle(trees),
            scopes=_handle(
                {k: {**t, "effect": PERMIT, "conditions": []} for k, t in trees.items()}
            ),
            alone=_handle({k: {**t, "effect": PERMIT} for k, t in trees.items()}),
            schema=rules,
        )


def problems(policies: Mapping[str, str], configuration: Configuration) -> list[ConfigError]:
    """Everything that is wrong with the policies, in the order of files and lines."""
    return _checked(policies, configuration, schema.parsed())[0]


def _checked(
    policies: Mapping[str, str], configuration: Configuration, rules: cedarpy.Schema
) -> tuple[list[ConfigError], list[_Parsed]]:
    """What is wrong; and, when nothing is, each policy with its tree. In order of file and line."""
    found: list[ConfigError] = []
    whole: list[_Parsed] = []
    seen: dict[str, Policy] = {}
    names = names_of(configuration)
    for file in sorted(policies):
        unfit = list(policy_text.problems_of(file, policies[file]))
        found += unfit
        if unfit:
            continue
        try:
            parsed = list(_parse(file, policies[file]))
        except ConfigError as error:
            found.append(error)
            continue
        here = [p for policy, tree in parsed for p in _problems_of(policy, tree, names)]
        here += [_duplicate(policy, seen) for policy, _ in parsed if policy.id in seen]
        here += _invalid(file, policies[file], rules, {p.id: p for p, _ in parsed})
        seen |= {policy.id: policy for policy, _ in parsed}
        whole += parsed
        found += sorted(here, key=lambda error: error.line or 0)
    return found, whole


def _handle(trees: Mapping[str, dict[str, Any]]) -> cedarpy.PolicySet:
    whole = {"templates": {}, "staticPolicies": trees, "templateLinks": []}
    try:
        return cedarpy.PolicySet.from_json_str(msgspec.json.encode(whole).decode())
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"Cedar cannot hold it: {error}", way_out=_FEWER) from error


def _parse(file: str, text: str) -> Iterator[_Parsed]:
    """Each policy of one file with its tree in Cedar's JSON form, or ConfigError."""
    unfit = policy_text.too_much(file, text)
    if unfit is not None:
        raise unfit
    try:
        whole = msgspec.json.decode(cedarpy.policies_to_json_str(text))
    except RecursionError as error:
        raise ConfigError(
            "a policy of this file chains too many conditions",
            file=file,
            way_out=_FEWER,
        ) from error
    except ValueError as error:
        line = _broken_at(text)
        raise ConfigError(
            f"this is not a Cedar policy: {error}",
            file=file,
            line=line,
            way_out="look at the policy that begins here, at its brackets and final semicolon",
        ) from error
    if whole["templates"]:
        raise ConfigError(
            "policies with ?principal or ?resource are not used here",
            file=file,
            line=_line_with(text, re.compile(r"\?(?:principal|resource)")),
            way_out="write the condition on principal, resource and context instead",
        )
    static: dict[str, dict[str, Any]] = whole["staticPolicies"]
    ids: set[str] = set()
    for number, key in enumerate(sorted(static, key=lambda k: int(k.removeprefix("policy")))):
        policy = _described(file, text, static[key], number)
        if policy.id in ids:
            raise _again(policy, file)
        ids.add(policy.id)
        yield policy, static[key]


def _described(file: str, text: str, tree: dict[str, Any], number: int) -> Policy:
    notes: dict[str, str | None] = tree.get("annotations", {})
    name = notes.get("id") or ""
    if not _ID.fullmatch(name):
        what = f"{name!r} is no id" if name else "it has no @id"
        raise ConfigError(
            f"policy {number + 1} of the file: {what}",
            file=file,
            line=_line_of(text, name) if name else None,
            way_out='write @id("what-it-does") above it: small letters, digits and hyphens',
        )
    line = _line_of(text, name)
    try:
        owed = parse_obligations(notes["oblige"] or "") if "oblige" in notes else ()
    except ValueError as error:
        raise ConfigError(
            f"@oblige: {error}",
            file=file,
            line=line,
            key=f"@id({name})",
            way_out='write @oblige("record, notify group:security, step-up phr")',
        ) from error
    return Policy(
        id=name,
        effect=tree["effect"],
        file=file,
        line=line,
        reason=notes.get("reason") or "",
        needs=notes.get("needs") or "",
        obligations=owed,
    )


def _problems_of(
    policy: Policy, tree: dict[str, Any], names: Mapping[str, frozenset[str]]
) -> Iterator[ConfigError]:
    """What the schema does not know: our annotations, and the names of this configuration."""
    known = _ANNOTATIONS[policy.effect]
    for annotation in sorted(set(tree.get("annotations", {})) - known):
        yield _problem(
            policy,
            f"@{annotation} means nothing on a {policy.effect}",
            f"use {_spelled(known)}, or a comment",
        )
    if policy.effect == FORBID and not policy.reason.strip():
        yield _problem(
            policy,
            "a forbid needs a sentence for the person that it refuses",
            'write @reason("{incident} names {incident_targets}, you asked for {target}")',
        )
    for template in (policy.reason, policy.needs):
        for word in reason.unknown_placeholders(template):
            yield _problem(
                policy,
                f"{{{word}}} stands for nothing" if word not in "{}" else "a brace stands alone",
                f"use one of {', '.join(sorted(reason.PLACEHOLDERS))}",
            )
    groups = names["Group"]
    for owed in policy.obligations:
        told = owed.about.removeprefix(GROUP)
        if owed.kind is ObligationKind.NOTIFY and (told == owed.about or told not in groups):
            yield _problem(
                policy,
                f"@oblige: nobody is told by {owed}",
                f"group: and one of {_spelled(groups)}",
            )
    yield from _unknown_names(policy, tree, names)


def _unknown_names(
    policy: Policy, tree: dict[str, Any], names: Mapping[str, frozenset[str]]
) -> Iterator[ConfigError]:
    """A misspelt group, target or word matches nobody, silently: refuse it."""
    try:
        nodes = _handle({policy.id: tree}).to_pst()
        words, uids = list(misspelt(nodes)), sorted(pst.entity_uids(nodes), key=str)
    except (ConfigError, ValueError, RecursionError) as error:
        yield _problem(policy, f"it is too deep to be checked: {error}", _FEWER)
        return
    for attribute, word, known in words:
        yield _problem(policy, f'{attribute} is never "{word}"', f"one of {_spelled(known)}")
    for uid in uids:
        found = names.get(str(uid.type))
        if found is not None and uid.id not in found:
            yield _problem(
                policy,
                f"{uid} is not in the configuration, so this could never match",
                f"one of {_spelled(found)}" if found else f"configure a {uid.type} first",
            )


def _invalid(
    file: str, text: str, rules: cedarpy.Schema, here: Mapping[str, Policy]
) -> Iterator[ConfigError]:
    """Cedar's strict validation of one file against the schema."""
    result = cedarpy.validate_policies(text, rules)
    named: dict[str, str] = result.id_annotations_by_policy_id
    for error in result.errors:
        name = named.get(error.policy_id, "")
        words = error.error.removeprefix(f"for policy `{error.policy_id}`, ")
        policy = here.get(name, Policy(id=name, effect="", file=file, line=None))
        yield _problem(policy, words, "docs/policy.md lists what a policy can read")
    if not result.validation_passed and not result.errors:
        yield ConfigError("Cedar refuses it without saying why", file=file)


def _problem(policy: Policy, message: str, way_out: str) -> ConfigError:
    return ConfigError(
        message, file=policy.file, line=policy.line, key=f"@id({policy.id})", way_out=way_out
    )


def _duplicate(policy: Policy, seen: Mapping[str, Policy]) -> ConfigError:
    return _again(policy, seen[policy.id].file)


def _again(policy: Policy, first: str) -> ConfigError:
    return _problem(policy, f"{first} has a policy of that id already", "give it another @id")


def _spelled(names: Iterable[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:12]) + (" …" if len(shown) > 12 else "")  # noqa: PLR2004 - a line's worth


def _line_of(text: str, name: str) -> int | None:
    """The last line with that ``@id`` (the last, so that a repeated one is where it says)."""
    return _line_with(text, re.compile(rf'@id\s*\(\s*"{re.escape(name)}"\s*\)'))


def _line_with(text: str, wanted: re.Pattern[str]) -> int | None:
    found = None
    for number, line in enumerate(text.splitlines(), start=1):
        match = wanted.search(line)
        if match and _COMMENT not in line[: match.start()]:
            found = number
    return found


def _broken_at(text: str) -> int:
    """The first line of the first policy that does not parse; Cedar's message has no position."""
    lines = text.splitlines() or [""]
    good = failed = 0
    for number, line in enumerate(lines, start=1):
        if ";" in line and failed < _TRIES:
            if _parses("\n".join(lines[good:number])):
                good, failed = number, 0
            else:
                failed += 1
    rest = range(good, len(lines))
    return next((n + 1 for n in rest if _is_code(lines[n])), len(lines))


def _is_code(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith(_COMMENT)


def _parses(text: str) -> bool:
    try:
        cedarpy.policies_to_json_str(text)
    except ValueError:
        return False
    return True
