"""`callpoint target prepare | selftest`: bring a target under Callpoint, and test that it is."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from callpoint.cli.exit_codes import ExitCode, reported
from callpoint.cli.group import VerbGroup
from callpoint.cli.machine import Machine, ThisMachine
from callpoint.cli.words import span, whole
from callpoint.domain.errors import RequestError

if TYPE_CHECKING:  # the composition root takes a second to import, which `--help` need not pay
    from callpoint.ports.targets import SelfTest

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group("target", cls=VerbGroup)
def target() -> None:
    """Prepare and test what can be opened."""


@target.command()
@click.argument("name")
@click.option("--config", "directory", type=_FOLDER, default=Path(), help="The configuration.")
@click.option("--home", type=_FOLDER, help="The installation's folder, for its id.")
@click.option("--installation", metavar="ID", help="The installation's id, without its folder.")
@click.option("--database-part", is_flag=True, help="Only what each further database needs.")
@click.pass_context
@reported
def prepare(
    ctx: click.Context,
    name: str,
    directory: Path,
    home: Path | None,
    installation: str | None,
    *,
    database_part: bool,
) -> None:
    """Print the script that the owner of target NAME reads and runs.

    The broker's role and database are those of the target's DSN in the environment; the script
    names no password.
    """
    from callpoint.bootstrap.outside import Outside
    from callpoint.bootstrap.target_tools import installation_of, owner_script
    from callpoint.config.default_policies import default_pack
    from callpoint.config.files import load_directory
    from callpoint.config.settings import home_directory

    machine: Machine = ctx.find_root().obj or ThisMachine()
    sources = load_directory(directory, default_pack())
    if installation:
        mine = _checked(installation)
    else:
        mine = installation_of(home_directory(str(home) if home else None, machine.environment))
    script = owner_script(
        sources.configuration,
        name,
        mine,
        Outside(machine.environment),
        database_part=database_part,
    )
    click.echo(script, nl=False)


@target.command()
@click.argument("name")
@click.option("--home", type=_FOLDER, help="The installation's folder.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format.")
@click.pass_context
@reported
def selftest(ctx: click.Context, name: str, home: Path | None, output: str) -> None:
    """Try everything that an activation needs on target NAME, with an account of its own.

    Ends with exit status 5 when a check fails.
    """
    import asyncio

    import msgspec

    from callpoint.bootstrap.outside import Outside
    from callpoint.bootstrap.target_tools import selftest as run
    from callpoint.config.settings import home_directory

    machine: Machine = ctx.find_root().obj or ThisMachine()
    place = home_directory(str(home) if home else None, machine.environment)
    found = asyncio.run(run(place, name, Outside(machine.environment)))
    if output == "json":
        click.echo(msgspec.json.encode({"target": name, "ok": found.ok, "report": found}))
    else:
        click.echo("\n".join(map(whole, _lines(name, found))))  # it quotes the target
    if not found.ok:
        raise SystemExit(int(ExitCode.TARGET))


def _checked(installation: str) -> str:
    from callpoint.domain.ids import is_installation

    if not is_installation(installation):
        raise RequestError(
            f"{installation[:80]!r} is not an installation's id",
            way_out="it has 6 of a-z and 0-9; `callpoint init` says it",
        )
    return installation


def _lines(name: str, found: "SelfTest") -> list[str]:
    lines = []
    for check in found.checks:
        lines.append(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}")
        if not check.ok and check.way_out:
            lines.append(f"      what to do: {check.way_out}")
    residual = found.residual
    bound = "unbounded" if residual.bound is None else f"at most {span(residual.bound)}"
    lines.append(f"      after expiry, with Callpoint dead: {bound} ({residual.because})")
    verdict = "ready" if found.ok else "NOT ready"
    return [*lines, f"{name} is {verdict}"]
