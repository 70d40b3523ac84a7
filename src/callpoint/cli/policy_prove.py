"""`callpoint policy prove`: what no question can get, shown over all of them, on local files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from callpoint.cli.exit_codes import ExitCode
from callpoint.cli.invocation import Invocation, verb
from callpoint.domain.counted import plural

if TYPE_CHECKING:  # the solver takes a third of a second to import, and may be absent
    from callpoint.config.files import Sources
    from callpoint.policy.policy_set import PolicySet
    from callpoint.policy.prove.invariants import Verdict

INVARIANTS = "policies/invariants"

_DIRECTORY = click.Path(file_okay=False, exists=True, path_type=Path)


@dataclass(frozen=True, slots=True)
class _Pack:
    """The sound policies of a directory."""

    name: str
    sources: "Sources"
    policies: "PolicySet"


@verb("prove", offline=True)
@click.argument("directory", metavar="[DIR]", type=_DIRECTORY, default=Path())
@click.option(
    "--against", type=_DIRECTORY, metavar="DIR", help="Instead: what differs from that one's."
)
def prove(run: Invocation, directory: Path, against: Path | None) -> int:
    """Prove the invariants of the policies in DIR, over every question that can be asked.

    They are DIR/policies/invariants/*.cedar, or those of the default pack. Exit status: 0 all are
    proved, 2 one is broken or could not be proved. A counterexample was confirmed by Cedar.
    """
    _must_have_solver()
    from callpoint.policy.prove import invariants

    pack = _pack(directory)
    if against is None:
        verdicts = invariants.prove(pack.policies, _invariants(directory, pack.sources))
    else:
        other = _pack(against)
        verdicts = invariants.differences(pack.policies, other.policies, (pack.name, other.name))
    run.show(_facts(verdicts), _text(verdicts))
    proved = all(verdict.outcome is invariants.Outcome.PROVED for verdict in verdicts)
    return ExitCode.OK if proved else ExitCode.BAD_INPUT


def _must_have_solver() -> None:
    from callpoint.domain.errors import RequestError

    try:
        import z3  # noqa: F401 -- an extra: only asked whether it is there
    except ImportError as error:
        raise RequestError(
            f"the solver z3 is not there, and nothing can be proved without it: {error}",
            way_out="pip install 'callpoint[prove]' (there is none for 64-bit ARM before glibc"
            " 2.38); `callpoint policy test` needs nothing",
        ) from error


def _pack(directory: Path) -> _Pack:
    """The policies, which must be sound: what does not type-check has no meaning to prove."""
    from callpoint.config.default_policies import default_pack
    from callpoint.config.files import load_directory
    from callpoint.policy.policy_set import PolicySet

    sources = load_directory(directory, default_pack())
    return _Pack(str(directory), sources, PolicySet.load(sources.policies, sources.configuration))


def _invariants(directory: Path, sources: "Sources") -> "PolicySet":
    """The directory's own invariants, or the default pack's."""
    from callpoint.config.default_policies import default_invariants
    from callpoint.domain.errors import ConfigError
    from callpoint.policy.policy_set import PolicySet

    folder = directory / INVARIANTS
    if not folder.exists():
        return PolicySet.load(default_invariants(), sources.configuration)
    texts = {}
    for file in sorted(folder.glob("*.cedar")):
        try:
            texts[file.name] = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"cannot be read: {error}", file=str(file), way_out="it must be UTF-8 text"
            ) from error
    found = PolicySet.load(texts, sources.configuration)
    permits = [name for name, policy in found.policies.items() if policy.effect != "forbid"]
    if permits or not texts:
        what = f"{permits[0]} is a permit" if permits else "there is no invariant"
        raise ConfigError(
            what, file=INVARIANTS, way_out="an invariant is a forbid; docs/policy.md shows some"
        )
    return found


def _facts(verdicts: "list[Verdict]") -> dict[str, object]:
    return {
        "verdicts": [
            {
                "id": verdict.name,
                "says": verdict.says,
                "outcome": verdict.outcome,
                "because": verdict.because,
                "kinds": verdict.kinds,
                "witness": None
                if verdict.witness is None
                else {
                    "principal": verdict.witness.kind.principal,
                    "action": verdict.witness.kind.action,
                    "resource": verdict.witness.kind.resource,
                    "facts": verdict.witness.facts,
                },
            }
            for verdict in verdicts
        ]
    }


def _text(verdicts: "list[Verdict]") -> Iterator[str]:
    from callpoint.policy.prove.invariants import lines, summary

    yield from lines(verdicts)
    counts = [f"{count} {outcome}" for outcome, count in summary(verdicts).items() if count]
    yield f"{plural(len(verdicts), 'statement')}: {', '.join(counts)}"
