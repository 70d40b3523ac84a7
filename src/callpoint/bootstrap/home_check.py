"""What can be wrong with a home folder, seen by whoever can read it; needs no server and no store.

The server runs it for its own folder, and ``callpoint doctor`` where the folder is on the machine.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from callpoint.adapters.keys.files import KeyUse, public_keys, staged_key
from callpoint.adapters.keys.files.folder import next_key_path
from callpoint.audit.checkpoint import Checkpoint, CheckpointError, parse_checkpoint
from callpoint.audit.kept_file import newest_note
from callpoint.audit.note import NoteError, Verifier, parse_note, verify_note
from callpoint.bootstrap.home import Home
from callpoint.bootstrap.key_change import key_in_use
from callpoint.bootstrap.shell_word import shell_word
from callpoint.config.settings import Settings, load_settings
from callpoint.domain.errors import CallpointError, ConfigError
from callpoint.domain.governance import Installation
from callpoint.lifecycle.symptoms.symptom import Code, Severity, Symptom, symptom

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LEAST_FREE = 200 * 2**20
"""Bytes. Every activation takes some kilobytes; below this a log stops within hours of a storm."""
_LEAST_SHARE = 0.03
_MAX_CHECKPOINT = 100_000


@dataclass(frozen=True)
class Space:
    """Free and whole bytes of the disk that holds a folder."""

    free: int
    total: int


def space_of(folder: Path) -> Space:
    """What the disk says. Raises OSError."""
    found = shutil.disk_usage(folder)
    return Space(free=found.free, total=found.total)


def check_home(root: Path) -> tuple[Symptom, ...]:
    """Everything that is wrong in the folder; it is only read."""
    home = Home(root)
    if home.is_proposed:
        return (
            _home(
                Code.HOME_UNFINISHED,
                root,
                "the first configuration is not signed yet: nothing can be served",
                f"governors: `callpoint sign {shell_word(home.proposal)} --key KEYFILE`; then"
                f" `callpoint init --home {shell_word(root)} --signatures FILE …`",
            ),
        )
    try:
        installation = home.installation()
    except CallpointError as error:
        return (_damaged(root, error),)
    return (
        *_of_files(home),
        *_of_keys(home, installation),
        *_of_checkpoint(home, installation),
        *_of_disk(root),
    )


def _of_files(home: Home) -> Iterator[Symptom]:
    """Settings and the pinned configuration parse, and nobody else reads what names persons."""
    try:
        load_settings(home.root)
        home.pinned()
    except CallpointError as error:
        yield _damaged(home.root, error)
    for path in (
        home.root,
        home.keys,
        home.root / "installation.json",
        home.root / "in-force.json",
        home.root / "proven.json",
    ):
        yield from _open_to_others(path)


def _open_to_others(path: Path) -> Iterator[Symptom]:
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # what must be there is missed by whoever reads it
    if path.name == "installation.json" or not mode & _OTHERS:
        return  # its facts are public
    wanted = "700" if stat.S_ISDIR(mode) else "600"
    yield symptom(
        Severity.WARNING,
        Code.HOME_OPEN,
        str(path),
        f"other accounts of the machine can get at {path} (mode {stat.S_IMODE(mode):o})",
        f"chmod {wanted} {path}",
    )


def _of_keys(home: Home, installation: Installation) -> Iterator[Symptom]:
    """The keys can be used, are those that the facts name, and none waits to be put into use."""
    try:
        held = public_keys(home.keys)
    except CallpointError as error:
        yield _key(home.keys, error.message, error.way_out, getattr(error, "file", ""))
        return
    for use, public in (
        (KeyUse.LOG, held.log_key),
        (KeyUse.TOKEN, held.token_key),
        (KeyUse.SEAL, held.seal_recipient),
    ):
        if public != key_in_use(installation, use):
            yield _key(
                home.keys,
                f"the {use} key in the folder is not the one that installation.json names",
                "restore the key folder and installation.json from one backup",
            )
        yield from _staged(home, use)


def _staged(home: Home, use: KeyUse) -> Iterator[Symptom]:
    try:
        waiting = staged_key(home.keys, use)
    except CallpointError as error:
        yield _key(home.keys, error.message, error.way_out, getattr(error, "file", ""))
        return
    if waiting is not None:
        path = next_key_path(home.keys, use)
        yield symptom(
            Severity.NOTICE,
            Code.ROTATION_PENDING,
            str(path),
            f"a new {use} key is staged and not in use: it waits for the governors' signatures",
            f"governors sign the rotation, then `callpoint key rotate {use}`; or remove {path}",
        )


def _of_checkpoint(home: Home, installation: Installation) -> Iterator[Symptom]:
    """The checkpoint that is kept outside the database is there and is this log's."""
    try:
        kept_checkpoint(home, installation)
    except CallpointError as error:
        path = _settings(home.root)
        yield symptom(
            Severity.URGENT,
            Code.CHECKPOINT_DIFFERS,
            str(path.checkpoint_file if path else home.root),
            error.message,
            error.way_out,
        )


def kept_checkpoint(home: Home, installation: Installation) -> Checkpoint | None:
    """The checkpoint outside the database, its signature checked; None before the settings parse.

    Raises:
        ConfigError: It is missing, cannot be read, or is not signed by this log's key.
    """
    settings = _settings(home.root)
    if settings is None:
        return None
    path = settings.checkpoint_file
    restore = (
        "put it back from its backup; if there is none, stop the server and run"
        " `callpoint log recover`"
    )
    try:
        with path.open("rb") as file:
            note = parse_note(newest_note(file.read(_MAX_CHECKPOINT)))
        keys = (installation.log_key, *installation.former_log_keys)
        verify_note(note, [Verifier.parse(key) for key in keys])
        return parse_checkpoint(note.text)
    except OSError as error:
        words = f"the checkpoint outside the database cannot be read: {error.strerror}"
        raise ConfigError(words, file=str(path), way_out=restore) from error
    except (NoteError, CheckpointError) as error:
        words = f"the checkpoint outside the database is not this log's: {error}"
        raise ConfigError(words, file=str(path), way_out=restore) from error


def _settings(root: Path) -> Settings | None:
    try:
        return load_settings(root)
    except CallpointError:
        return None  # told with the files


def _of_disk(root: Path) -> Iterator[Symptom]:
    """A full disk stops the log, and with it everything that is given."""
    places = {root}
    settings = _settings(root)
    if settings is not None:
        places.add(settings.checkpoint_file.parent)
    for place in sorted(places):
        try:
            space = space_of(place)
        except OSError as error:
            yield _home(
                Code.HOME_DAMAGED,
                place,
                f"{place} cannot be looked at: {error.strerror}",
                "check that its disk is mounted, and its owner",
            )
            continue
        if (found := judge_space(place, space)) is not None:
            yield found
        elif not os.access(place, os.W_OK):
            yield _home(
                Code.HOME_DAMAGED,
                place,
                f"{place} cannot be written by this account",
                "run this as the account of the server; otherwise check owner and mount",
            )


def judge_space(place: Path, space: Space) -> Symptom | None:
    """Whether so little is left that the log will stop soon. Pure."""
    if space.free >= _LEAST_FREE and space.free >= space.total * _LEAST_SHARE:
        return None
    left = f"{space.free // 2**20} MiB ({space.free * 100 // max(space.total, 1)} %)"
    return symptom(
        Severity.URGENT if space.free < _LEAST_FREE else Severity.WARNING,
        Code.DISK_FULL,
        str(place),
        f"the disk of {place} has {left} left: when it is full, nothing is given",
        "free space on it; what Callpoint wrote there is needed: remove none of it",
    )


def _damaged(root: Path, error: CallpointError) -> Symptom:
    place = getattr(error, "file", "") or str(root)
    return _home(
        Code.HOME_DAMAGED,
        root,
        f"{place}: {error.message}",
        error.way_out or "restore it from the backup of this folder",
    )


def _home(code: Code, place: Path, text: str, step: str) -> Symptom:
    return symptom(Severity.URGENT, code, str(place), text, step)


def _key(folder: Path, text: str, step: str, file: str = "") -> Symptom:
    place = file or str(folder)
    words = f"{place}: {text}"
    return symptom(
        Severity.URGENT, Code.KEY_FILE, place, words, step or "see docs/operations/keys.md"
    )
