"""Which installation a server is, remembered from the first contact on.

A server vouches for itself, so its log key must come from somewhere else: from the installation's
file (``--installation``), or from what this machine saw first. A key that changed is an alarm.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from callpoint.domain.errors import ConfigError, TamperError, UnavailableError
from callpoint.domain.untrusted_json import read_json

if TYPE_CHECKING:  # `callpoint verify` reads an installation's file and needs no HTTP
    from callpoint.api.messages import InstallationView
    from callpoint.cli.client import Client

KNOWN_FILE = "known-servers.json"

_MAX_FILE = 1_000_000


class Known(msgspec.Struct, frozen=True):
    """What identifies an installation, whatever else its file says."""

    id: str
    log_key: str
    origin: str = ""
    former_log_keys: tuple[str, ...] = ()


def read_installation(path: Path) -> Known:
    """The installation's public file, as `callpoint init` writes it.

    Raises:
        ConfigError: It is missing or something else.
    """
    try:
        with path.open("rb") as file:
            return read_json(file.read(_MAX_FILE), Known)
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}", file=str(path)) from error
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"this is no installation file: {error}",
            file=str(path),
            way_out="`callpoint init` wrote it; ask whoever runs Callpoint for it",
        ) from error


def known_installation(
    client: "Client", state: Path, given: Path | None = None
) -> tuple[Known, str]:
    """The installation that the server must be, and a sentence if it is trusted on first use.

    Args:
        client: To ask what the server says it is.
        state: The client's state directory, where first contacts are kept.
        given: The installation's file, if the caller has it; it is remembered, so that it need be
            given only once, and once more after a rotation of the log's key.

    Raises:
        TamperError: The server is another installation, or its log has another key.
    """
    says = client.installation()
    seen = read_known(state)
    pinned = read_installation(given) if given is not None else seen.get(client.server)
    if pinned is None:
        first = Known(says.id, says.log_key, says.origin)
        _write_known(state, {**seen, client.server: first})
        return first, (
            f"first contact with installation {says.id} at {client.server}: its log key is"
            f" {says.log_key}. Compare it with the installation's file."
        )
    _must_be(pinned, says, client.server)
    if given is not None and seen.get(client.server) != pinned:
        _write_known(state, {**seen, client.server: pinned})
    return pinned, ""


def _must_be(pinned: Known, says: "InstallationView", server: str) -> None:
    if (pinned.id, pinned.log_key) == (says.id, says.log_key):
        return
    what = "another installation" if pinned.id != says.id else "another log key"
    raise TamperError(
        f"{server} has {what}: {says.id} {says.log_key}, not {pinned.id} {pinned.log_key}",
        way_out="ask the governors. If they rotated the key or moved the server, give the new file"
        " once with --installation",
    )


def read_known(state: Path) -> dict[str, Known]:
    """Servers seen before, by address.

    Raises:
        ConfigError: The file is damaged: it is not passed over, because it holds trust.
    """
    path = state / KNOWN_FILE
    try:
        return read_json(path.read_bytes(), dict[str, Known])
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}", file=str(path)) from error
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"it is damaged: {error}",
            file=str(path),
            way_out="compare with a backup; without it the next contact counts as the first",
        ) from error


def _write_known(state: Path, known: dict[str, Known]) -> None:
    path = state / KNOWN_FILE
    draft = path.with_suffix(".new")
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(known)) + b"\n")
        draft.replace(path)
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be written: {error.strerror}",
            way_out="name a directory that you can write in CALLPOINT_STATE",
        ) from error
