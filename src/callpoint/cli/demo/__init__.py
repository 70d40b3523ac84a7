"""``callpoint demo``: an emergency on a throwaway PostgreSQL, through the gateway, and six misuses.

Everything in it is real: the server process, the database, the sshd, the commands, the refusals.
"""

from callpoint.cli.demo.command import demo

__all__ = ["demo"]
