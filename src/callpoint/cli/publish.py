"""`callpoint publish show | propose | submit`: how the rules change (I15).

Propose makes a bundle of a configuration directory and the bundle in force; governors sign it with
`callpoint sign`, each on their own machine; submit brings bundle and signatures to the server.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from callpoint.api.messages import ConfigurationView, Publication
from callpoint.bootstrap.shell_word import shell_word
from callpoint.cli.governance import read_bundle
from callpoint.cli.group import VerbGroup
from callpoint.cli.invocation import Invocation, verb
from callpoint.cli.signature_file import read_signatures
from callpoint.cli.words import listed
from callpoint.config.default_policies import default_pack
from callpoint.config.files import load_directory
from callpoint.domain.change import Change
from callpoint.domain.counted import plural
from callpoint.domain.errors import RequestError
from callpoint.domain.governance import Bundle
from callpoint.domain.widening import compare, required_signatures

_FILE = click.Path(path_type=Path, dir_okay=False)


class Proposal(msgspec.Struct, frozen=True):
    """What ``-o json`` says of a proposal.

    Attributes:
        signatures: How many governors of the configuration in force must sign.
        widens: The lines that widen access.
        changes: All lines that differ.
    """

    file: str
    number: int
    digest: str
    signatures: int
    governors: tuple[str, ...]
    widens: tuple[str, ...]
    changes: tuple[str, ...]


@click.group("publish", cls=VerbGroup)
def publish() -> None:
    """Propose, look at and submit a signed configuration."""


@verb("show", publish)
@click.option("--out", type=_FILE, help="Write the bundle here, for `--against`.")
def show(run: Invocation, out: Path | None) -> None:
    """Show the configuration in force."""
    held = run.client.configuration()
    lines = list(_in_force(held))
    if out is not None:
        _write(out, held.bundle)
        lines.append(f"written to {out}")
    run.show(held, lines)


@verb("propose", publish)
@click.option(
    "--config",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    show_default="the current directory",
    help="The configuration directory.",
)
@click.option("--out", type=_FILE, required=True, help="Where to write the bundle to be signed.")
def propose(run: Invocation, directory: Path, out: Path) -> None:
    """Make a bundle of a directory, and say which of its lines widen access."""
    sources = load_directory(directory, default_pack())
    held = run.client.configuration()
    bundle = Bundle(
        installation=held.bundle.installation,
        number=held.bundle.number + 1,
        previous=held.bundle.digest(),
        configuration=sources.configuration,
        policies=sources.policies,
    )
    changes = _changes(held.bundle, bundle)
    if not changes:
        raise RequestError(
            f"{directory} says what is in force already", way_out="there is nothing to publish"
        )
    _write(out, bundle)
    governance = held.bundle.configuration.governance
    made = Proposal(
        file=str(out),
        number=bundle.number,
        digest=bundle.digest(),
        signatures=required_signatures(changes, held.bundle.configuration, governance.quorum),
        governors=tuple(sorted(governance.governors)),
        widens=tuple(str(change) for change in changes if change.widens),
        changes=tuple(str(change) for change in changes),
    )
    run.show(made, _proposed(made, changes))


@verb("submit", publish)
@click.argument("bundle_file", metavar="BUNDLE", type=_FILE)
@click.argument("signature_files", metavar="SIGNATURE...", nargs=-1, required=True, type=_FILE)
def submit(run: Invocation, bundle_file: Path, signature_files: tuple[Path, ...]) -> None:
    """Put a signed bundle in force. Whoever brings it, only the signatures count."""
    bundle = read_bundle(bundle_file)
    done = run.client.publish(Publication(bundle, read_signatures(signature_files)))
    run.show(
        done,
        [
            f"configuration {done.number} is in force, signed by {listed(done.signed_by)}",
            *(f"WIDENS    {line}" for line in done.widens),
            f"digest {done.digest}",
        ],
    )


def _changes(old: Bundle, new: Bundle) -> Sequence[Change]:
    return compare(old.configuration, new.configuration, old.policies, new.policies)


def _in_force(held: ConfigurationView) -> Iterator[str]:
    configuration = held.bundle.configuration
    governance = configuration.governance
    yield f"configuration {held.bundle.number} of installation {held.bundle.installation}"
    yield f"digest {held.digest}"
    yield f"governors {listed(sorted(governance.governors))}; {governance.quorum} must sign"
    for eligibility in configuration.eligibilities.values():
        opens = listed(str(opening) for opening in eligibility.opens)
        yield f"  {eligibility.id}: opens {opens}, for {listed(eligibility.who)}"


def _proposed(made: Proposal, changes: Sequence[Change]) -> Iterator[str]:
    for change in sorted(changes, key=lambda change: not change.widens):
        yield f"{'WIDENS  ' if change.widens else 'tightens'}  {change}"
    yield (
        f"{plural(made.signatures, 'governor')} must sign, of: {listed(made.governors)}"
        + ("" if made.widens else " (nothing widens access)")
    )
    yield f"written to {made.file}: bundle {made.number}, digest {made.digest}"
    yield f"each governor: callpoint sign {shell_word(made.file)} --key FILE > NAME.sig"
    yield f"then: callpoint publish submit {made.file} NAME.sig ..."


def _write(path: Path, bundle: Bundle) -> None:
    try:
        with path.open("xb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(bundle)) + b"\n")
    except FileExistsError as error:
        raise RequestError(f"{path} exists", way_out="name another file with --out") from error
    except OSError as error:
        raise RequestError(
            f"{path} cannot be written: {error.strerror}", way_out="name another file"
        ) from error
