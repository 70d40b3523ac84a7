"""Journals of gateways, whole and damaged, through the file that holds them.

What must hold, whatever is in the file:

* it is opened; what does not begin as a journal is kept beside it, to the last byte;
* what is appended stands behind what was read, in its chain, after a restart as well;
* of what was read nothing is lost but what was told, and that is never read again.

A case is one byte for how much is told, and the file.
"""

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from callpoint.adapters.journals.files import FileJournal
from callpoint.domain.allowance import Portion, Used
from callpoint.domain.errors import UnavailableError
from callpoint.domain.offline_journal import (
    BEGINNING,
    Chained,
    DecidedOffline,
    FinishedOffline,
    GrantUsed,
    JournalEntry,
    LeftOffline,
    ReportedLate,
    chained,
    link_hash,
)
from callpoint.domain.operation import Operation
from tests.fakes.clock import SeededRandom
from tests.fuzz.target import Check, FoundError

_AT = datetime(2026, 3, 1, tzinfo=UTC)
_ENTRIES: tuple[JournalEntry, ...] = (
    GrantUsed("s1", "e30.e30.e30"),
    DecidedOffline(
        "s1", 1, "ab" * 32, _AT, (Operation("sql:select", "public.items"),), allowed=True,
        portion=Portion(10, None),
    ),
    FinishedOffline("s1", 1, Used(3, 4), _AT, "", timedelta(milliseconds=7)),
    ReportedLate("s2", 9, Used(1, 1), _AT, "cut"),
    LeftOffline("s1", "closed", _AT),
)  # fmt: skip
_LAST_PLACE, _MARKED = 1 << 53, 0.2
_MEMORY = "/dev/shm"  # noqa: S108 -- a folder of our own is made in it
_LAST = LeftOffline("s9", "é", _AT)
_WORDS = (
    b'{"seq":', b'"hash":"', b'"entry":{', b'"type":"left"', b'"journal":', b'"head":', b"\n",
    b"\r", b"[" * 1500, b'"\xff"', b"18446744073709551615", b"18446744073709551616", b"-1",
    b"9007199254740992", b"9007199254740991",
    b'"9999-12-31T23:59:59Z"', b'"0001-01-01T00:00:00+23:59"', b'"P999999999D"', b'"-P1D"',
)  # fmt: skip


def _judge(folder: Path, case: bytes) -> str:
    path = folder / "front"
    path.write_bytes(case[1:])
    journal = FileJournal(path, SeededRandom(1))
    try:
        read = journal.waiting()
        aside = sorted(folder.glob("*.damaged"))
        _must([one.read_bytes() for one in aside] in ([], [case[1:]]), "damage that is gone")
        if read and read[-1].seq == _LAST_PLACE:
            return _full(journal)
        journal.append((_LAST,))
    finally:
        journal.close()
    made = _reread(path, read)
    journal = FileJournal(path, SeededRandom(2))
    try:
        told = (case[0] if case else 0) * len(read) // 256
        seq = read[told].seq if read else 0
        journal.forget(seq)
        left = journal.waiting()
        _must(left == tuple(one for one in (*read, made) if one.seq > seq), "another one was told")
        if left and left[-1].seq < _LAST_PLACE:
            journal.append((_LAST,))
    finally:
        journal.close()
    if left and left[-1].seq < _LAST_PLACE:
        _reread(path, left)
    return f"{len(read)} {bool(aside)} {case.endswith(bytes([10]))}"


def _full(journal: FileJournal) -> str:
    """Nothing is taken that would not be read."""
    before = journal.waiting()
    try:
        journal.append((_LAST,))
    except UnavailableError:
        _must(journal.waiting() == before, "something was taken")
        return "full"
    raise FoundError("a place that is not read")


def _reread(path: Path, before: tuple[Chained, ...]) -> Chained:
    """What the next process reads: that, and then what was appended, which is returned."""
    journal = FileJournal(path, SeededRandom(3))
    try:
        *found, made = journal.waiting()
    finally:
        journal.close()
    _must(tuple(found) == before, "something was lost")
    _must(made.entry == _LAST, "what was appended is another")
    if before:
        last = before[-1]
        _must(made.seq == last.seq + 1, "another place")
        _must(made.hash == link_hash(made.seq, last.hash, _LAST), "another chain")
    return made


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise FoundError(what)


@dataclass
class GatewayJournalTarget:
    """Implements ``tests.fuzz.target.Target``."""

    session: int = 1000

    @property
    def words(self) -> tuple[bytes, ...]:
        return _WORDS

    def make(self, chance: random.Random) -> bytes:
        seq, head = chance.choice(((0, BEGINNING), (7, "cd" * 32)))
        lines = [msgspec.json.encode({"journal": "j" * 20, "seq": seq, "head": head})]
        for _ in range(chance.randrange(8)):
            made = chained(seq + 1, head, chance.choice(_ENTRIES))
            seq, head = made.seq, made.hash
            lines.append(msgspec.json.encode(made))
            if chance.random() < _MARKED:
                mark = {"journal": "j" * 20, "seq": seq - 1, "head": BEGINNING}
                lines.append(msgspec.json.encode(mark))
        return bytes([chance.randrange(256)]) + b"\n".join(lines) + b"\n"

    @contextmanager
    def open(self) -> Iterator[Check]:
        # What is in the file is the question: where memory can keep it, no disk is waited for.
        memory = _MEMORY if Path(_MEMORY).is_dir() else None
        with tempfile.TemporaryDirectory(prefix="callpoint-journal-", dir=memory) as folder:

            def check(case: bytes) -> str:
                for old in Path(folder).iterdir():
                    old.unlink()
                return _judge(Path(folder), case)

            yield check


TARGET = GatewayJournalTarget()
