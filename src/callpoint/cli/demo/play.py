"""The whole play."""

from callpoint.cli.demo.cord import cord
from callpoint.cli.demo.host_story import host_under_repair
from callpoint.cli.demo.misuses import misuses
from callpoint.cli.demo.narrator import Narrator
from callpoint.cli.demo.stage import folder, stage
from callpoint.cli.demo.story import emergency


def play(narrator: Narrator, *, keep: bool) -> None:
    """Set the stage, play the emergency, repair the host, try the misuses.

    Raises:
        UnexpectedError: A promise was not kept.
        UnavailableError: There is no PostgreSQL to play on.
    """
    with folder(keep=keep) as path:
        if keep:
            narrator.line(f"Everything is kept in {path}")
        with stage(narrator, path) as made:
            reviewed, incident = emergency(made)
            cord(made, incident)
            if made.host is not None:
                host_under_repair(made, made.host, incident)
            misuses(made, reviewed)
            narrator.act("The end")
