"""The checkpoint outside the database: cut at every byte, dead at every step, of an older version.

The promise at each of them: the database extends what the file keeps, and what was answered is in
both.
"""

import itertools
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from callpoint.adapters.stores.sql.checkpoint_file import CheckpointFile
from callpoint.adapters.stores.sqlite.connection import SqliteConnection
from callpoint.audit.checkpoint import parse_checkpoint
from callpoint.audit.kept_file import (
    HALF,
    KEPT_SIZE,
    Kept,
    KeptFileError,
    first_file,
    format_half,
    newest_note,
    parse_kept,
)
from callpoint.audit.note import parse_note
from callpoint.domain.errors import LogHaltedError, LogUnavailableError
from tests.contract.store_benches import ORIGIN, FragileSigner, SqliteBench, add, issued
from tests.fault.test_stores_faults import check_whole

SECTOR = 512


def note(size: int, body: str = "") -> bytes:
    """A note as long as one of a log is, or longer."""
    return FragileSigner().sign(f"{ORIGIN}\n{size}\n{body or 'A' * 43}=\n").encode()


def file_of(*numbered: tuple[int, bytes]) -> bytes:
    """A file of two halves, each with its number and note."""
    return b"".join(format_half(text, number) for number, text in numbered)


@pytest.mark.parametrize("body", ["", "B" * 1500], ids=["one sector", "four sectors"])
def test_a_write_that_is_cut_leaves_one_note_or_the_other(body):
    """At each byte, and with each set of sectors on the disk, the older note or the new one."""
    old, newer, newest = note(1, body), note(20, body), note(300, body)
    before = file_of((6, old), (7, newer))
    half = format_half(newest, 8)
    cuts = (half[:at] + before[at:] for at in range(HALF + 1))
    sectors = range(0, HALF, SECTOR)
    mixed = (
        b"".join(
            (half if new else before)[at : at + SECTOR]
            for at, new in zip(sectors, chosen, strict=True)
        )
        + before[HALF:]
        for chosen in itertools.product((False, True), repeat=len(sectors))
    )
    seen = {parse_kept(data) for data in itertools.chain(cuts, mixed)}
    assert seen == {Kept(newer, 7, 1), Kept(newest, 8, 0)}


def test_what_no_write_leaves_is_refused():
    """A file with another length, without a whole half, or a note that does not fit, is none."""
    whole = file_of((6, note(1)), (7, note(2)))
    spoilt = whole.replace(ORIGIN.encode(), b"callpoint/abc124")
    for data in (whole[:-1], whole + b"\n", spoilt, whole[:HALF]):
        with pytest.raises(KeptFileError):
            newest_note(data)
    for text in (note(1, "B" * HALF), note(1) + b"\n", note(1)[:-1]):
        with pytest.raises(KeptFileError):
            first_file(text)
    assert newest_note(note(3)) == note(3)  # of an earlier version


def test_a_person_can_read_it(tmp_path):
    """It is text: a line, the note as it is, and empty lines."""
    file = CheckpointFile(tmp_path / "checkpoint")
    for size in (1, 2):
        file.prepare(note(size).decode())
        file.publish()
    text = file.path.read_text()
    assert note(1).decode() in text
    assert note(2).decode() in text
    assert file.read() == note(2)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o644


def test_it_is_written_in_place_and_an_older_version_is_replaced(tmp_path):
    """A note alone is read and made into two halves; then the file stays, and its length too."""
    path = tmp_path / "checkpoint"
    path.write_bytes(note(1))
    file = CheckpointFile(path)
    assert file.read() == note(1)
    file.prepare(note(2).decode())
    assert path.read_bytes() == note(1), "nothing is replaced before the commit"
    file.publish()
    made = path.stat().st_ino
    for size in range(3, 8):
        before = path.read_bytes()
        file.prepare(note(size).decode())
        assert path.read_bytes() == before
        file.publish()
        assert file.read() == note(size)
        assert (path.stat().st_ino, path.stat().st_size) == (made, KEPT_SIZE)
    path.unlink()  # somebody's hand, while it runs
    file.prepare(note(8).decode())
    file.publish()
    assert file.read() == note(8)
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_prepared_and_not_committed_leaves_nothing(tmp_path):
    """Neither a file beside it nor an open one, whichever way it would have been kept."""
    file = CheckpointFile(tmp_path / "checkpoint")
    opened = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2):
        file.prepare(note(1).decode())
        file.discard()
        assert file.read() is None
    file.prepare(note(1).decode())
    file.publish()
    for size in (2, 3):
        file.prepare(note(size).decode())  # the second one takes the place of the first
    file.discard()
    assert file.read() == note(1)
    assert len(list(Path("/proc/self/fd").iterdir())) == opened


def test_a_note_that_does_not_fit_is_told_before_the_commit(tmp_path):
    """The writer learns it while it can still take everything back."""
    file = CheckpointFile(tmp_path / "checkpoint")
    for _ in range(2):
        with pytest.raises(LogUnavailableError, match="cannot be kept"):
            file.prepare(note(1, "B" * HALF).decode())
        file.prepare(note(1).decode())
        file.publish()
    file.path.write_bytes(b"callpoint-kept/1".ljust(KEPT_SIZE, b"\n"))
    with pytest.raises(LogHaltedError, match="neither half"):
        file.read()


class Deaths:
    """What each death on the way would leave, page cache included: a copy at each step.

    Attributes:
        left: Folder of each copy, and how many callers had been answered by then.
    """

    def __init__(self, home: Path, copies: Path) -> None:
        self.left: list[tuple[Path, int]] = []
        self.answered = 0
        self._home = home
        self._copies = copies

    def point(self) -> None:
        """A death here."""
        folder = self._copies / str(len(self.left))
        shutil.copytree(self._home, folder, ignore=shutil.ignore_patterns("*.lock", "*-shm"))
        self.left.append((folder, self.answered))


@contextmanager
def watched(deaths: Deaths, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A death before and after each commit, flush and renaming, and in the middle of each write."""

    def around(usual: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            deaths.point()
            done = usual(*args)
            deaths.point()
            return done

        return call

    def torn(handle: int, data: bytes, place: int) -> int:
        for end in (SECTOR // 4, len(data)):
            os_pwrite(handle, data[:end], place)
            deaths.point()
        return len(data)

    os_pwrite = os.pwrite
    with monkeypatch.context() as patched:
        patched.setattr(SqliteConnection, "commit", around(SqliteConnection.commit))
        patched.setattr(Path, "replace", around(Path.replace))
        for name in ("fsync", "fdatasync"):
            patched.setattr(os, name, around(getattr(os, name)))
        patched.setattr(os, "pwrite", torn)
        yield


async def test_a_death_at_any_step_leaves_a_log_that_goes_on(tmp_path, monkeypatch):
    """At each the database extends the file, and whoever was answered is in both."""
    home, copies = tmp_path / "home", tmp_path / "copies"
    home.mkdir()
    deaths = Deaths(home, copies)
    store = await SqliteBench(home).open()
    await store.transact(add("a:1", issued()))
    deaths.answered += 1
    path = home / "checkpoint"
    path.write_bytes(newest_note(path.read_bytes()))  # as an earlier version left it
    with watched(deaths, monkeypatch):
        for _ in range(4):
            await store.transact(add("a:1", issued()))
            deaths.answered += 1
    await store.close()
    assert len(deaths.left) == 8 + 3 * 6
    behind = set()
    for folder, answered in deaths.left:
        bench = SqliteBench(folder)
        kept = _size(folder / "checkpoint")
        again = await bench.open(allow_moved=True)
        await again.check_log()
        size = await again.read(partial(check_whole, bench=bench))
        assert answered <= kept <= size <= answered + 1
        assert _size(folder / "checkpoint") == size
        await again.transact(add("a:1", issued()))
        await again.close()
        behind.add((size - answered, kept - answered))
    assert behind == {(0, 0), (1, 0), (1, 1)}


def _size(path: Path) -> int:
    return parse_checkpoint(parse_note(newest_note(path.read_bytes())).text).size
