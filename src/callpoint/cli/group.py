"""A verb with verbs below it: `callpoint log`, `callpoint session`."""

import click

_WHOLE = 1000
"""Longer than any first sentence: a line of help wraps, it is not cut off."""


class VerbGroup(click.Group):
    """Lists its verbs with their whole first sentence; click cuts it off at the line's end."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list."""
        rows = [
            (name, command.get_short_help_str(_WHOLE))
            for name in self.list_commands(ctx)
            if (command := self.get_command(ctx, name)) is not None
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
