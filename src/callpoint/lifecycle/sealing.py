"""Sealing a credential: to the requester's one-time key, and to the installation for the attempt.

Both are age files (ADR 0005). After this the secret is nowhere in the clear (I2, I14).
"""

import base64
import hashlib

import msgspec

from callpoint.domain.request import Request
from callpoint.domain.undo_plan import UndoPlan
from callpoint.lifecycle.services import Services
from callpoint.ports.targets import Credential


class SealedCredential(msgspec.Struct, frozen=True):
    """What is inside the box: the credential, bound to what it is for."""

    installation: str
    activation: str
    lease: str
    target: str
    role: str
    not_after: str
    credential: Credential


class Sealed(msgspec.Struct, frozen=True):
    """A credential that only its holders can open; base64 of age files.

    Attributes:
        box: For the requester.
        box_digest: SHA-256 hex of ``box``, which the log keeps.
        probe: For the control attempt, to the installation's sealing key (I5).
    """

    box: str
    box_digest: str
    probe: str


def seal(services: Services, request: Request, plan: UndoPlan, credential: Credential) -> Sealed:
    """Seal a new credential to both."""
    inside = SealedCredential(
        installation=request.installation,
        activation=request.activation,
        lease=plan.handle,
        target=plan.target,
        role=plan.role,
        not_after=plan.not_after.isoformat(),
        credential=credential,
    )
    box = _sealed(services, msgspec.json.encode(inside), request.seal_to)
    return Sealed(
        box=box,
        box_digest=hashlib.sha256(box.encode()).hexdigest(),
        probe=_sealed(services, msgspec.json.encode(credential), services.vault.recipient),
    )


def _sealed(services: Services, secret: bytes, recipient: str) -> str:
    return base64.b64encode(services.sealer.seal(secret, recipient)).decode()
