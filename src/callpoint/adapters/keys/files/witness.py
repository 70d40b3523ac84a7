"""The key with which this installation cosigns other logs: ``witness.key``, made when wanted."""

import os
import secrets
from pathlib import Path

from callpoint.adapters.keys.files.folder import SEED_SIZE, read_key
from callpoint.audit.cosignature import Cosigner
from callpoint.audit.note import NoteError
from callpoint.domain.errors import ConfigError, StoreUnavailableError


def witness_key_path(folder: Path) -> Path:
    """Where it is."""
    return folder / "witness.key"


def new_cosigner(name: str) -> Cosigner:
    """A fresh key; ConfigError for a name that no key can have."""
    try:
        return Cosigner(name, secrets.token_bytes(SEED_SIZE))
    except NoteError as error:
        raise ConfigError(
            f"{name[:80]!a} cannot be a witness's name: {error}",
            way_out="take a name like witness.example/callpoint",
        ) from error


def keep_cosigner(folder: Path, key: Cosigner) -> None:
    """Write the key into the folder; never over another.

    Raises:
        StoreUnavailableError: It cannot be written, or there is one.
    """
    path = witness_key_path(folder)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(key.format() + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreUnavailableError(
            f"{path} cannot be written: {error.strerror}",
            way_out="check the folder's owner and the free space",
        ) from error


class FileCosigner:
    """Implements ``ports.witnesses.CosigningKey``.

    Raises:
        ConfigError: The key is missing or malformed, or others can read it.
    """

    def __init__(self, folder: Path) -> None:
        path = witness_key_path(folder)
        try:
            self._key = Cosigner.parse(read_key(path).strip())
        except NoteError as error:
            raise ConfigError(
                f"the key file is malformed: {error}",
                file=str(path),
                way_out="restore the key folder from its backup",
            ) from None  # the cause could quote the secret

    @property
    def public(self) -> str:
        return self._key.public.format()

    def cosign(self, text: str, time: int) -> str:
        return self._key.cosign(text, time).line().removesuffix("\n")
