"""`callpoint evidence ID`: the bundle that an outsider verifies, kept as a file."""

from pathlib import Path

import click

from callpoint.cli.invocation import Invocation, verb
from callpoint.domain.errors import RequestError


@verb("evidence")
@click.argument("activation", metavar="ID")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it.  [default: ID.bundle.json]",
)
def evidence(run: Invocation, activation: str, out: Path | None) -> None:
    """Download the evidence bundle of the activation ID, byte for byte as the server made it."""
    path = out or Path(f"{activation}.bundle.json")
    content = run.client.bundle(activation)
    keep(path, content)
    facts = {"activation": activation, "file": str(path), "bytes": len(content)}
    run.show(
        facts,
        [
            f"written to {path} ({len(content)} bytes)",
            f"to check it: callpoint verify bundle {path} --installation FILE",
        ],
    )


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
