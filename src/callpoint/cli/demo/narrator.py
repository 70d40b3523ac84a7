"""How the demo tells its story: acts, what somebody types, what they see."""

import shlex
import time
from collections.abc import Sequence

import click

_INDENT = "    "
_LONGEST = 30


class Narrator:
    """Writes to standard output; colours vanish by themselves where there is no terminal."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def act(self, title: str) -> None:
        """A new part of the story, with the time it began."""
        seconds = time.monotonic() - self._began
        click.echo()
        click.secho(f"── {title} ".ljust(84, "─") + f" {seconds:5.1f} s", fg="cyan", bold=True)

    def line(self, text: str, *, bold: bool = False) -> None:
        """A sentence of the story."""
        click.secho(text, bold=bold)

    def typed(self, who: str, words: Sequence[str]) -> None:
        """What somebody types."""
        click.secho(f"{who} $ {shlex.join(words)}", fg="yellow")

    def seen(self, text: str) -> None:
        """What they see, shortened in the middle when it is long."""
        lines = text.rstrip().splitlines()
        if len(lines) > _LONGEST:
            half = _LONGEST // 2
            lines = [*lines[:half], f"… {len(lines) - 2 * half} lines …", *lines[-half:]]
        for line in lines:
            click.echo(_INDENT + line)

    def good(self, text: str) -> None:
        """Something was shown."""
        click.secho(f"  ✔ {text}", fg="green")

    def failed(self, text: str) -> None:
        """The demo cannot go on."""
        click.secho(f"demo: FAILED: {text}", fg="red", bold=True, err=True)
