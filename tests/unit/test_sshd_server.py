"""Finding an sshd, with shell scripts as servers, and telling who could log in to it."""

import pwd
from pathlib import Path

import pytest

from callpoint.cli.sshd_server import (
    ENVIRONMENT_KEY,
    check_account,
    find_sshd,
    parse_version,
)
from callpoint.domain.errors import UnavailableError


def make_server(root: Path, says: str) -> Path:
    """An sshd with its ssh-keygen beside it, as a package lays them out."""
    for name in ("sbin/sshd", "bin/ssh-keygen"):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit 1\n")
        file.chmod(0o755)
    return root / "sbin" / "sshd"


@pytest.mark.parametrize(
    "text,version",
    [
        ("OpenSSH_9.2, OpenSSL 3.0.19 27 Jan 2026", (9, 2)),
        ("unknown option -- V\nOpenSSH_8.4p1 Debian-5+deb11u3, OpenSSL 1.1.1w", (8, 4)),
        ("OpenSSH_10.0p2, LibreSSL 3.3.6", (10, 0)),
        ("dropbear v2022.83", None),
    ],
)
def test_version_is_read(text: str, version: tuple[int, int] | None):
    """New and old servers tell it, and another program is none."""
    assert parse_version(text) == version


def test_order_of_preference(tmp_path: Path):
    """The variable goes before PATH, and PATH before the places of packages."""
    named = make_server(tmp_path / "named", "OpenSSH_9.9p1")
    on_path = make_server(tmp_path / "path", "OpenSSH_9.6p1")
    packaged = make_server(tmp_path / "packaged", "OpenSSH_9.2p1")
    places = (str(tmp_path / "nowhere"), str(packaged))
    both = {ENVIRONMENT_KEY: str(named), "PATH": str(on_path.parent)}
    assert find_sshd(both, places=places).sshd == named
    found = find_sshd({"PATH": str(on_path.parent)}, places=places)
    assert (found.version, found.keygen) == ((9, 6), tmp_path / "path" / "bin" / "ssh-keygen")
    assert find_sshd({"PATH": ""}, places=places).version == (9, 2)


def test_a_wrong_variable_is_an_error(tmp_path: Path):
    """Another server is not tested in silence instead of the named one."""
    good = make_server(tmp_path / "good", "OpenSSH_9.2p1")
    other = make_server(tmp_path / "other", "dropbear")
    with pytest.raises(UnavailableError, match=ENVIRONMENT_KEY):
        find_sshd({ENVIRONMENT_KEY: str(other), "PATH": ""}, places=(str(good),))


def test_without_a_server_the_package_is_named():
    """The error says what to install."""
    with pytest.raises(UnavailableError, match="openssh-server"):
        find_sshd({"PATH": ""}, places=())


@pytest.mark.parametrize(
    "shell,hashed,why",
    [
        ("/bin/sh", "*", ""),
        ("", "$y$hash", ""),
        ("/usr/sbin/nologin", "*", "has no shell"),
        ("/bin/false", "*", "has no shell"),
        ("/no/such/shell", "*", "has no shell"),
        ("/bin/sh", "!", "is locked"),
        ("/bin/sh", "!$y$hash", "is locked"),
    ],
)
def test_who_could_log_in(tmp_path: Path, shell: str, hashed: str, why: str):
    """An account without a shell, or with a locked password, is said to be none before sshd is."""
    shadow = tmp_path / "shadow"
    shadow.write_text(f"other:!:20000::::::\nops:{hashed}:20000::::::\n")
    entry = pwd.struct_passwd(("ops", "x", 1000, 1000, "", "/", shell))
    if not why:
        check_account(entry, shadow)
        check_account(entry, tmp_path / "unreadable")
        return
    with pytest.raises(UnavailableError, match=f"ops {why}"):
        check_account(entry, shadow)
