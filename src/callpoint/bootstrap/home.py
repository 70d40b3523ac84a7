"""The home folder of one installation, apart from its keys and its database.

    installation.json   what genesis fixed: read before the database is believed
    in-force.json       the newest configuration that was ever proven here
    proven.json         how far the log was proven here, so that a start does not begin at genesis
    proposal.json       the first configuration, while its governors sign it
    server.toml         settings of the process (``config.settings``)
    keys/               private keys (``adapters.keys.files``)
    known-leases.jsonl  what is live, for a kill without the store (``adapters.node.files``)
    offline/            journals of gateways: what they did while the store did not answer
    tombstones/         kills without the store that are not merged yet

Files appear whole or not at all, and only their owner reads them: they name persons.
"""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TypeVar

import msgspec

from callpoint.bootstrap.shell_word import shell_word
from callpoint.domain.errors import ConfigError, StoreUnavailableError, TamperError
from callpoint.domain.governance import Bundle, Installation
from callpoint.domain.untrusted_json import read_json
from callpoint.lifecycle.landmark import Landmarks

_T = TypeVar("_T", bound=msgspec.Struct)


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``in-force.json`` says; the digest shows a file that was edited by hand."""

    digest: str
    bundle: Bundle


class Home:
    """The folder, by its path."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.keys = root / "keys"
        self._installation = root / "installation.json"
        self._pin = root / "in-force.json"
        self._landmarks = root / "proven.json"
        self.proposal = root / "proposal.json"
        self.known_leases = root / "known-leases.jsonl"
        self.tombstones = root / "tombstones"

    @property
    def is_founded(self) -> bool:
        """Its genesis is written."""
        return self._installation.exists() and not self.proposal.exists()

    @property
    def is_proposed(self) -> bool:
        """Keys and first configuration are there, and the governors' signatures are awaited."""
        return self.proposal.exists()

    def installation(self) -> Installation:
        """The pinned facts.

        Raises:
            ConfigError: There are none, or they do not parse.
        """
        return _read(
            self._installation,
            Installation,
            f"make an installation with `callpoint init --home {shell_word(self.root)}"
            " --config DIR`",
        )

    def write_installation(self, installation: Installation) -> None:
        """Pin them. Raises StoreUnavailableError."""
        write(self._installation, installation)

    def proposed(self) -> Bundle:
        """The proposal. Raises ConfigError."""
        return _read(self.proposal, Bundle, "run `callpoint init` with --propose again")

    def pinned(self) -> Bundle | None:
        """The newest configuration that was proven here; None before the first.

        Raises:
            TamperError: The file was changed by hand.
            ConfigError: It does not parse.
        """
        if not self._pin.exists():
            return None
        pin = _read(self._pin, Pin, "restore it from the backup of this folder")
        if pin.bundle.digest() != pin.digest:
            raise TamperError(
                f"{self._pin} was changed by hand", way_out="restore it from the folder's backup"
            )
        return pin.bundle

    def pin(self, bundle: Bundle) -> None:
        """Remember a proven configuration; an older one than is remembered changes nothing.

        Raises:
            StoreUnavailableError: It cannot be written.
        """
        known = self.pinned()
        if known is None or known.number < bundle.number:
            write(self._pin, Pin(digest=bundle.digest(), bundle=bundle))

    def landmarks(self) -> Landmarks:
        """How far the log was proven here; none if nobody can say, which only costs time."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return read_json(self._landmarks.read_bytes(), Landmarks)
        return Landmarks()

    def note_landmarks(self, marks: Landmarks) -> None:
        """Remember them; one that is not known stays as it was. Raises StoreUnavailableError."""
        known = self.landmarks()
        newest = Landmarks(marks.publications or known.publications, marks.open or known.open)
        if newest != known:
            write(self._landmarks, newest)


def write(path: Path, value: msgspec.Struct) -> None:
    """Write JSON whole or not at all, 0600, down to the disk.

    Raises:
        StoreUnavailableError: It cannot be written.
    """
    body = msgspec.json.format(msgspec.json.encode(value, order="deterministic")) + b"\n"
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise StoreUnavailableError(
            f"{path} cannot be written: {error.strerror}",
            way_out="check the folder's owner and the free space",
        ) from error


def sync_folder(folder: Path) -> None:
    """Bring a renamed entry of a folder to the disk. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path, kind: type[_T], way_out: str) -> _T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError as error:
        raise ConfigError("is missing", file=str(path), way_out=way_out) from error
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}", file=str(path), way_out="check owner and mode"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"does not parse: {error}", file=str(path), way_out=way_out) from error
