"""`callpoint log checkpoint | export`: what an outsider keeps, and what an outsider verifies."""

import base64
import json
from pathlib import Path

import click

from callpoint.cli.invocation import Invocation, verb
from callpoint.cli.verify import CHECKPOINT_FILE
from callpoint.domain.errors import ConflictError, RequestError, TamperError

_LINES_FILE = "entries.jsonl"


@click.group("log")
def log() -> None:
    """The event log: its newest checkpoint, or all of it."""


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
    """Write the whole log and its checkpoint to a new DIRECTORY, for `callpoint verify log`."""
    try:
        directory.mkdir(mode=0o700, parents=True)
    except FileExistsError as error:
        raise RequestError(
            f"{directory} exists", way_out="name a directory that does not exist yet"
        ) from error
    except OSError as error:
        raise RequestError(f"{directory} cannot be made: {error.strerror}") from error
    size, note = _entries(run, directory / _LINES_FILE)
    _write(directory / CHECKPOINT_FILE, note)
    facts = {"directory": str(directory), "entries": size}
    run.show(
        facts,
        [
            f"{size} entries written to {directory}",
            f"to check it: callpoint verify log {directory} --installation FILE",
        ],
    )


def _entries(run: Invocation, path: Path) -> tuple[int, bytes]:
    """Write all entries up to the size that the first answer names; returns it and its checkpoint.

    The log grows meanwhile; later answers are cut at that size, so that entries and checkpoint
    belong together.
    """
    first = run.client.log_entries(0)
    size, page, written = first.size, first, 0
    with path.open("x", encoding="ascii") as file:
        while written < size:
            if not page.entries:
                raise ConflictError(
                    f"the server gave {written} of {size} entries and no more",
                    way_out="try again; if it stays so, look at the server's log",
                )
            for entry in page.entries[: size - written]:
                if entry.index != written:
                    raise TamperError(f"the server gave entry {entry.index} in place of {written}")
                leaf = base64.b64encode(entry.leaf).decode()
                file.write(json.dumps({"index": entry.index, "leaf": leaf}) + "\n")
                written += 1
            if written < size:
                page = run.client.log_entries(written)
    return size, first.checkpoint.encode()


def _write(path: Path, content: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError as error:
        raise RequestError(f"{path} exists; it is not written over") from error
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error.strerror}") from error
