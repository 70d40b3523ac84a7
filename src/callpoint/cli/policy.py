"""`callpoint policy check | test | explain`: on local files, before anything is published.

`prove` and `replay` are in files of their own.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from callpoint.cli.exit_codes import ExitCode, reported
from callpoint.cli.group import VerbGroup
from callpoint.cli.policy_prove import prove
from callpoint.cli.policy_replay import replay
from callpoint.cli.words import whole
from callpoint.domain.counted import plural

if TYPE_CHECKING:  # these take a tenth of a second to import, which `--help` need not pay
    from callpoint.config.files import Sources
    from callpoint.domain.decision import DecisionRequest
    from callpoint.domain.errors import ConfigError
    from callpoint.policy.cases import Case, CaseResult
    from callpoint.policy.explain import Explanation

TESTS = "policies/tests"

_config = click.option(
    "--config",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    show_default="the current directory",
    help="The configuration directory.",
)
_output = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format."
)


@click.group(cls=VerbGroup)
def policy() -> None:
    """Check, test, explain and prove policies in local files; replay what was decided."""


policy.add_command(prove)
policy.add_command(replay)


@policy.command()
@_config
@_output
@reported
def check(directory: Path, output: str) -> None:
    """Find everything that is wrong with the policies."""
    from callpoint.domain.errors import ConfigErrors
    from callpoint.policy import pap

    sources = _load(directory)
    problems = pap.check(sources.policies, sources.configuration)
    if problems:
        raise ConfigErrors(tuple(_placed(problem) for problem in problems))
    _print(output, {"policies": len(_ids(sources)), "problems": []}, _sound(sources))


@policy.command()
@_config
@_output
@reported
def test(directory: Path, output: str) -> None:
    """Run the policy tests in policies/tests/*.toml.

    A directory without policies is tested as the default pack, with the pack's own tests.
    """
    from callpoint.policy import pap

    sources, tests = _load(directory), _tests(directory)
    results = pap.run_tests(sources.policies, tests, sources.configuration)
    untested = pap.untested(sources.policies, results)
    _print(output, _results_json(results, untested), _results_text(results, untested))
    if not all(result.passed for result in results):
        raise SystemExit(ExitCode.BAD_INPUT)


@dataclass(frozen=True, slots=True)
class Stated:
    """The options of `explain` that make up the incident and the activation."""

    to: str
    incident: str | None
    ref: str
    severity: str | None
    names: tuple[str, ...]
    eligibility: str | None
    requester: str | None
    ttl: str | None
    quorum_met: bool


@policy.command()
@click.argument("who")
@click.argument("action")
@click.argument("on", default="")
@click.option("--to", default="", help="Of a verb through a gateway: the object it is done to.")
@click.option("--incident", help="Its state: declared, open, resolved or unknown.")
@click.option("--ref", default="INC-7", show_default=True, help="Its id.")
@click.option("--severity", help="Its severity: sev1 to sev4.")
@click.option("--names", multiple=True, metavar="TARGET", help="A target that it names.")
@click.option("--eligibility", help="What is activated.")
@click.option("--requester", help="Who asked for it; WHO unless given.")
@click.option("--for", "ttl", metavar="SPAN", help="How long, for instance 30m.")
@click.option("--quorum-met", is_flag=True, help="Enough persons approved.")
@click.option("--all", "everything", is_flag=True, help="Show policies that are out of scope too.")
@_config
@_output
@reported
def explain(
    who: str, action: str, on: str, directory: Path, output: str, *, everything: bool, **_: object
) -> None:
    """Say how a request would be decided, and what each policy said to it.

    WHO does ACTION (for instance activation:request, or sql:select through a gateway) ON a target
    role (target:role), or without it on the installation itself.
    """
    from callpoint.policy.explain import explain as explained
    from callpoint.policy.explain import lines
    from callpoint.policy.pap import decider

    sources = _load(directory)
    pdp = decider(sources.policies, sources.configuration)
    stated = _stated(click.get_current_context().params)
    explanation = explained(pdp, _request(sources, who, action, on, stated))
    text = lines(explanation, everything=everything)
    _print(output, _explanation_json(explanation), text)


def _stated(options: dict[str, Any]) -> Stated:
    return Stated(**{field.name: options[field.name] for field in fields(Stated)})


def _load(directory: Path) -> "Sources":
    from callpoint.config.default_policies import default_pack
    from callpoint.config.files import load_directory

    return load_directory(directory, default_pack())


def _tests(directory: Path) -> dict[str, str]:
    """The test files of the directory, or those of the default pack when it stands in."""
    from callpoint.config.default_policies import default_tests
    from callpoint.domain.errors import ConfigError

    folder = directory / TESTS
    if not folder.parent.exists():
        return default_tests()
    found = {}
    for file in sorted(folder.glob("*.toml")):
        try:
            found[f"{TESTS}/{file.name}"] = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"cannot be read: {error}", file=str(file), way_out="it must be UTF-8 text"
            ) from error
    if not found:
        raise ConfigError(
            "there is no test", file=TESTS, way_out="docs/policy.md shows how to write one"
        )
    return found


def _request(
    sources: "Sources", who: str, action: str, on: str, stated: Stated
) -> "DecisionRequest":
    from callpoint.domain.errors import RequestError
    from callpoint.policy.cases import request_of

    try:
        return request_of(_case(who, action, on, stated), sources.configuration)
    except ValueError as error:
        raise RequestError(
            str(error), way_out="callpoint policy explain --help lists the options"
        ) from error


def _case(who: str, action: str, on: str, stated: Stated) -> "Case":
    """The options as a case, so that a test file and a command line mean the same.

    Raises:
        ValueError: A word is none of those that are allowed.
    """
    import msgspec

    from callpoint.policy.cases import Case

    told: dict[str, Any] = {"name": "", "who": who, "action": action, "on": on, "expect": "allow"}
    told["to"] = stated.to
    if stated.incident:
        told["incident"] = {
            "state": stated.incident,
            "ref": stated.ref,
            "severity": stated.severity,
            "targets": stated.names,
        }
    if stated.eligibility:
        told["activation"] = {
            "eligibility": stated.eligibility,
            "requester": stated.requester,
            "ttl": stated.ttl,
            "quorum_met": stated.quorum_met,
        }
    return msgspec.convert(told, Case)


def _placed(problem: "ConfigError") -> "ConfigError":
    """The same problem under the file's path from the configuration directory."""
    from callpoint.domain.errors import ConfigError

    return ConfigError(
        problem.message,
        file=f"policies/{problem.file}",
        line=problem.line,
        key=problem.key,
        way_out=problem.way_out,
    )


def _ids(sources: "Sources") -> tuple[str, ...]:
    from callpoint.policy.policy_set import PolicySet

    return tuple(PolicySet.assembled(sources.policies).policies)


def _sound(sources: "Sources") -> Iterator[str]:
    policies = plural(len(_ids(sources)), "policy", "policies")
    yield f"{policies} in {plural(len(sources.policies), 'file')}: nothing is wrong"


def _results_text(results: "list[CaseResult]", untested: tuple[str, ...]) -> Iterator[str]:
    failed = [result for result in results if not result.passed]
    yield from (str(result) for result in failed)
    if untested:
        yield f"decided no case, so nobody would miss them: {', '.join(untested)}"
    yield f"{plural(len(results), 'case')}, {len(failed)} failed"


def _results_json(results: "list[CaseResult]", untested: tuple[str, ...]) -> dict[str, Any]:
    return {
        "cases": [
            {
                "file": result.file,
                "line": result.line,
                "name": result.case.name,
                "passed": result.passed,
                "problem": result.problem,
                "effect": result.decision.effect,
                "policies": result.decision.policies,
            }
            for result in results
        ],
        "untested": untested,
    }


def _explanation_json(explanation: "Explanation") -> dict[str, Any]:
    import msgspec

    return {
        "decision": msgspec.to_builtins(explanation.decision),
        "policies": [
            {
                "id": item.policy.id,
                "effect": item.policy.effect,
                "file": item.policy.file,
                "line": item.policy.line,
                "outcome": item.outcome,
                "words": item.words,
            }
            for item in explanation.considered
        ],
    }


def _print(output: str, facts: dict[str, Any], text: Iterator[str]) -> None:
    if output == "json":
        click.echo(json.dumps(facts))
        return
    for line in text:
        click.echo(whole(line))
