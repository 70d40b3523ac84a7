"""`callpoint log status | checkpoint | proof | export | witness | recover`.

What the operator must know, what an outsider keeps and verifies, and going on after a loss.
"""

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from callpoint.audit.proof_file import ProofFile
from callpoint.audit.verify import verify_proof
from callpoint.bootstrap.shell_word import shell_word
from callpoint.cli.bundle_files import BUNDLES, encoded, fetched, file_name
from callpoint.cli.exit_codes import ExitCode, reported
from callpoint.cli.group import VerbGroup
from callpoint.cli.invocation import Invocation, verb
from callpoint.cli.key import home_option
from callpoint.cli.log_text import asked_lines, read_size, status_lines
from callpoint.cli.machine import Machine, ThisMachine
from callpoint.cli.signature_file import read_signatures
from callpoint.cli.trust import known_installation
from callpoint.cli.verify import CHECKPOINT_FILE
from callpoint.cli.whole_log import WholeLog
from callpoint.domain.counted import plural
from callpoint.domain.errors import NotFoundError, RequestError, TamperError

if TYPE_CHECKING:  # the composition root takes a second to import, which `--help` need not pay
    from callpoint.bootstrap.recovery import Recovered
    from callpoint.domain.event import BundlePublished

_MAX_REASON = 1000
_LINES_FILE = "entries.jsonl"


@click.group("log", cls=VerbGroup)
def log() -> None:
    """The event log: how it stands, its checkpoint, proofs, all of it, and its recovery."""


@verb("status", log)
def status(run: Invocation) -> None:
    """Size, witnesses, what waits for a number, and what to do about what is missing."""
    found = run.client.log_status()
    run.show(found, status_lines(found))


@verb("proof", log)
@click.argument("index", type=click.IntRange(min=0), required=False)
@click.option("--entry-hash", metavar="HEX", help="Instead of INDEX: the entry's leaf hash.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="[default: INDEX.tlog-proof]"
)
@click.option(
    "--installation", type=click.Path(path_type=Path, dir_okay=False), help="The file to trust."
)
def proof(
    run: Invocation,
    index: int | None,
    entry_hash: str | None,
    out: Path | None,
    installation: Path | None,
) -> None:
    """Write a C2SP tlog-proof: that entry INDEX is in the log, checkable offline."""
    if (index is None) == (entry_hash is None):
        raise RequestError("name the entry: INDEX or --entry-hash HEX, one of them")
    known, first = known_installation(run.client, run.state, installation)
    run.note(*((first,) if first else ()))
    query = {"leaf": entry_hash} if entry_hash is not None else {"index": str(index)}
    found = run.client.log_proof(query)
    file = ProofFile(found.index, found.proof, found.checkpoint.encode(), found.leaf_hash)
    content = file.format()
    report = verify_proof(
        content, known.log_key, known.origin or None, former=known.former_log_keys
    )
    if not report.ok or (entry_hash is not None and found.leaf_hash.hex() != entry_hash):
        raise TamperError(
            f"the server's proof does not hold: {'; '.join(f.message for f in report.findings)}",
            way_out="keep the answer, and ask the governors; `callpoint log checkpoint` shows more",
        )
    place = out or Path(f"{found.index}.tlog-proof")
    _write(place, content)
    size = read_size(found.checkpoint)
    facts = {"file": str(place), "index": found.index, "leaf_hash": found.leaf_hash.hex()}
    run.show(
        {**facts, "size": size},
        [
            f"entry {found.index} is in the log of {size} entries: {place}",
            f"to check it: callpoint verify proof {shell_word(place)} --installation FILE",
        ],
    )


@verb("witness", log)
def witness(run: Invocation) -> int:
    """Ask every witness of the log now, and show what each answered.

    The server asks by itself, every few seconds. Exit status 6: one did not cosign.
    """
    asked = run.client.ask_witnesses()
    run.show(asked, asked_lines(asked))
    signed = [answer for answer in asked.answers.values() if answer == "cosigned"]
    return ExitCode.OK if len(signed) == len(asked.answers) else ExitCode.UNAVAILABLE


@verb("checkpoint", log)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Also keep it in this file."
)
def checkpoint(run: Invocation, out: Path | None) -> None:
    """Print the newest signed checkpoint. Keep some, where the operator cannot reach them."""
    note = run.client.checkpoint()
    if out is not None:
        _write(out, note)
    text = note.decode("utf-8", "replace")
    run.show({"checkpoint": text}, text.removesuffix("\n").split("\n"))


@verb("export", log)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
def export(run: Invocation, directory: Path) -> None:
    """Write the whole log and its checkpoint to a new DIRECTORY, for `callpoint verify log`.

    And each configuration that was in force, for `callpoint policy replay --log DIRECTORY`.
    """
    try:
        directory.mkdir(mode=0o700, parents=True)
    except FileExistsError as error:
        raise RequestError(
            f"{directory} exists", way_out="name a directory that does not exist yet"
        ) from error
    except OSError as error:
        raise RequestError(f"{directory} cannot be made: {error.strerror}") from error
    try:
        whole = WholeLog(run.client)
        _entries(whole, directory / _LINES_FILE)
        _write(directory / CHECKPOINT_FILE, whole.checkpoint)
        bundles = _bundles(run, whole.published, directory / BUNDLES)
    except BaseException:
        # Half an export is in the way of the next try, and reads like a log that was cut.
        shutil.rmtree(directory, ignore_errors=True)
        raise
    facts = {"directory": str(directory), "entries": whole.size, "bundles": bundles}
    size = plural(whole.size, "entry", "entries")
    run.show(
        facts,
        [
            f"{size} and {plural(bundles, 'configuration')} written to {directory}",
            f"to check it: callpoint verify log {shell_word(directory)} --installation FILE",
        ],
    )


@log.command("recover")
@home_option
@click.option("--reason", required=True, metavar="WORDS", help="Why; stands in the log for ever.")
@click.option("--as", "actor", required=True, metavar="NAME", help="Who does it; in the log too.")
@click.option(
    "--signatures",
    "signature_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Of governors, over a configuration that was lost; one option a file.",
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format.")
@click.pass_context
@reported
def recover(
    ctx: click.Context,
    home: Path | None,
    reason: str,
    actor: str,
    signature_files: tuple[Path, ...],
    output: str,
) -> None:
    """Go on after the database lost a part of the log, under a new origin.

    On the server's machine, with the server stopped, and only when the newest backup is in place:
    what is lost now stays lost. Whoever kept a checkpoint will see it.
    """
    import asyncio

    from callpoint.bootstrap.outside import Outside
    from callpoint.bootstrap.recovery import recover_log
    from callpoint.config.settings import home_directory
    from callpoint.domain.ids import parse_name

    machine: Machine = ctx.find_root().obj or ThisMachine()
    place = home_directory(str(home) if home else None, machine.environment)
    parse_name(actor, "person")
    records = read_signatures(signature_files)
    outside = Outside(machine.environment)
    done = asyncio.run(recover_log(place, _words(reason), actor, records, outside))
    facts: dict[str, object] = {
        "origin": done.origin,
        "kept_entries": None if done.event is None else done.event.kept_size,
        "lost_entries": None if done.event is None else done.event.lost_size,
        "lost_configuration": None if done.lost is None else done.lost.number,
    }
    click.echo(json.dumps(facts) if output == "json" else "\n".join(_told(done, place)))


def _words(reason: str) -> str:
    if not reason.strip() or len(reason) > _MAX_REASON:
        raise RequestError(f"--reason takes 1 to {_MAX_REASON} characters")
    return reason


def _told(done: "Recovered", home: Path) -> Iterator[str]:
    if done.event is not None:
        kept, lost = done.event.kept_size, done.event.lost_size
        were = plural(lost, "that was signed is", "that were signed are")
        yield f"{plural(kept, 'entry is', 'entries are')} left; {were} lost"
    yield f"the log goes on as {done.origin}"
    if done.lost is None:
        yield f"next: callpoint serve --home {shell_word(home)}"
        yield f"and give {home / 'installation.json'} to everybody who verifies"
        return
    file = home / "lost-configuration.json"
    yield f"LOST: configuration {done.lost.number} was in force here; nothing is given without it"
    yield f"governors: callpoint sign {shell_word(file)} --key KEYFILE > NAME.signature"
    yield "then the same command again, with --signatures NAME.signature …"


def _entries(log: WholeLog, path: Path) -> None:
    with path.open("x", encoding="ascii") as file:
        for entry in log.entries():
            leaf = base64.b64encode(entry.leaf).decode()
            file.write(json.dumps({"index": entry.index, "leaf": leaf}) + "\n")


def _bundles(run: Invocation, published: "list[BundlePublished]", folder: Path) -> int:
    """Write every configuration that the log names, as canonical JSON; returns how many.

    One that the server cannot give leaves the export good: the log is whole without it, and to
    export it is what one does when the database was changed.
    """
    folder.mkdir(mode=0o700)
    written = 0
    for event in published:
        try:
            content = encoded(fetched(run.client, event), event)
        except (NotFoundError, TamperError) as error:
            run.note(f"! without configuration {event.number}: {error.message}")
            continue
        _write(folder / file_name(event.number), content)
        written += 1
    return written


def _write(path: Path, content: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError as error:
        raise RequestError(
            f"{path} exists; it is not written over", way_out="name a file that does not exist yet"
        ) from error
    except OSError as error:
        raise RequestError(
            f"{path} cannot be written: {error.strerror}", way_out="name another file"
        ) from error
