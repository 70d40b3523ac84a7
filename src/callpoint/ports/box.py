"""A sealed credential, and what is inside."""

import msgspec

from callpoint.ports.credential import Credential


class Box(msgspec.Struct, frozen=True):
    """A sealed credential: an age file, base64."""

    lease: str
    target: str
    role: str
    box: str


class SealedCredential(msgspec.Struct, frozen=True):
    """What is inside the box: the credential, bound to what it is for."""

    installation: str
    activation: str
    lease: str
    target: str
    role: str
    not_after: str
    credential: Credential
