"""The undo plan: how a stranger finds and removes a credential, frozen before it exists (I1)."""

from datetime import datetime

import msgspec

from callpoint.domain.lease_kind import LeaseKind
from callpoint.domain.privilege import Privilege


class UndoPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that is needed to find and remove one credential, and no secret.

    It is durable, under a checkpoint, before the first call to the target, and never rewritten.

    Attributes:
        connector: The connector's name, for instance ``postgresql``.
        target: The target's configured name.
        role: The target role that is opened, for instance ``repair``.
        handle: ``[a-z0-9]{1,24}``: installation + activation + n.
        account: What exists on the target: the connector's prefix + handle, for instance ``cp_…``.
        not_after: The moment after which the target itself must refuse (UTC).
        details: What the connector froze besides (parent role, databases, endpoints): words only.
        kind: Whether the account is made for this, or checked out and given a new secret.
        privilege: Of the role, as configured: what is more privileged is revoked first (I7).
        gateway: Whose credential it is: it goes to no one but this gateway; empty: the requester's.
    """

    connector: str
    target: str
    role: str
    handle: str
    account: str
    not_after: datetime
    details: dict[str, str] = {}
    privilege: Privilege = Privilege.NORMAL
    kind: LeaseKind = LeaseKind.MINTED
    gateway: str = ""
