"""The verb: sets the stage, plays, and says ``demo: ok``, or what failed."""

import signal
import sys
from typing import NoReturn

import click

from callpoint.cli.exit_codes import ExitCode


@click.command("demo")
@click.option("--keep", is_flag=True, help="Keep the demo's folder and say where it is.")
def demo(*, keep: bool) -> None:
    """Play an emergency on a throwaway database, repair a host, then try six misuses.

    Actors reach the database through a gateway that decides each statement. It needs no server
    and no configuration, takes about a minute, and leaves nothing behind. The host is an sshd of
    this machine; without one that act is left out.
    """
    # Here, not at the top: `callpoint --help` loads none of it.
    from callpoint.cli.demo.narrator import Narrator
    from callpoint.cli.demo.play import play
    from callpoint.domain.errors import CallpointError

    narrator = Narrator()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _interrupt)
    try:
        play(narrator, keep=keep)
    except CallpointError as error:
        narrator.failed(str(error))
        sys.exit(ExitCode.DEFECT)
    except KeyboardInterrupt:
        click.echo("\ndemo: interrupted" + ("" if keep else "; nothing is left behind"), err=True)
        sys.exit(ExitCode.INTERRUPTED)
    narrator.line("demo: ok", bold=True)


def _interrupt(*_: object) -> NoReturn:
    """What ends the demo ends it by the way of all that it has to stop and to delete."""
    raise KeyboardInterrupt
