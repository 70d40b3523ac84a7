"""Who acts: persons, and the principals that act for them.

A *person* is a natural person. A *principal* is an authenticated actor: a human principal is one
key of one person; a workload or agent acts on its own, and persons answer for it. Quorum counts
persons, never principals (I9).
"""

from enum import StrEnum

import msgspec


class PrincipalKind(StrEnum):
    """What sort of actor it is."""

    HUMAN = "human"
    WORKLOAD = "workload"
    AGENT = "agent"


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A natural person; ``id`` is a pseudonym that may stand in the log, ``name`` never does."""

    id: str
    name: str = ""


class Principal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An actor with a key.

    Attributes:
        id: Configured name.
        kind: Human, workload or agent.
        persons: The person (human) or the persons who answer for it (workload, agent); never empty.
        key: Raw Ed25519 public key, standard base64.
    """

    id: str
    kind: PrincipalKind
    persons: tuple[str, ...]
    key: str
