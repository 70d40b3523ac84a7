"""The command line: a client of the API, plus `serve`, `demo` and offline `verify`."""


def main() -> None:
    """Run ``callpoint``; the console script. Ends the process with a code of ``exit_codes``."""
    # Here, not at the top: who needs only a part of this package need not load click.
    from callpoint.cli import haste

    haste.begin()
    from callpoint.cli.program import program

    program(prog_name="callpoint")
