"""What exists on a target: its accounts, ours and everybody else's, and what is not known of them.

Most systems do not keep when an account was last used or its secret last changed. Nothing here is
guessed: a ``Moment`` that is not known says so, and "never" is said only where the target knows it.
"""

from datetime import datetime

import msgspec


class Moment(msgspec.Struct, frozen=True):
    """When something last happened.

    Attributes:
        known: The target keeps it. False: nobody can say, which is not the same as never.
        at: The moment (UTC); None with ``known`` means never.
    """

    known: bool = False
    at: datetime | None = None


UNKNOWN = Moment()
NEVER = Moment(known=True)


class Account(msgspec.Struct, frozen=True):
    """One account on a target, as the broker can see it without rights over it.

    Attributes:
        name: As the target calls it.
        handle: Of this installation's handle, if it carries one; empty for everybody else's.
        can_log_in: A session can begin as it; None when the broker cannot see that.
        powers: What it may do to the whole target, in the target's words: ``superuser``,
            ``uid 0``, ``sudo: ALL`` … Empty: none was found.
        secret_changed: When its secret (password, keys) was last changed.
        expires: When the target itself refuses it; ``NEVER`` when it has no end.
        last_used: When a session last began.
        sessions: Sessions that live now; None when the broker cannot see that.
        is_broker: It is the account that Callpoint itself works with there.
    """

    name: str
    handle: str = ""
    can_log_in: bool | None = None
    powers: tuple[str, ...] = ()
    secret_changed: Moment = UNKNOWN
    expires: Moment = UNKNOWN
    last_used: Moment = UNKNOWN
    sessions: int | None = None
    is_broker: bool = False
