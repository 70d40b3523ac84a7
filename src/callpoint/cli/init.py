"""`callpoint init`: keys, governors, and the first signed configuration (I15).

In one step where the governors' keys are on this machine (for trying out), else in two:
`--propose` makes the folder, each governor signs its `proposal.json` with `callpoint sign`, and
`--signatures` puts it in force.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from callpoint.bootstrap.shell_word import shell_word
from callpoint.cli.exit_codes import reported
from callpoint.cli.machine import Machine, ThisMachine
from callpoint.cli.signature_file import read_signatures
from callpoint.domain.errors import RequestError

if TYPE_CHECKING:  # the composition root takes a second to import, which `--help` need not pay
    from callpoint.config.files import Sources
    from callpoint.domain.event import SignatureRecord
    from callpoint.domain.governance import Bundle, Installation

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("init")
@click.option(
    "--home",
    type=_FOLDER,
    help="The folder to make.  [default: $CALLPOINT_HOME, else ~/.callpoint/server]",
)
@click.option("--config", "directory", type=_FOLDER, help="The configuration directory.")
@click.option(
    "--sign",
    "key_files",
    type=_FILE,
    multiple=True,
    help="A governor's key file; one option a file.",
)
@click.option("--propose", is_flag=True, help="Make keys and proposal; governors sign elsewhere.")
@click.option(
    "--signatures",
    "signature_files",
    type=_FILE,
    multiple=True,
    help="What `callpoint sign` printed; one option a file.",
)
@click.option("--store-env", default="", metavar="NAME", help="Variable with PostgreSQL's DSN.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format.")
@click.pass_context
@reported
def init(
    ctx: click.Context,
    home: Path | None,
    directory: Path | None,
    key_files: tuple[Path, ...],
    *,
    propose: bool,
    signature_files: tuple[Path, ...],
    store_env: str,
    output: str,
) -> None:
    """Make an installation. What a crash leaves behind is taken up by the same command."""
    import asyncio

    from callpoint.bootstrap.founding import draft_bundle, found_home, make_home, must_carry
    from callpoint.bootstrap.outside import Outside
    from callpoint.config.settings import home_directory

    machine: Machine = ctx.find_root().obj or ThisMachine()
    outside = Outside(machine.environment)
    place = home_directory(str(home) if home else None, machine.environment)
    bundle = draft_bundle(place, _sources(directory), outside.random)
    if propose:
        make_home(place, bundle, store_variable=store_env)
        _tell(output, _facts(place, bundle, founded=False), _proposed(place, bundle))
        return
    records = _signatures(bundle, key_files, signature_files)
    must_carry(bundle, records)  # before anything is made
    if store_env:
        outside.secret(store_env, "the DSN of Callpoint's own database")
    make_home(place, bundle, store_variable=store_env)
    made = asyncio.run(found_home(place, records, outside))
    _tell(output, _facts(place, bundle, founded=True), _founded(place, directory, made, bundle))


def _sources(directory: Path | None) -> "Sources | None":
    from callpoint.config.default_policies import default_pack
    from callpoint.config.files import load_directory

    return load_directory(directory, default_pack()) if directory is not None else None


def _signatures(
    bundle: "Bundle", key_files: Sequence[Path], signature_files: Sequence[Path]
) -> "tuple[SignatureRecord, ...]":
    """Those made here and those made elsewhere."""
    import base64

    from callpoint.bootstrap.founding import GovernorKey, sign_with
    from callpoint.cli.keyring import PrincipalKey, load_principal_key

    def governor(key: PrincipalKey) -> GovernorKey:
        return GovernorKey(
            key.public_key, lambda message: base64.b64encode(key.key.sign(message)).decode()
        )

    if not key_files and not signature_files:
        names = ", ".join(sorted(bundle.configuration.governance.governors))
        raise RequestError(
            f"nobody signs the first configuration; its governors are {names}",
            way_out="add --sign KEYFILE for each, or begin with --propose",
        )
    made = sign_with(bundle, [governor(load_principal_key(path)) for path in key_files])
    return (*made, *read_signatures(signature_files))


def _facts(home: Path, bundle: "Bundle", *, founded: bool) -> dict[str, object]:
    governance = bundle.configuration.governance
    return {
        "home": str(home),
        "installation": bundle.installation,
        "founded": founded,
        "digest": bundle.digest(),
        "governors": sorted(governance.governors),
        "quorum": governance.quorum,
    }


def _proposed(home: Path, bundle: "Bundle") -> list[str]:
    governance = bundle.configuration.governance
    names = ", ".join(sorted(governance.governors))
    return [
        f"proposed: installation {bundle.installation}, its keys are in {home / 'keys'}",
        f"next: {governance.quorum} of {names} each run",
        f"  callpoint sign {shell_word(home / 'proposal.json')} --key KEYFILE > NAME.signature",
        f"then: callpoint init --home {shell_word(home)} --signatures NAME.signature …",
    ]


def _founded(
    home: Path, directory: Path | None, made: "Installation", bundle: "Bundle"
) -> list[str]:
    lines = [f"installation {made.id} is founded in {home}"]
    if made.trial:
        lines.append("TRIAL: one governor alone rules; name two or more before you depend on it")
    lines.append(f"back up {home / 'keys'} now: nothing replaces it")
    config = directory or Path("DIR")
    targets = bundle.configuration.targets.values()
    lines += [
        f"next: callpoint target prepare {target.id} --config {shell_word(config)}"
        f" --home {shell_word(home)}"
        for target in targets
    ]
    return [*lines, f"next: callpoint serve --home {shell_word(home)}"]


def _tell(output: str, facts: dict[str, object], lines: list[str]) -> None:
    click.echo(json.dumps(facts) if output == "json" else "\n".join(lines))
