"""Keys, without the keys: sign the log, seal to a recipient, open what was sealed to us.

Every signature and ciphertext names its key (I15): notes carry the key id, age files the recipient.
"""

from typing import Protocol


class LogSigner(Protocol):
    """Holds the log's private key. Only the sequencer has it."""

    @property
    def verifier_key(self) -> str:
        """C2SP vkey text: ``name+hash+base64``."""
        ...

    def sign(self, text: str) -> str:
        """The signed note of a checkpoint body. Raises LogUnavailableError."""
        ...


class TokenSigner(Protocol):
    """Holds the private key that signs tokens."""

    @property
    def public_key(self) -> str:
        """Raw Ed25519 public key, base64."""
        ...

    def sign(self, message: bytes) -> str:
        """The Ed25519 signature, base64."""
        ...


class Sealer(Protocol):
    """Public-key encryption to one recipient (age, X25519)."""

    def is_recipient(self, recipient: str) -> bool:
        """Whether it is a recipient that ``seal`` takes."""
        ...

    def seal(self, secret: bytes, recipient: str) -> bytes:
        """Encrypt; only the recipient's key opens it."""
        ...


class Vault(Protocol):
    """The installation's own sealing key, kept outside the database (I5)."""

    @property
    def recipient(self) -> str:
        """The current age recipient."""
        ...

    def open(self, box: bytes) -> bytes:
        """Decrypt with the current or a former sealing key.

        Raises:
            UnavailableError: No key opens it.
        """
        ...


class Verifier(Protocol):
    """Checks Ed25519 signatures."""

    def is_valid(self, key: str, message: bytes, signature: str) -> bool:
        """``key`` and ``signature`` are standard base64; malformed ones are not valid."""
        ...
