"""`bootstrap.home_check`: what is wrong with a home folder, from real files."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from callpoint.adapters.keys.files import KeyUse, create_keys, stage_key
from callpoint.adapters.keys.files.holders import FileLogSigner
from callpoint.audit.checkpoint import Checkpoint
from callpoint.bootstrap.home import Home, Pin, write
from callpoint.bootstrap.home_check import Space, check_home, judge_space
from callpoint.domain.governance import Bundle, Installation
from callpoint.lifecycle.symptoms.symptom import Code, Severity
from tests.fakes import orders
from tests.fakes.world import INSTALLATION, ORIGIN

BUNDLE = Bundle(INSTALLATION, 1, "", orders.configuration(), {})


def make_home(root: Path) -> Home:
    """As `callpoint init` leaves it, with a log of one entry."""
    root.mkdir(mode=0o700)
    keys = create_keys(root / "keys", log_name=ORIGIN)
    home = Home(root)
    home.write_installation(
        Installation(
            id=INSTALLATION,
            origin=ORIGIN,
            log_key=keys.log_key,
            seal_recipient=keys.seal_recipient,
            token_key=keys.token_key,
            governors={},
            quorum=2,
        )
    )
    keep(home, 1)
    return home


def keep(home: Home, size: int) -> None:
    """The checkpoint outside the database."""
    text = Checkpoint(ORIGIN, size, bytes(32)).format()
    (home.root / "checkpoint").write_text(FileLogSigner(home.keys).sign(text))


def codes(home: Home) -> list[tuple[Code, Severity]]:
    return [(s.code, s.severity) for s in check_home(home.root)]


def test_a_healthy_home_has_no_symptom(tmp_path: Path):
    """Whoever looks changes nothing in it."""
    home = make_home(tmp_path / "home")
    home.pin(BUNDLE)
    before = sorted((p.name, p.stat().st_mtime_ns) for p in home.root.rglob("*"))
    assert codes(home) == []
    assert sorted((p.name, p.stat().st_mtime_ns) for p in home.root.rglob("*")) == before


def _open_key(home: Home) -> None:
    (home.keys / "seal.key").chmod(0o640)


def _other_key(home: Home) -> None:
    shutil.rmtree(home.keys)
    create_keys(home.keys, log_name=ORIGIN)
    keep_old = Checkpoint(ORIGIN, 1, bytes(32)).format()
    (home.root / "checkpoint").write_text(FileLogSigner(home.keys).sign(keep_old))


def _staged(home: Home) -> None:
    stage_key(home.keys, KeyUse.SEAL)


def _no_checkpoint(home: Home) -> None:
    (home.root / "checkpoint").unlink()


def _edited_pin(home: Home) -> None:
    write(home.root / "in-force.json", Pin(digest="0" * 64, bundle=BUNDLE))


def _wrong_settings(home: Home) -> None:
    (home.root / "server.toml").write_text("[store]\nkind = 'paper'\n")


def _open_folder(home: Home) -> None:
    home.root.chmod(0o755)


def _no_facts(home: Home) -> None:
    (home.root / "installation.json").write_text("{")


def _proposed(home: Home) -> None:
    home.proposal.write_text("{}")


@pytest.mark.parametrize(
    "spoil, expected, words",
    [
        (_open_key, Code.KEY_FILE, "other accounts can read the key file"),
        (_staged, Code.ROTATION_PENDING, "`callpoint key rotate seal`"),
        (_no_checkpoint, Code.CHECKPOINT_DIFFERS, "No such file"),
        (_edited_pin, Code.HOME_DAMAGED, "was changed by hand"),
        (_wrong_settings, Code.HOME_DAMAGED, "server.toml"),
        (_open_folder, Code.HOME_OPEN, "chmod 700"),
        (_no_facts, Code.HOME_DAMAGED, "does not parse"),
        (_proposed, Code.HOME_UNFINISHED, "`callpoint sign"),
    ],
)
def test_what_is_wrong_in_a_home(
    tmp_path: Path, spoil: Callable[[Home], None], expected: Code, words: str
):
    """One cause, one symptom, with the words that help."""
    home = make_home(tmp_path / "home")
    spoil(home)
    (found,) = check_home(home.root)
    assert found.code is expected
    assert words in f"{found.text} {found.next_step}"


def test_keys_of_another_installation_are_told(tmp_path: Path):
    """Every use is named, and the checkpoint that such a key signed is no checkpoint."""
    home = make_home(tmp_path / "home")
    _other_key(home)
    found = check_home(home.root)
    named = [s.text for s in found if s.code is Code.KEY_FILE]
    assert all(use in text for use, text in zip(("log", "token", "seal"), named, strict=True))
    assert [s.severity for s in found if s.code is Code.CHECKPOINT_DIFFERS] == [Severity.URGENT]


def test_a_home_that_is_not_there(tmp_path: Path):
    """It is named with the command that makes one."""
    (found,) = check_home(tmp_path / "nowhere")
    assert (found.code, "`callpoint init" in found.next_step) == (Code.HOME_DAMAGED, True)


@pytest.mark.parametrize(
    "free, total, expected",
    [
        (10 * 2**30, 100 * 2**30, None),
        (2 * 2**30, 100 * 2**30, Severity.WARNING),
        (100 * 2**20, 2**30, Severity.URGENT),
        (0, 0, Severity.URGENT),
    ],
)
def test_how_much_space_is_little(free: int, total: int, expected: Severity | None):
    """Little of a large disk is a warning; hardly anything is urgent, whatever its size."""
    found = judge_space(Path("/var/lib/callpoint"), Space(free, total))
    assert (found.severity if found else None) == expected
    assert found is None or (found.code is Code.DISK_FULL and "left" in found.text)
