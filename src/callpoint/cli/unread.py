"""When nobody takes what is written: a closed pipe, a full disk under standard output.

``callpoint status | head -1`` is no defect of ours, and nobody wants a traceback for it.
"""

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import click

from callpoint.cli.exit_codes import ExitCode


@contextmanager
def writing() -> Iterator[None]:
    """Turn words that cannot be written into an exit code; any other ``OSError`` passes through.

    Raises:
        click.exceptions.Exit: ``UNREAD`` when the reader went away, as for a tool that SIGPIPE
            ended; ``BAD_INPUT``, with a word on stderr, when the place takes no more.
    """
    try:
        yield
    except OSError as error:
        if not _is_of_echo(error):
            raise
        if error.errno == errno.EPIPE:
            raise click.exceptions.Exit(ExitCode.UNREAD) from error
        with contextlib.suppress(OSError):  # stderr may be the full one: then the code says it
            click.echo(f"error: the answer cannot be written: {error.strerror}", err=True)
            click.echo(
                "  what to do: send it elsewhere; what was asked for may be done all the same:"
                " look with `callpoint status`",
                err=True,
            )
        raise click.exceptions.Exit(ExitCode.BAD_INPUT) from error


def _is_of_echo(error: OSError) -> bool:
    """Whether it came out of writing words, and not out of a file or a socket of ours."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code is click.echo.__code__ for frame, _ in frames)


def let_go() -> None:
    """Forget what a stream did not take: Python's own flush at exit would make the code 120."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # it was closed before we started
            continue
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
