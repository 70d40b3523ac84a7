"""What a governor signs besides bundles, and what `callpoint sign` printed, read back."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from callpoint.domain.errors import ConfigError

if TYPE_CHECKING:
    from callpoint.domain.event import SignatureRecord
    from callpoint.domain.governance import Rotation

_MAX_BYTES = 100_000


def read_signatures(paths: Sequence[Path]) -> "tuple[SignatureRecord, ...]":
    """The signatures in some files.

    Raises:
        ConfigError: One cannot be read, or holds none.
    """
    return tuple(record for path in paths for record in _read(path))


def _read(path: Path) -> "tuple[SignatureRecord, ...]":
    import msgspec

    from callpoint.domain.event import SignatureRecord

    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
        found = msgspec.json.decode(content, type=SignatureRecord | list[SignatureRecord])
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}", file=str(path)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"this is no signature: {error}", file=str(path), way_out="`callpoint sign` makes one"
        ) from error
    return tuple(found) if isinstance(found, list) else (found,)


def read_rotation(path: Path) -> "Rotation | None":
    """The statement of `callpoint key stage`; None when the file is something else."""
    import msgspec

    from callpoint.domain.governance import Rotation

    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MAX_BYTES), type=Rotation)
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}", file=str(path)) from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
