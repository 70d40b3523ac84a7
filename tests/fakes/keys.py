"""Keys in memory for lifecycle tests: real signatures, real age boxes, no files."""

import base64
import hashlib

import pyrage
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from callpoint.audit import note
from callpoint.domain.errors import UnavailableError


class MemoryLogSigner:
    """Implements ``ports.keys.LogSigner``; deterministic, so a forked child has the same key."""

    def __init__(self, name: str) -> None:
        self._signer = note.Signer(name, hashlib.sha256(name.encode()).digest())

    @property
    def verifier_key(self) -> str:
        return self._signer.verifier.format()

    def sign(self, text: str) -> str:
        return note.sign_note(text, [self._signer]).format().decode()


class MemoryVault:
    """Implements ``ports.keys.Vault`` and ``Sealer``."""

    def __init__(self, identity: str = "") -> None:
        made = pyrage.x25519.Identity
        self._identity = made.from_str(identity) if identity else made.generate()

    @property
    def recipient(self) -> str:
        return str(self._identity.to_public())

    def open(self, box: bytes) -> bytes:
        try:
            return bytes(pyrage.decrypt(box, [self._identity]))
        except pyrage.DecryptError as error:
            raise UnavailableError("no key opens this box") from error


class AgeSealer:
    """Implements ``ports.keys.Sealer``."""

    def is_recipient(self, recipient: str) -> bool:
        try:
            pyrage.x25519.Recipient.from_str(recipient)
        except pyrage.RecipientError:
            return False
        return True

    def seal(self, secret: bytes, recipient: str) -> bytes:
        return bytes(pyrage.encrypt(secret, [pyrage.x25519.Recipient.from_str(recipient)]))


class Ed25519Checker:
    """Implements ``ports.keys.Verifier``."""

    def is_valid(self, key: str, message: bytes, signature: str) -> bool:
        try:
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True))
            public.verify(base64.b64decode(signature, validate=True), message)
        except (InvalidSignature, ValueError):
            return False
        return True


class Signer:
    """Somebody's Ed25519 key, made from a name; implements ``ports.keys.TokenSigner`` too."""

    def __init__(self, name: str) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())

    @property
    def public(self) -> str:
        return base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    @property
    def public_key(self) -> str:
        return self.public

    def sign(self, message: bytes) -> str:
        return base64.b64encode(self._key.sign(message)).decode()
