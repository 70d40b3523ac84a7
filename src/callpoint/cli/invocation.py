"""One call of a verb: its options, its key, its server, and how it speaks.

Text goes to stdout, JSON is one document on stdout; what accompanies either goes to stderr.
"""

import errno
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from callpoint.cli.exit_codes import ExitCode, reporting
from callpoint.cli.machine import Machine, ThisMachine
from callpoint.cli.words import shown, shown_json
from callpoint.domain.errors import ConfigError, RequestError

if (
    TYPE_CHECKING
):  # what offline verbs never need: HTTP, signatures and age take a quarter of a second
    from callpoint.cli.client import Client
    from callpoint.cli.keyring import Keyring, PrincipalKey

KEY_FILE = "key.json"

_Command = Callable[..., int | None]


@dataclass(frozen=True)
class Invocation:
    """What every verb gets first.

    Attributes:
        server: The server's address.
        key_file: As named, or None for the default.
        output: ``text`` or ``json``.
        machine: The outside.
    """

    server: str
    key_file: Path | None
    output: str
    machine: Machine

    @property
    def state(self) -> Path:
        """The client's state directory; it need not exist."""
        from callpoint.cli.keyring import state_directory

        return state_directory(self.machine.environment)

    @cached_property
    def key(self) -> "PrincipalKey":
        """The caller's key; ConfigError when there is none, or others can read it."""
        from callpoint.cli.keyring import load_principal_key

        path = self.key_file or self.state / KEY_FILE
        if self.key_file is None and not path.exists():
            raise ConfigError(
                "there is no key file",
                file=str(path),
                way_out="make one with `callpoint keygen NAME`, or name yours: --key FILE or"
                " CALLPOINT_KEY",
            )
        return load_principal_key(path)

    @cached_property
    def client(self) -> "Client":
        """The API, as the caller."""
        from callpoint.cli.client import Client

        client = Client(self.server, self.key, self.machine)
        if client.is_in_clear:
            self.note(f"! {self.server} is not https: on the way others can read what is asked")
        return client

    @cached_property
    def keyring(self) -> "Keyring":
        """One-time keys of requests made here."""
        from callpoint.cli.keyring import Keyring

        return Keyring(self.state)

    def show(self, value: object, lines: Iterable[str]) -> None:
        """The verb's answer: one JSON document, or lines.

        Raises:
            RequestError: Standard output takes no more. That a pipe was closed is left to click.
        """
        is_json = self.output == "json"
        try:
            if is_json:
                click.echo(shown_json(msgspec.json.format(msgspec.json.encode(value), indent=2)))
            for line in () if is_json else lines:
                click.echo(shown(line))
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise RequestError(
                f"the answer cannot be written to standard output: {error.strerror}",
                way_out="what was asked is done all the same: look with `callpoint status`",
            ) from error

    def note(self, *lines: str) -> None:
        """Words beside the answer: to stderr, also when the answer is JSON."""
        for line in lines:
            click.echo(shown(line), err=True)

    def progress(self, *lines: str) -> None:
        """Words while it goes on: to stdout with text, to stderr beside JSON."""
        for line in lines:
            click.echo(shown(line), err=self.output == "json")

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before something that cannot be taken back.

        Raises:
            RequestError: Nobody is there to answer, and ``--yes`` was not given.
            SystemExit: The answer was no, which is no error and leaves all as it was.
        """
        if yes:
            return
        if not self.machine.interactive:
            raise RequestError(
                "this asks for confirmation, and there is no terminal",
                way_out="add --yes once you have read what it says",
            )
        if not self.answer(question, default=False):
            self.note("nothing was done")
            raise SystemExit(ExitCode.INTERRUPTED)

    def answer(self, question: str, *, default: bool) -> bool:
        """A yes or a no from whoever sits at the terminal; Ctrl-C passes through as click's."""
        try:
            return click.confirm(shown(question), default=default, err=True)
        except click.Abort:
            click.echo(err=True)  # what is said next does not belong on the question's line
            raise


def _options(function: Callable[..., None], *, offline: bool) -> Callable[..., None]:
    """The options that every verb has; before the verb they mean the same."""
    function = click.option(
        "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format."
    )(function)
    if offline:
        return function
    for option in (
        click.option("--key", metavar="FILE", help="Your key file (or CALLPOINT_KEY)."),
        click.option("--server", metavar="URL", help="The server (or CALLPOINT_SERVER)."),
    ):
        function = option(function)
    return function


def verb(
    name: str,
    group: click.Group | None = None,
    *,
    offline: bool = False,
    **settings: Any,  # noqa: ANN401 -- click's
) -> Callable[[_Command], click.Command]:
    """Make a command of a function whose first argument is the invocation.

    Errors of the tree become words and an exit code; a number that the function returns is the
    exit code. An ``offline`` verb asks no server, so it has neither server nor key. ``settings``
    are those of ``click.command``.
    """

    def decorate(function: _Command) -> click.Command:
        @functools.wraps(function)
        def run(output: str, server: str = "", key: str | None = None, **given: Any) -> None:  # noqa: ANN401 -- the verb's own options
            ctx = click.get_current_context()
            machine = ctx.find_root().obj or ThisMachine()
            path = Path(key).expanduser() if key else None
            with reporting(output):
                code = function(Invocation(server, path, output, machine), **given)
            ctx.exit(code or 0)

        made = click.command(name, click.Command, **settings)(_options(run, offline=offline))
        if group is not None:
            group.add_command(made)
        return made

    return decorate
