"""The words that are exchanged with the owner's program: one question and one answer, both JSON.

Secrets are in the question on standard input, never on the command line, in the environment or in a
file. An answer that is not exactly one of these is no answer: unknown, never "refused".
"""

from datetime import datetime
from enum import StrEnum

import msgspec

PROTOCOL = 1
ANSWER_LIMIT = 65_536
WHY_LIMIT = 300


class Verb(StrEnum):
    """What is asked."""

    DESCRIBE = "describe"
    SET = "set"
    TRY = "try"
    SESSIONS = "sessions"
    END_SESSIONS = "end_sessions"


class Question(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the program reads. Its ``repr`` hides the secrets.

    Attributes:
        verb: What to do.
        target: The target's configured name.
        account: Whose; empty for ``describe``.
        new: ``set``: the secret to set.
        former: ``set``: one of these may be in force now, newest first.
        generation: ``set``: refuse it when a larger one was set before, if that can be kept.
        open_until: ``set``: the holder's end; None: nobody has the account.
        between: ``set``, while nobody has it: ``locked`` or ``rotated``.
        secret: ``try``: the secret to log in with.
    """

    verb: Verb
    target: str
    protocol: int = msgspec.field(default=0)
    account: str = ""
    new: str = ""
    former: tuple[str, ...] = ()
    generation: int = 0
    open_until: datetime | None = None
    between: str = ""
    secret: str = ""

    def __repr__(self) -> str:
        return f"Question({self.verb.value} {self.account})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never come back in an answer."""
        return tuple(word for word in (self.new, self.secret, *self.former) if word)


class Result(StrEnum):
    """What is answered.

    ``done``, ``refused`` (nothing was changed), ``unknown`` (perhaps changed), ``unsupported``
    (this program does not do that); of ``try``: ``accepted``, ``locked``, ``refused``, ``unknown``.
    """

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    UNSUPPORTED = "unsupported"
    ACCEPTED = "accepted"
    LOCKED = "locked"


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the program writes.

    Attributes:
        result: In one word.
        why: In words, for people; never a secret.
        sessions: ``sessions``: how many are live.
        protocol: ``describe``: which protocol it speaks.
        ends_sessions_within: ``describe``: seconds after ``open_until`` in which the target ends
            live sessions and refuses the secret by itself; None: it never does.
        clock: ``describe``: the target's time now, where it keeps one.
    """

    result: Result
    why: str = ""
    sessions: int | None = None
    protocol: int | None = None
    ends_sessions_within: int | None = None
    clock: datetime | None = None


def encode(question: Question) -> bytes:
    """One line."""
    return msgspec.json.encode(question) + b"\n"


def decode(raw: bytes) -> Answer | None:
    """The answer; None when it is none."""
    try:
        return msgspec.json.decode(raw, type=Answer)
    except (msgspec.MsgspecError, ValueError):
        return None
