"""The gateway's journal on a disk: durable before it returns, chained, one process's, told once."""

import contextlib
import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callpoint.adapters.journals.files import FileJournal, journal
from callpoint.domain.errors import ConfigError, UnavailableError
from callpoint.domain.offline_journal import BEGINNING, LeftOffline, link_hash
from tests.fakes.clock import SeededRandom

AT = datetime(2026, 3, 1, tzinfo=UTC)


def entry(n: int) -> LeftOffline:
    return LeftOffline(f"s{n}", "closed", AT)


def opened(folder: Path, seed: int = 1) -> FileJournal:
    return FileJournal(folder / "deep" / "front", SeededRandom(seed))


def reopened(made: FileJournal, folder: Path) -> FileJournal:
    made.close()
    return opened(folder, 2)


def test_what_was_appended_is_there_after_a_restart_and_chained(tmp_path):
    """Another process reads the same entries under the same name, each hashed onto the last."""
    made = opened(tmp_path)
    name = made.name
    made.append([entry(1), entry(2)])
    made.append([entry(3)])
    after = reopened(made, tmp_path)
    assert after.name == name
    head = BEGINNING
    for n, one in enumerate(after.waiting(), 1):
        assert (one.seq, one.entry) == (n, entry(n))
        assert one.hash == link_hash(n, head, one.entry)
        head = one.hash
    assert (tmp_path / "deep" / "front").stat().st_mode & 0o077 == 0
    after.close()


def test_what_was_told_is_forgotten_and_the_chain_goes_on(tmp_path):
    """The next entry has the next number and hangs on the last one, also after a restart."""
    made = opened(tmp_path)
    made.append([entry(1), entry(2), entry(3)])
    last = made.waiting()[1].hash
    made.forget(2)
    after = reopened(made, tmp_path)
    assert [one.seq for one in after.waiting()] == [3]
    assert after.waiting()[0].hash == link_hash(3, last, entry(3))
    after.forget(3)
    after.append([entry(4)])
    assert [one.seq for one in after.waiting()] == [4]
    after.close()


def test_a_torn_line_is_no_entry_and_spoils_none(tmp_path):
    """What a death cut short never took effect; what comes after it stands on a line of its own."""
    made = opened(tmp_path)
    made.append([entry(1)])
    made.close()
    with (tmp_path / "deep" / "front").open("ab") as file:
        file.write(b'{"seq":2,"hash":"ab')
    torn = opened(tmp_path)
    assert [one.seq for one in torn.waiting()] == [1]
    torn.append([entry(2)])
    after = reopened(torn, tmp_path)
    assert [one.entry for one in after.waiting()] == [entry(1), entry(2)]
    after.close()


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_what_cannot_be_written_is_not_there(tmp_path, monkeypatch, call):
    """A full or failing disk is told, and nothing of it is read back; afterwards it goes on."""
    made = opened(tmp_path)
    made.append([entry(1)])
    true = getattr(os, call)

    def fail(*_: object) -> int:
        monkeypatch.setattr(os, call, true)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(UnavailableError, match="cannot be put on record"):
        made.append([entry(2)])
    made.append([entry(3)])
    after = reopened(made, tmp_path)
    assert [(one.seq, one.entry) for one in after.waiting()] == [(1, entry(1)), (2, entry(3))]
    after.close()


@pytest.mark.parametrize("nth", [1, 2])
def test_what_is_written_after_a_failed_forgetting_outlives_the_process(tmp_path, monkeypatch, nth):
    """No file can be opened for a moment (EMFILE): what is let through next is on the disk."""
    made = opened(tmp_path)
    made.append([entry(1), entry(2)])
    true, calls = os.open, iter(range(1, 9))

    def fail(*given: object) -> int:
        if next(calls) == nth:
            raise OSError(errno.EMFILE, "Too many open files")
        return true(*given)  # type: ignore[arg-type]  # as it was called

    with monkeypatch.context() as patch, contextlib.suppress(UnavailableError):
        patch.setattr(os, "open", fail)
        made.forget(1)
    made.append([entry(3)])
    assert made._is_placed
    after = reopened(made, tmp_path)
    assert [one.entry for one in after.waiting()][-2:] == [entry(2), entry(3)]
    after.close()


def test_a_long_journal_is_not_written_anew_for_each_part_that_is_told(tmp_path):
    """Parts are marked as told, durably; the file is written anew only when most of it was."""
    made = opened(tmp_path)
    made.append([entry(n) for n in range(1, 1001)])
    path, begun = tmp_path / "deep" / "front", set()
    for told in range(50, 1001, 50):
        made.forget(told)
        begun.add(path.read_bytes().partition(b"\n")[0])
        copy = tmp_path / f"{told}" / "deep"
        copy.mkdir(parents=True)
        (copy / "front").write_bytes(path.read_bytes())
        after = opened(copy.parent)
        assert after.name == made.name
        assert after.waiting() == made.waiting()
        assert [one.seq for one in after.waiting()] == list(range(told + 1, 1001))
        after.append([entry(1001)])
        assert after.waiting()[-1].seq == 1001
        after.close()
    assert len(begun) <= 6
    made.close()


def test_a_mark_that_a_death_cut_short_tells_nothing(tmp_path):
    """Wherever it was cut, what it marks is told again, and what comes behind it is read."""
    made = opened(tmp_path)
    made.append([entry(n) for n in range(1, 6)])
    path = tmp_path / "deep" / "front"
    before = len(path.read_bytes())
    made.forget(2)
    made.close()
    whole = path.read_bytes()
    assert before < len(whole)
    for cut in (*range(before, len(whole), 16), *range(len(whole) - 3, len(whole) + 1)):
        path.write_bytes(whole[:cut])
        torn = opened(tmp_path)
        is_told = cut >= len(whole) - 1  # without the end of its line as well
        assert [one.seq for one in torn.waiting()] == [1, 2, 3, 4, 5][2 * is_told :]
        torn.append([entry(6)])
        after = reopened(torn, tmp_path)
        assert [one.seq for one in after.waiting()] == [1, 2, 3, 4, 5, 6][2 * is_told :]
        after.close()


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_mark_that_cannot_be_written_tells_nothing(tmp_path, monkeypatch, call):
    """It is told again, and what is appended next is on the disk."""
    made = opened(tmp_path)
    made.append([entry(n) for n in range(1, 6)])
    waits, true = made.waiting(), getattr(os, call)

    def fail(*_: object) -> int:
        monkeypatch.setattr(os, call, true)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(UnavailableError):
        made.forget(2)
    assert made.waiting() == waits
    made.append([entry(6)])
    after = reopened(made, tmp_path)
    assert [one.entry for one in after.waiting()] == [entry(n) for n in range(1, 7)]
    after.close()


@pytest.mark.parametrize("restarted", [False, True])
def test_what_was_told_takes_no_place_that_is_needed(tmp_path, monkeypatch, restarted):
    """A full file is written anew without it, and then there is room."""
    made = opened(tmp_path)
    made.append([entry(n) for n in range(1, 10)])
    made.forget(4)
    if restarted:
        made = reopened(made, tmp_path)
    path = tmp_path / "deep" / "front"
    monkeypatch.setattr(journal, "MOST_BYTES", path.stat().st_size)
    made.append([entry(10), entry(11)])
    after = reopened(made, tmp_path)
    assert [one.seq for one in after.waiting()] == list(range(5, 12))
    assert path.stat().st_size < journal.MOST_BYTES
    after.close()


def test_it_does_not_grow_without_end(tmp_path, monkeypatch):
    """Beyond its size nothing is taken until it was told."""
    monkeypatch.setattr(journal, "MOST_BYTES", 400)
    made = opened(tmp_path)
    made.append([entry(1)])
    with pytest.raises(UnavailableError, match="nobody took"):
        made.append([entry(n) for n in range(9)])
    made.forget(1)
    made.append([entry(2)])
    made.close()


def test_one_process_has_it_and_a_damaged_one_is_kept_aside(tmp_path):
    """A second one is refused; a file that does not begin as it must is moved, not overwritten."""
    made = opened(tmp_path)
    with pytest.raises(ConfigError, match="cannot be used"):
        opened(tmp_path, 2)
    name = made.name
    made.close()
    (tmp_path / "deep" / "front").write_bytes(b"not a journal\n")
    fresh = opened(tmp_path, 3)
    assert fresh.name != name
    (aside,) = (tmp_path / "deep").glob("*.damaged")
    assert aside.read_bytes() == b"not a journal\n"
    fresh.close()
