"""A world on a SQLite file, for somebody who can write to that file and owns no key but their own.

The log key, the pinned checkpoint and the governors' keys are elsewhere: that is all that counts.
"""

import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path

import msgspec
import pyrage

from callpoint.adapters.stores.sql.rows import kind_name, row_of
from callpoint.adapters.stores.sqlite import SqliteStore
from callpoint.audit.log import draft
from callpoint.domain import event as ev
from callpoint.domain.eligibility import BudgetRule
from callpoint.domain.record import Record
from callpoint.ports.stores import Store
from tests.fakes.clock import SeededRandom, SimulatedClock
from tests.fakes.keys import MemoryLogSigner
from tests.fakes.world import INSTALLATION, ORIGIN, World, assemble, eligibility

_REPLACE = """
INSERT OR REPLACE INTO records
    (kind, key, version, state, parent, subject, due_at, priority, body, first_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


class Quarry:
    """A folder with the database and the checkpoint that is kept outside it.

    Attributes:
        row: The column that names a row of any table.
        refusals: What the database raises when its schema does not let a change through.
    """

    row = "rowid"
    refusals: tuple[type[Exception], ...] = (sqlite3.IntegrityError,)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = SimulatedClock(auto=True)
        self.keys: dict[str, pyrage.x25519.Identity] = {}

    @property
    def database(self) -> Path:
        return self.folder / "state.db"

    def copy(self, folder: Path) -> "Quarry":
        """The same at another place, to be spoilt."""
        shutil.copytree(self.folder, folder)
        made = Quarry(folder)
        made.clock = SimulatedClock(self.clock.now(), auto=True)
        made.keys = dict(self.keys)
        made.execute("UPDATE head SET place = ''")  # or it would be held as a copy
        return made

    @asynccontextmanager
    async def world(self, seed: int = 2) -> AsyncIterator[World]:
        """A server's process on it, with targets that know nothing yet."""
        store = await SqliteStore.open(
            self.database,
            signer=MemoryLogSigner(ORIGIN),
            clock=self.clock,
            checkpoint_file=self.folder / "checkpoint",
            origin=ORIGIN,
            installation=INSTALLATION,
        )
        try:
            yield self.over(store, seed)
        finally:
            await store.close()

    def over(self, store: Store, seed: int) -> World:
        """What a server's process has over its store."""
        rule = eligibility(budget=BudgetRule(incidents=9, per=timedelta(days=90)))
        random = SeededRandom(seed)
        made = assemble(rule, store=store, clock=self.clock, random=random, targets={})
        made.keys = self.keys
        return made

    def execute(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """As whoever can write to the file, past the triggers that guard against accidents."""
        with closing(sqlite3.connect(self.database)) as file, file:
            file.execute("PRAGMA synchronous = OFF")  # a change that a power cut loses is none
            for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
                file.execute(f"DROP TRIGGER {name}")
            return file.execute(statement, values).fetchall()

    def columns(self, table: str) -> list[str]:
        """Of a table, in order."""
        return [str(row[1]) for row in self.execute(f"PRAGMA table_info({table})")]

    def put(self, record: Record) -> None:
        """A row that agrees with itself."""
        made = record.stored(max(record.version, 1))
        at = self.clock.now().isoformat()
        self.execute(_REPLACE, (kind_name(type(record)), *row_of(made), at))

    def spool(self, stream: str, event: ev.AnyEvent) -> None:
        """An event that waits for its number, and gets it from whoever holds the log key."""
        made = draft(stream, event, self.clock.now())
        self.execute(
            "INSERT INTO spool (stream, closes, draft) VALUES (?, ?, ?)",
            (stream, int(made.closes), msgspec.json.encode(made)),
        )
