"""``callpoint`` itself: the list of verbs, each loaded only when it is called.

`callpoint --help` imports none of them. A verb whose module is not installed is not listed, and
breaks no other.
"""

import difflib
import importlib
import importlib.util
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NoReturn

import click

from callpoint.cli.exit_codes import ExitCode
from callpoint.cli.unread import let_go, writing

DEFAULT_SERVER = "http://127.0.0.1:8750"

_PACKAGE = "callpoint.cli"
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@dataclass(frozen=True, slots=True)
class _Verb:
    """Where a verb lives: the click command of that name in ``module``."""

    module: str
    says: str


# In the order of an emergency, as `--help` shows them.
_SECTIONS: dict[str, dict[str, _Verb]] = {
    "An emergency": {
        "incident": _Verb("incident", "Declare, confirm, resolve and list incidents."),
        "request": _Verb("request", "Ask for access, for one incident, with a reason."),
        "approve": _Verb("approve", "Sign a yes to a request, after checking what it says."),
        "deny": _Verb("deny", "Sign a no to a request; one is enough."),
        "connect": _Verb(
            "connect", "Open a session with the credential of an activation: psql or ssh."
        ),
        "session": _Verb(
            "sessions", "List the sessions through gateways, end one, or let them go on."
        ),
        "credentials": _Verb("credentials", "Fetch the credentials again, while they live."),
        "return": _Verb("give_back", "End your access now; it is revoked before this returns."),
        "withdraw": _Verb("withdraw", "Take back a request that is not active yet."),
        "kill": _Verb("kill", "End access now: one activation, or everything."),
        "status": _Verb("status", "What is going on, or the timeline of one activation."),
        "doctor": _Verb("doctor", "What is wrong now, and what to do about it."),
    },
    "Afterwards": {
        "review": _Verb("review", "Verify the evidence, then triage or give the verdict."),
        "attest": _Verb("attest", "Say, as a governor, that a target is gone for good."),
        "evidence": _Verb("evidence", "Download the evidence bundle of an activation."),
        "verify": _Verb("verify", "Check a bundle or a log offline, trusting nobody."),
        "log": _Verb(
            "log", "How the log stands, its proofs and witnesses, an export, its recovery."
        ),
    },
    "Rules": {
        "check": _Verb("governance", "Find everything that is wrong with a configuration."),
        "policy": _Verb("policy", "Check, test, explain, prove and replay policies."),
        "publish": _Verb("publish", "Propose, look at and submit a signed configuration."),
        "sign": _Verb("governance", "Sign a configuration or a key rotation as a governor."),
        "keygen": _Verb("governance", "Make a key for yourself."),
    },
    "Running it": {
        "init": _Verb("init", "Make an installation: keys, governors, first configuration."),
        "serve": _Verb("serve", "Run everything in one process."),
        "gateway": _Verb("gateway", "Stand before targets, in a process of its own."),
        "key": _Verb("key", "Replace a key of the installation."),
        "clock": _Verb("clock", "Which time counts, after the clock had jumped ahead."),
        "installation": _Verb("installation", "Where the installation lives, after a move."),
        "target": _Verb("target", "Prepare and test what can be opened."),
        "host": _Verb("host", "The host side of an SSH target, on that host."),
        "posture": _Verb("posture", "Which accounts exist on targets, and what is wrong."),
        "demo": _Verb("demo", "Play a whole emergency on a throwaway database."),
    },
}
_VERBS = {name: verb for section in _SECTIONS.values() for name, verb in section.items()}


class Program(click.Group):
    """The group of all verbs: loads lazily, suggests, and speaks JSON about wrong usage too."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        return [name for name, verb in _VERBS.items() if _is_there(verb)]

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 -- click's signature
        cmd_name: str,
    ) -> click.Command | None:
        verb = _VERBS.get(cmd_name)
        if verb is None or not _is_there(verb):
            return None
        module = importlib.import_module(f"{_PACKAGE}.{verb.module}")
        return _command_of(module, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f"did you mean `callpoint {near[0]}`?" if near else "run `callpoint --help`"
            raise click.UsageError(f"there is no verb {name[:40]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        there = set(self.list_commands(ctx))
        for title, verbs in _SECTIONS.items():
            rows = [(name, verb.says) for name, verb in verbs.items() if name in there]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 -- click's signature
        **extra: Any,  # noqa: ANN401 -- likewise
    ) -> Any:  # noqa: ANN401 -- likewise
        """Run, and end the process with a code of ``exit_codes``."""
        given = list(sys.argv[1:] if args is None else args)
        if not all(map(_is_text, given)):
            _wrong_usage(click.UsageError("an argument is not UTF-8 text"), given)
        if not standalone_mode:
            return super().main(given, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            done = super().main(given, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as error:
            _wrong_usage(error, given)
        except click.Abort:
            with suppress(OSError):  # nobody reads stderr: the code says it
                click.echo("interrupted; `callpoint status` says how things stand", err=True)
            sys.exit(ExitCode.INTERRUPTED)
        finally:
            let_go()
        sys.exit(done if isinstance(done, int) else ExitCode.OK)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 -- click's signature
    ) -> click.Context:
        """Read the arguments; `--help` and `--version` are written meanwhile."""
        with writing():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 -- click's signature
        """Run the verb."""
        with writing():
            return super().invoke(ctx)


def _is_text(argument: str) -> bool:
    """Whether its bytes were UTF-8: Python keeps others as lone surrogates, which nothing takes."""
    return not any("\ud800" <= character <= "\udfff" for character in argument)


def _is_there(verb: _Verb) -> bool:
    return importlib.util.find_spec(f"{_PACKAGE}.{verb.module}") is not None


def _command_of(module: ModuleType, name: str) -> click.Command:
    for value in vars(module).values():
        if isinstance(value, click.Command) and value.name == name:
            return value
    raise LookupError(f"{module.__name__} has no command called {name}")


def _wrong_usage(error: click.ClickException, given: Sequence[str]) -> NoReturn:
    """Say it in the format that was asked for."""
    with suppress(OSError):  # nobody reads stderr: the code says it
        if isinstance(error, click.exceptions.NoArgsIsHelpError) and not _asks_for_json(given):
            click.echo(error.format_message(), err=True)
        else:
            _say_usage(error, given)
    sys.exit(ExitCode.BAD_INPUT)


def _say_usage(error: click.ClickException, given: Sequence[str]) -> None:
    if _asks_for_json(given):
        usage = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
        facts = {
            "kind": "request",
            "message": error.format_message(),
            "way_out": f"run `{usage} --help`" if usage else "",
        }
        told = {"error": facts, "exit_code": int(ExitCode.BAD_INPUT)}
        click.echo(json.dumps(told), err=True)
    else:
        for line in _said(error):
            click.echo(line, err=True)


def _said(error: click.ClickException) -> Iterator[str]:
    """In the form of every other error (``exit_codes.say``)."""
    yield f"error: {error.format_message()}"
    if isinstance(error, click.UsageError) and error.ctx is not None:
        yield f"  {error.ctx.get_usage()}"
        yield f"  what to do: `{error.ctx.command_path} --help` explains it"


def _asks_for_json(given: Sequence[str]) -> bool:
    """As far as that can be read from arguments that did not parse."""
    spelled = {("-o", "json"), ("--output", "json")} & set(itertools.pairwise(given))
    return bool(spelled or {"-ojson", "--output=json"} & set(given))


@click.group("callpoint", cls=Program, context_settings=_CONTEXT)
@click.option(
    "--server",
    metavar="URL",
    envvar="CALLPOINT_SERVER",
    default=DEFAULT_SERVER,
    show_default=True,
    show_envvar=True,
    help="The Callpoint server.",
)
@click.option(
    "--key",
    metavar="FILE",
    envvar="CALLPOINT_KEY",
    show_envvar=True,
    help="Your key file.  [default: ~/.callpoint/key.json]",
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format.")
@click.version_option(package_name="callpoint", message="%(prog)s %(version)s")
@click.pass_context
def program(ctx: click.Context, server: str, key: str | None, output: str) -> None:
    """Emergency access: approved by people, ends by itself, proven dead, with evidence.

    A first time: `callpoint demo`. At 3 a.m.: `callpoint request ELIGIBILITY --incident INC
    --because "..." --wait`.
    """
    # What stands before the verb is the verb's default, so both places mean the same.
    given = {"server": server, "key": key, "output": output}
    verb = ctx.invoked_subcommand
    command = program.get_command(ctx, verb) if verb else None
    below: dict[str, Any] = dict(given)
    if isinstance(command, click.Group):
        below |= {name: dict(given) for name in command.list_commands(ctx)}
    ctx.default_map = {verb: below} if verb else {}
