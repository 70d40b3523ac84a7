"""Keys in files of the node: they sign, seal and open, and never leave this module's objects.

Each class takes the folder (``folder.py`` says what is in it) and reads its key once; a key that
was replaced is picked up by making a new object.
"""

import base64
import binascii
from pathlib import Path

import pyrage

from callpoint.adapters.keys.files.folder import (
    KeyUse,
    key_path,
    next_key_path,
    parse_log_key,
    parse_seal_keys,
    parse_token_key,
    read_key,
)
from callpoint.audit import note
from callpoint.domain.errors import LogUnavailableError, RequestError, UnavailableError


class FileLogSigner:
    """Implements ``ports.keys.LogSigner``.

    Raises:
        ConfigError: The key is missing or malformed, or others can read it.
    """

    def __init__(self, folder: Path) -> None:
        path = key_path(folder, KeyUse.LOG)
        self._signer = parse_log_key(read_key(path), path)
        self._verifier_key = self._signer.verifier.format()

    @property
    def verifier_key(self) -> str:
        return self._verifier_key

    def sign(self, text: str) -> str:
        try:
            return note.sign_note(text, (self._signer,)).format().decode()
        except note.NoteError as error:
            raise LogUnavailableError(f"the checkpoint cannot be signed: {error}") from error


class HandoverSigner:
    """Implements ``ports.keys.LogSigner`` while the log's key changes: both keys sign.

    Whoever trusts the key in use believes the checkpoint, and so does whoever trusts the staged
    one: the chain of checkpoints has no gap in either direction.

    Raises:
        ConfigError: A key is missing or malformed, or others can read it.
    """

    def __init__(self, folder: Path) -> None:
        paths = (key_path(folder, KeyUse.LOG), next_key_path(folder, KeyUse.LOG))
        self._signers = tuple(parse_log_key(read_key(path), path) for path in paths)

    @property
    def verifier_key(self) -> str:
        return self._signers[0].verifier.format()

    def sign(self, text: str) -> str:
        try:
            return note.sign_note(text, self._signers).format().decode()
        except note.NoteError as error:
            raise LogUnavailableError(f"the checkpoint cannot be signed: {error}") from error


class FileTokenSigner:
    """Implements ``ports.keys.TokenSigner``: bare Ed25519 over bytes.

    Raises:
        ConfigError: As ``FileLogSigner``.
    """

    def __init__(self, folder: Path) -> None:
        path = key_path(folder, KeyUse.TOKEN)
        self._key = parse_token_key(read_key(path), path)

    @property
    def public_key(self) -> str:
        """Raw Ed25519 public key, base64."""
        return base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    def sign(self, message: bytes) -> str:
        """The signature, base64."""
        return base64.b64encode(self._key.sign(message)).decode()


class AgeSealer:
    """Implements ``ports.keys.Sealer`` with age (X25519)."""

    def is_recipient(self, recipient: str) -> bool:
        try:
            pyrage.x25519.Recipient.from_str(recipient)
        except pyrage.RecipientError:
            return False
        return True

    def seal(self, secret: bytes, recipient: str) -> bytes:
        """Encrypt; only the recipient's key opens it.

        Raises:
            RequestError: That is no age recipient.
        """
        try:
            to = pyrage.x25519.Recipient.from_str(recipient)
        except pyrage.RecipientError as error:
            raise RequestError(
                f"{recipient[:80]!a} is not an age recipient", way_out="give one that starts age1"
            ) from error
        box: bytes = pyrage.encrypt(secret, [to])
        return box


class FileVault:
    """Implements ``ports.keys.Vault`` with the sealing keys of the folder, former ones included.

    Raises:
        ConfigError: As ``FileLogSigner``.
    """

    def __init__(self, folder: Path) -> None:
        path = key_path(folder, KeyUse.SEAL)
        self._identities = parse_seal_keys(read_key(path), path)

    @property
    def recipient(self) -> str:
        return str(self._identities[0].to_public())

    def open(self, box: bytes) -> bytes:
        try:
            secret: bytes = pyrage.decrypt(box, self._identities)
        except pyrage.DecryptError as error:
            raise UnavailableError(
                "no sealing key of this installation opens it",
                way_out="restore the former sealing keys into seal.key",
            ) from error
        return secret


class Ed25519Verifier:
    """Implements ``ports.keys.Verifier``."""

    def is_valid(self, key: str, message: bytes, signature: str) -> bool:
        try:
            raw_key = base64.b64decode(key, validate=True)
            raw_signature = base64.b64decode(signature, validate=True)
            note.verify_ed25519(raw_key, raw_signature, message)
        except (binascii.Error, ValueError):  # BadSignatureError is a ValueError
            return False
        return True
