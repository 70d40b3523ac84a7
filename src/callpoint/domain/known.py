"""What a node remembers of a live lease for the time when it cannot ask the store (I13)."""

import msgspec

from callpoint.domain.undo_plan import UndoPlan


class KnownLease(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Enough to say whom a credential belongs to and to take it away; no secret.

    Attributes:
        plan: How it is found and removed; its ``handle`` is the lease's id.
        persons: Who asked, or who answers for the workload or agent that did.
        incident: What it was opened for; empty for planned work.
        opens: Everything that its activation opens, ``TARGET:ROLE``.
        is_ending: Its revocation has begun.
    """

    plan: UndoPlan
    activation: str
    principal: str
    persons: tuple[str, ...] = ()
    incident: str = ""
    opens: tuple[str, ...] = ()
    is_ending: bool = False
