"""``callpoint demo``: one whole emergency on a throwaway PostgreSQL, then six misuses.

Everything in it is real: the server process, the database, the commands, the refusals.
"""

from callpoint.cli.demo.command import demo

__all__ = ["demo"]
