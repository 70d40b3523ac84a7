"""`callpoint host`: the host side of an SSH target, where Callpoint is installed on the host."""

import click

_WHOLE = {"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]}


@click.command("host", context_settings=_WHOLE)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="VERB [ARGUMENT]...")
def host(words: tuple[str, ...]) -> None:
    """Run the host side of an SSH target: serve, session, reap, prepare or status.

    The same program as the `callpoint-host` that `callpoint target prepare` installs without the
    rest of Callpoint; it needs no store and no secret.
    """
    from callpoint.host.command import main

    raise SystemExit(main(words))
