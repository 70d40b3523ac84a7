"""Sealing a credential: to who may open it, and to the installation for the control attempt.

Who may open it is the requester, with its one-time key; behind a gateway it is the installation
alone. Both are age files (ADR 0005). After this the secret is nowhere in the clear (I2, I14).
"""

import base64
import hashlib

import msgspec

from callpoint.domain.errors import ConflictError, TamperError
from callpoint.domain.lease import Lease
from callpoint.domain.request import Request
from callpoint.domain.undo_plan import UndoPlan
from callpoint.lifecycle.services import Services
from callpoint.ports.box import SealedCredential
from callpoint.ports.targets import Credential


class Sealed(msgspec.Struct, frozen=True):
    """A credential that only its holders can open; base64 of age files.

    Attributes:
        box: For the requester, or for the gateway: then to the installation's sealing key.
        box_digest: SHA-256 hex of ``box``, which the log keeps.
        probe: For the control attempt, to the installation's sealing key (I5).
    """

    box: str
    box_digest: str
    probe: str


def seal(services: Services, request: Request, plan: UndoPlan, credential: Credential) -> Sealed:
    """Seal a new credential to both. Behind a gateway nothing of the requester's opens it."""
    inside = SealedCredential(
        installation=request.installation,
        activation=request.activation,
        lease=plan.handle,
        target=plan.target,
        role=plan.role,
        not_after=plan.not_after.isoformat(),
        credential=credential,
    )
    keeper = services.vault.recipient
    box = _sealed(
        services, msgspec.json.encode(inside), keeper if plan.gateway else request.seal_to
    )
    return Sealed(
        box=box,
        box_digest=hashlib.sha256(box.encode()).hexdigest(),
        probe=_sealed(services, msgspec.json.encode(credential), keeper),
    )


def opened_for_gateway(services: Services, held: Lease) -> Credential:
    """What a gateway logs in with. Only of a lease that ``use.proven_use`` has proven live.

    Raises:
        ConflictError: It has no box (any more), or its box is the requester's.
        TamperError: What is inside is another lease's.
        UnavailableError: No key of ours opens it.
    """
    if not held.plan.gateway or not held.box:
        raise ConflictError(f"lease {held.id} holds nothing that a gateway could use")
    inside = msgspec.json.decode(
        services.vault.open(base64.b64decode(held.box)), type=SealedCredential
    )
    meant = (held.activation, held.id, held.plan.target, held.plan.role)
    if (inside.activation, inside.lease, inside.target, inside.role) != meant:
        raise TamperError(f"the box of {held.id} holds the credential of {inside.lease}")
    return inside.credential


def _sealed(services: Services, secret: bytes, recipient: str) -> str:
    return base64.b64encode(services.sealer.seal(secret, recipient)).decode()
