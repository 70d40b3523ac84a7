"""What a kill covers, and what it ended."""

from enum import StrEnum

import msgspec


class Scope(StrEnum):
    """What to kill."""

    ACTIVATION = "activation"
    PRINCIPAL = "principal"
    TARGET = "target"
    INCIDENT = "incident"
    EVERYTHING = "everything"


class Killed(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a kill ended.

    Attributes:
        activations: Ended or withdrawn by it.
        alive: Leases that it covers and that are not yet proven dead; retried for ever.
        without_store: The store did not answer: what follows is what is known without it.
        tombstone: Its id; nothing is given on this node until it is merged.
        dead: Accounts that are proven gone, ``ACCOUNT on TARGET``.
        unattributed: Accounts of ours that were left, because nobody can say whose they are.
        unreachable: Targets that could not be looked at.
        trouble: What else is not as it should be.
    """

    activations: tuple[str, ...]
    alive: tuple[str, ...]
    without_store: bool = False
    tombstone: str = ""
    dead: tuple[str, ...] = ()
    unattributed: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()
    trouble: tuple[str, ...] = ()
