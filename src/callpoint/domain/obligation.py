"""What whoever enforces a yes must do for it to count: a permit's ``@oblige``.

``@oblige("record, notify group:security, step-up phr")``: three kinds, separated by commas.
"""

import re
from enum import StrEnum

import msgspec

_WORD = re.compile(r"[\x21-\x7e]{1,128}")
_MOST = 8


class ObligationKind(StrEnum):
    """What must be done."""

    RECORD = "record"
    NOTIFY = "notify"
    STEP_UP = "step-up"


class Obligation(msgspec.Struct, frozen=True):
    """One thing that must be done.

    Attributes:
        about: Of ``notify``: the group (``group:NAME``) that is told. Of ``step-up``: how strongly
            the subject must have authenticated. Empty for ``record``.
    """

    kind: ObligationKind
    about: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.about}".rstrip()


def parse_obligations(text: str) -> tuple[Obligation, ...]:
    """The obligations of a permit, in order.

    Raises:
        ValueError: Not of that form; the message says what is wrong.
    """
    found = tuple(_parse(part.strip()) for part in text.split(","))
    if len(found) > _MOST or len(set(found)) != len(found):
        raise ValueError(f"there are more than {_MOST} obligations, or one is there twice")
    return found


def _parse(text: str) -> Obligation:
    name, _, about = text.partition(" ")
    if name not in set(ObligationKind):
        raise ValueError(f"{name!r} is no obligation; there are: {', '.join(ObligationKind)}")
    kind, about = ObligationKind(name), about.strip()
    if (kind is ObligationKind.RECORD) == bool(about):
        raise ValueError(f"{kind} takes {'nothing' if about else 'a word'} after it")
    if about and not _WORD.fullmatch(about):
        raise ValueError(f"{kind} takes one word of printable ASCII")
    return Obligation(kind, about)
