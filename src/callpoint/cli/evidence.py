"""`callpoint evidence ID`: one file that a person can open and an outsider verifies."""

from pathlib import Path

import click

from callpoint.audit.verify.story.document import DocumentError, Form, document
from callpoint.bootstrap.shell_word import shell_word
from callpoint.cli.invocation import Invocation, verb
from callpoint.domain.errors import RequestError, UnavailableError

_FORMS = {".html": Form.HTML, ".htm": Form.HTML, ".md": Form.MARKDOWN, ".json": Form.JSON}


@verb("evidence")
@click.argument("activation", metavar="ID")
@click.option(
    "--out",
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it: a .html or .md page, or .json.  [default: ID.bundle.json]",
)
def evidence(run: Invocation, activation: str, out: Path | None) -> None:
    """Download the evidence of the activation ID into one file.

    A name that ends in .html or .md gives a page that tells what happened, with the evidence
    bundle inside; any other name the bundle alone, byte for byte as the server made it.
    """
    path = out or Path(f"{activation}.bundle.json")
    content = written(run.client.bundle(activation), path)
    keep(path, content)
    facts = {"activation": activation, "file": str(path), "bytes": len(content)}
    run.show(
        facts,
        [
            f"written to {path} ({len(content)} bytes)",
            f"to check it: callpoint verify bundle {shell_word(path)} --installation FILE",
        ],
    )


def written(bundle: bytes, path: Path) -> bytes:
    """The bundle in the form that the file's name asks for. Raises UnavailableError."""
    form = _FORMS.get(path.suffix.lower(), Form.JSON)
    try:
        return document(bundle, form)
    except DocumentError as error:
        raise UnavailableError(
            f"the server sent something else than evidence: {error}",
            way_out="check the address, and that client and server have one version",
        ) from error


def keep(path: Path, content: bytes) -> None:
    """Write a new file that only its owner reads: evidence holds personal words.

    Raises:
        RequestError: There is such a file, or it cannot be written.
    """
    try:
        with path.open("xb") as file:
            path.chmod(0o600)
            file.write(content)
    except FileExistsError as error:
        raise RequestError(
            f"{path} exists; evidence is never written over something",
            way_out="name another file with --out",
        ) from error
    except OSError as error:
        raise RequestError(
            f"{path} cannot be written: {error.strerror}", way_out="name another file"
        ) from error
