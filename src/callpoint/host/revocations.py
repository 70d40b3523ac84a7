"""The key revocation list (KRL): never a broken one, because a broken one locks everybody out.

sshd reads it at each login. When it is missing, cut short or unreadable, *every* public key of the
accounts it is set for is refused. So a new list is checked before it takes the place of the old
one, the last good one is kept, and a broken one is replaced whenever this program runs. sshd knows
no signature and no age of it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from callpoint.host import files
from callpoint.host.registry import LIVE, Entry
from callpoint.host.settings import HostSettings

_SECONDS = 10
_MAGIC = b"SSHKRL\n\0"
_MODE = 0o644
_LIMIT = 64 * 1024 * 1024


class RevocationError(Exception):
    """``ssh-keygen`` made no list that it can read back."""


def specification(entries: Iterable[Entry]) -> str:
    """What ``ssh-keygen -k`` reads: each ended certificate by serial and by key id. Pure."""
    lines = [
        f"serial: {entry.serial}\nid: {entry.name}\n"
        for entry in sorted(entries, key=lambda entry: entry.handle)
        if entry.state != LIVE
    ]
    return "".join(lines)


def is_sound(settings: HostSettings, path: Path) -> bool:
    """Whether sshd's own reader takes it: the CA's key is looked up in it, and is not revoked.

    A file that does not begin like a list is taken for one in plain text: an empty one is then good
    and revokes nobody.
    """
    try:
        with path.open("rb") as file:
            begins = file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False
    return begins and _query(settings, path, settings.ca) == 0


def names(settings: HostSettings, certificate: str) -> bool:
    """Whether the installed list refuses this certificate (one line). False when it is broken."""
    if not is_sound(settings, settings.revocations):
        return False
    said = _run(settings, "-Q", "-f", settings.revocations, "/dev/stdin", given=certificate + "\n")
    return said.returncode == 1


def install(settings: HostSettings, entries: Iterable[Entry], revision: int) -> None:
    """Put the list of these entries in place, if it is not there and sound already.

    Raises:
        RevocationError: No good list could be made; the last good one is in place.
        OSError: The same, for want of room.
    """
    wanted = specification(entries)
    extra = sorted(settings.revoked.glob("*.pub")) if settings.revoked.is_dir() else []
    said = wanted + "".join(f"# {path.name} {path.stat().st_mtime_ns}\n" for path in extra)
    spec = settings.state / "revoked.spec"
    sound = is_sound(settings, settings.revocations)
    if sound and _is_ours(settings) and files.read_regular(spec, _LIMIT) == said.encode():
        return
    try:
        made = _make(settings, wanted, extra, revision)
        files.replace(settings.revocations, made, _MODE)
        files.replace(_last_good(settings), made, _MODE)
        files.replace(spec, said.encode(), 0o600)
    except (OSError, RevocationError):
        if not sound:
            _restore(settings)
        raise


def _is_ours(settings: HostSettings) -> bool:
    """Whether it is the one that was put in place last: an older one is as good to sshd."""
    there = files.read_regular(settings.revocations, _LIMIT)
    return there is not None and there == files.read_regular(_last_good(settings), _LIMIT)


def _last_good(settings: HostSettings) -> Path:
    return settings.revocations.with_suffix(".good")


def _restore(settings: HostSettings) -> None:
    """The last good list: it may lack the newest, whom the principals' file refuses anyway."""
    good = _last_good(settings)
    if is_sound(settings, good):
        content = files.read_regular(good, _LIMIT)
        if content is not None:
            files.replace(settings.revocations, content, _MODE)


def _make(settings: HostSettings, wanted: str, extra: list[Path], revision: int) -> bytes:
    # Under the lock, so nobody else writes them.
    spec, made = settings.state / ".spec", settings.state / ".made.krl"
    made.unlink(missing_ok=True)
    try:
        files.replace(spec, wanted.encode(), 0o600)
        # "none": for a certificate of any CA, so that it holds across a change of the CA's key.
        said = _run(settings, "-q", "-k", "-f", made, "-s", "none", "-z", revision, spec, *extra)
        if said.returncode != 0 or not is_sound(settings, made):
            words = said.stderr.decode(errors="replace").strip()[-200:]
            raise RevocationError(f"ssh-keygen made no good revocation list: {words}")
        return made.read_bytes()
    finally:
        spec.unlink(missing_ok=True)
        made.unlink(missing_ok=True)


def _query(settings: HostSettings, krl: Path, key: Path) -> int:
    """0: not revoked, 1: revoked, another: it cannot be read."""
    return _run(settings, "-Q", "-f", krl, key).returncode


def _run(
    settings: HostSettings, *words: object, given: str = ""
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            [settings.keygen, *map(str, words)],
            input=given.encode(),
            capture_output=True,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RevocationError("ssh-keygen does not end") from error
