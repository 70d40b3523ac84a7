"""The folder that holds an installation's private keys, and how its files come and go.

    log.key     signs checkpoints: a C2SP signer key, one line
    token.key   signs tokens: a raw Ed25519 seed, base64, one line
    seal.key    opens what is sealed to the installation: age identities, the current one first

Files are 0600 in a folder of 0700. They appear whole or not at all, and never replace one another
unseen: a lost sealing key is a secret that nobody can open, a lost log key is a new origin. A key
is replaced in two steps, because governors sign the new public key in between (I15): ``stage_key``
writes ``<use>.next.key``, ``promote_key`` puts it into use.
"""

import base64
import binascii
import os
import secrets
import shutil
import stat
import tempfile
from enum import StrEnum
from pathlib import Path

import msgspec
import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callpoint.audit import note
from callpoint.domain.errors import ConfigError, ConflictError, StoreUnavailableError

SEED_SIZE = 32
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_RESTORE = "restore the key folder from its backup; `callpoint init` makes a new installation"


class KeyUse(StrEnum):
    """What a key of the installation is for; also the stem of its file."""

    LOG = "log"
    TOKEN = "token"  # noqa: S105 -- the name of a use, not a secret
    SEAL = "seal"


class PublicKeys(msgspec.Struct, frozen=True):
    """The public halves, as the genesis entry names them.

    Attributes:
        log_key: C2SP verifier key text.
        token_key: Raw Ed25519 public key, base64.
        seal_recipient: age recipient.
    """

    log_key: str
    token_key: str
    seal_recipient: str


def create_keys(folder: Path, *, log_name: str) -> PublicKeys:
    """Make a new installation's keys in a new (or empty) folder, all of them or none.

    Args:
        folder: Where; it must not exist, or be empty.
        log_name: The log key's name in notes, mostly ``callpoint/<installation>``.

    Raises:
        ConflictError: There is something in the folder already; nothing was touched.
        StoreUnavailableError: It cannot be written.
    """
    texts = {use: _new_key(use, log_name) for use in KeyUse}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # mkdtemp makes it 0700.
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            for use, text in texts.items():
                _write_new(key_path(draft, use), text)
            _sync_folder(draft)
            # Onto a folder with anything in it, rename fails: no key is ever replaced.
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        _sync_folder(folder.parent)
    except FileExistsError as error:
        raise _occupied(folder) from error
    except OSError as error:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise _occupied(folder) from error
        raise _unwritable(folder, error) from error
    return public_keys(folder)


def public_keys(folder: Path) -> PublicKeys:
    """The public halves of the keys in use.

    Raises:
        ConfigError: A key is missing or malformed, or others can read it.
    """
    return PublicKeys(
        log_key=_public(KeyUse.LOG, read_key(key_path(folder, KeyUse.LOG))),
        token_key=_public(KeyUse.TOKEN, read_key(key_path(folder, KeyUse.TOKEN))),
        seal_recipient=_public(KeyUse.SEAL, read_key(key_path(folder, KeyUse.SEAL))),
    )


def stage_key(folder: Path, use: KeyUse) -> str:
    """Make the next key of a use beside the one in use; returns its public half.

    A log key keeps its name: its id in notes differs.

    Raises:
        ConfigError: The key in use cannot be read.
        ConflictError: One is staged already.
    """
    current = read_key(key_path(folder, use))
    name = parse_log_key(current, key_path(folder, use)).name if use is KeyUse.LOG else ""
    text = _new_key(use, name)
    try:
        _write_new(next_key_path(folder, use), text)
        _sync_folder(folder)
    except FileExistsError as error:
        raise ConflictError(
            f"a new {use} key is staged already",
            way_out=f"put it into use with `callpoint key rotate {use}`, or remove"
            f" {next_key_path(folder, use)}",
        ) from error
    except OSError as error:
        raise _unwritable(folder, error) from error
    return _public(use, text)


def staged_key(folder: Path, use: KeyUse) -> str | None:
    """The public half of the staged key, None when none is staged."""
    path = next_key_path(folder, use)
    return _public(use, read_key(path), path) if path.exists() else None


def promote_key(folder: Path, use: KeyUse) -> str:
    """Put the staged key into use; returns its public half. Former sealing keys stay to open with.

    Done twice it does nothing the second time but fail: a caller that died in between finds the
    key in use already.

    Raises:
        ConflictError: No key is staged.
        ConfigError: The staged key cannot be read.
    """
    staged = next_key_path(folder, use)
    if not staged.exists():
        raise ConflictError(
            f"no new {use} key is staged", way_out=f"run `callpoint key stage {use}`"
        )
    text = read_key(staged)
    whole = text
    if use is KeyUse.SEAL:
        former = read_key(key_path(folder, use))
        # Dead between the rename and the unlink below, the staged key is the current one already.
        whole = former if former.startswith(text) else text + former
    try:
        draft = folder / f".{use}.{secrets.token_hex(8)}"
        _write_new(draft, whole)
        draft.replace(key_path(folder, use))
        staged.unlink()
        _sync_folder(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return _public(use, text)


def key_path(folder: Path, use: KeyUse) -> Path:
    """Where the key in use is."""
    return folder / f"{use}.key"


def next_key_path(folder: Path, use: KeyUse) -> Path:
    """Where the staged key is."""
    return folder / f"{use}.next.key"


def read_key(path: Path) -> str:
    """A key file's text.

    Raises:
        ConfigError: It is missing, unreadable, or open to other accounts.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read()
    except FileNotFoundError as error:
        raise ConfigError("the key file is missing", file=str(path), way_out=_RESTORE) from error
    except OSError as error:
        raise ConfigError(
            f"the key file cannot be read: {error.strerror}",
            file=str(path),
            way_out="run Callpoint as the account that owns it",
        ) from error
    if mode & _OTHERS:
        raise ConfigError(
            "other accounts can read the key file",
            file=str(path),
            way_out=f"chmod 600 {path}, then replace the key: it may be known",
        )
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise _malformed(path, "it is no text") from error


def parse_log_key(text: str, path: Path) -> note.Signer:
    """Read a log key, or ConfigError."""
    try:
        return note.Signer.parse(text.strip())
    except note.NoteError as error:
        raise _malformed(path, str(error)) from None  # the cause could quote the secret


def parse_token_key(text: str, path: Path) -> Ed25519PrivateKey:
    """Read a token key, or ConfigError."""
    try:
        seed = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise _malformed(path, "it is not base64") from None
    if len(seed) != SEED_SIZE:
        raise _malformed(path, f"it has {len(seed)} bytes, not {SEED_SIZE}")
    return Ed25519PrivateKey.from_private_bytes(seed)


def parse_seal_keys(text: str, path: Path) -> tuple[pyrage.x25519.Identity, ...]:
    """Read age identities, the current one first, or ConfigError."""
    lines = [line.strip() for line in text.splitlines()]
    try:
        found = tuple(
            pyrage.x25519.Identity.from_str(line)
            for line in lines
            if line and not line.startswith("#")
        )
    except pyrage.IdentityError:
        raise _malformed(path, "a line is no age identity") from None
    if not found:
        raise _malformed(path, "it holds no age identity")
    return found


def _new_key(use: KeyUse, log_name: str) -> str:
    match use:
        case KeyUse.LOG:
            return note.Signer(log_name, secrets.token_bytes(SEED_SIZE)).format() + "\n"
        case KeyUse.TOKEN:
            return base64.b64encode(secrets.token_bytes(SEED_SIZE)).decode() + "\n"
        case KeyUse.SEAL:
            return f"{pyrage.x25519.Identity.generate()}\n"


def _public(use: KeyUse, text: str, path: Path | None = None) -> str:
    where = path or Path(f"{use}.key")
    match use:
        case KeyUse.LOG:
            return parse_log_key(text, where).verifier.format()
        case KeyUse.TOKEN:
            raw = parse_token_key(text, where).public_key().public_bytes_raw()
            return base64.b64encode(raw).decode()
        case KeyUse.SEAL:
            return str(parse_seal_keys(text, where)[0].to_public())


def _write_new(path: Path, text: str) -> None:
    """Write a file that must not exist, readable by its owner only, down to the disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _occupied(folder: Path) -> ConflictError:
    return ConflictError(
        f"{folder} exists and is not empty", way_out="name a folder that does not exist yet"
    )


def _unwritable(folder: Path, error: OSError) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"the key folder {folder} cannot be written: {error.strerror}",
        way_out="check its owner and the free space",
    )


def _malformed(path: Path, why: str) -> ConfigError:
    return ConfigError(f"the key file is malformed: {why}", file=str(path), way_out=_RESTORE)
