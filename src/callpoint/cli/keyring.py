"""Keys on the client's side: the principal's signing key, and one-time keys for sealed secrets.

A principal's key file is JSON, ``{"principal": NAME, "key": BASE64}``, where the key is the 32-byte
Ed25519 seed in standard base64. A one-time key is an age identity (X25519) in its own file; the
secret of an activation is sealed to it, and the same box can be opened again until the activation
ends and the key is deleted. Deleting a file does not erase a disk: what protects a leaked box after
that is that its secret is revoked.

Files are readable by their owner alone, and are refused when they are not.
"""

import base64
import binascii
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callpoint.domain.errors import ConfigError, ConflictError, NotFoundError, RequestError

STATE_VARIABLE = "CALLPOINT_STATE"

_SEED_SIZE = 32
_MAX_FILE_SIZE = 4096
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_SUFFIX = ".age"


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON of a principal's key file."""

    principal: str
    key: str


@dataclass(frozen=True, slots=True)
class PrincipalKey:
    """Who signs, and with what."""

    principal: str
    key: Ed25519PrivateKey = field(repr=False)

    @property
    def public_key(self) -> str:
        """The raw public key in standard base64, as the configuration wants it."""
        return base64.b64encode(self.key.public_key().public_bytes_raw()).decode()


def save_principal_key(path: Path, principal: str, seed: bytes) -> PrincipalKey:
    """Write a new key file, readable by its owner alone.

    Args:
        path: A file that does not exist yet; its directory does.
        principal: The name under which the public key will be published.
        seed: 32 random bytes.

    Raises:
        RequestError: There is such a file already, or it cannot be written.
    """
    key = Ed25519PrivateKey.from_private_bytes(seed)
    content = msgspec.json.encode(_KeyFile(principal, base64.b64encode(seed).decode()))
    try:
        _write_new(path, msgspec.json.format(content) + b"\n")
    except FileExistsError as error:
        raise RequestError(
            f"{path} exists; a key is never overwritten",
            way_out="name another file, or move this one away",
        ) from error
    except OSError as error:
        raise RequestError(
            f"{path} cannot be written: {error.strerror}",
            way_out=f"make the folder {path.parent}, or name another file",
        ) from error
    return PrincipalKey(principal, key)


def load_principal_key(path: Path) -> PrincipalKey:
    """Read a principal's key file.

    Raises:
        ConfigError: It is missing, open to others, or no such file; never with its content.
    """
    try:
        content = _read_private(path)
    except FileNotFoundError as error:
        raise ConfigError(
            "there is no key file",
            file=str(path),
            way_out="make one with `callpoint keygen NAME`, or name yours",
        ) from error
    try:
        parsed = msgspec.json.decode(content, type=_KeyFile)
        seed = base64.b64decode(parsed.key, validate=True)
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error, ValueError):
        parsed, seed = None, b""
    if parsed is None or not parsed.principal or len(seed) != _SEED_SIZE:
        # Without the cause: it could quote the key.
        raise ConfigError(
            "this is no principal's key file",
            file=str(path),
            way_out='it reads {"principal": NAME, "key": BASE64 of the 32-byte Ed25519 seed}',
        )
    return PrincipalKey(parsed.principal, Ed25519PrivateKey.from_private_bytes(seed))


def state_directory(environment: Mapping[str, str]) -> Path:
    """Where the client keeps its state: ``$CALLPOINT_STATE``, else ``~/.callpoint``."""
    named = environment.get(STATE_VARIABLE, "")
    return Path(named).expanduser() if named else Path("~/.callpoint").expanduser()


class Keyring:
    """One-time keys, one per activation, in ``keys/`` below the state directory.

    A key is made before the request, so it first has the name of the request's nonce; `rename`
    gives it the activation's.

    Args:
        state: The state directory; made (0700) when the first key is.
    """

    def __init__(self, state: Path) -> None:
        self._folder = state / "keys"

    def create(self, name: str) -> str:
        """Make a key; returns its recipient (``age1…``), to be sent with the request.

        Raises:
            ConflictError: There is a key of that name.
            ConfigError: The state directory cannot be written.
        """
        path = self._path(name)
        identity = pyrage.x25519.Identity.generate()
        try:
            self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            _write_new(path, f"{identity}\n".encode())
        except OSError as error:
            if path.exists():
                raise ConflictError(f"there is a one-time key {name} already") from error
            raise ConfigError(
                f"the one-time key cannot be kept: {error.strerror}",
                file=str(path),
                way_out=f"name a directory that you can write in {STATE_VARIABLE}",
            ) from error
        return str(identity.to_public())

    def rename(self, name: str, activation: str) -> None:
        """Give a key the activation's name. A repeated call after success does nothing.

        Raises:
            NotFoundError: There is no key of either name.
            ConflictError: The activation has another key.
        """
        old, new = self._path(name), self._path(activation)
        try:
            os.link(old, new)  # unlike a rename, it never replaces
        except FileNotFoundError as error:
            if not new.exists():
                raise _no_key(name) from error
            return
        except FileExistsError as error:
            if not old.samefile(new):
                raise ConflictError(f"activation {activation} has another one-time key") from error
        old.unlink()

    def open_box(self, name: str, box: bytes) -> bytes:
        """Open what was sealed to the key; as often as wanted.

        Raises:
            NotFoundError: There is no such key, or no more.
            ConfigError: Its file is open to others or damaged.
            RequestError: The box is sealed to another key or damaged.
        """
        path = self._path(name)
        try:
            content = _read_private(path)
        except FileNotFoundError as error:
            raise _no_key(name) from error
        try:
            identity = pyrage.x25519.Identity.from_str(content.decode().strip())
        except (UnicodeDecodeError, pyrage.IdentityError):
            raise ConfigError("this is no age identity", file=str(path)) from None
        try:
            return bytes(pyrage.decrypt(box, [identity]))
        except pyrage.DecryptError as error:
            raise RequestError(
                "the sealed secret does not open with this machine's one-time key",
                way_out="fetch it where the request was made, or ask for a new activation",
            ) from error

    def forget(self, name: str) -> None:
        """Delete a key; no error when it is gone."""
        self._path(name).unlink(missing_ok=True)

    def names(self) -> tuple[str, ...]:
        """Names of all keys, sorted: what must be forgotten when its activation has ended."""
        return tuple(sorted(path.stem for path in self._folder.glob(f"*{_SUFFIX}")))

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise RequestError("the name of a one-time key has letters, digits, - and _ only")
        return self._folder / f"{name}{_SUFFIX}"


def _no_key(name: str) -> NotFoundError:
    return NotFoundError(
        f"there is no one-time key for {name} on this machine",
        way_out="use the machine and account that made the request; "
        "after the activation's end the key is deleted",
    )


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that does not exist yet, 0600 from its first moment, and sync it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)  # half a key would block the name and open nothing
        raise


def _read_private(path: Path) -> bytes:
    """Read a small file that only its owner can read.

    The opened file is judged, not its name, so that it cannot be exchanged in between.

    Raises:
        FileNotFoundError: There is none.
        ConfigError: It is open to others, belongs to somebody else, is too long or no file.
    """
    try:
        # Non-blocking, so that a pipe of that name does not hang us before it is refused.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}", file=str(path)) from error
    try:
        _check_private(os.fstat(descriptor), path)
        return os.read(descriptor, _MAX_FILE_SIZE)
    finally:
        os.close(descriptor)


def _check_private(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_FILE_SIZE:
        raise ConfigError("this is no key file", file=str(path))
    if status.st_mode & _OTHERS:
        raise ConfigError(
            f"others may read this key (mode {stat.S_IMODE(status.st_mode):04o})",
            file=str(path),
            way_out=f"chmod 600 {path}; if others did read it, make a new key",
        )
    if status.st_uid not in {os.geteuid(), 0}:
        raise ConfigError("this key belongs to another user", file=str(path))
