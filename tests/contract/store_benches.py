"""Stores to test: each bench makes one, and does to it from outside what a bad day does."""

import secrets
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import msgspec
import psycopg

from callpoint.adapters.stores.postgresql import PostgresStore
from callpoint.adapters.stores.sqlite import SqliteStore
from callpoint.audit.checkpoint import Checkpoint, open_checkpoint
from callpoint.audit.note import Verifier
from callpoint.domain import event as ev
from callpoint.domain.eligibility import Severity
from callpoint.domain.errors import LogUnavailableError
from callpoint.domain.record import Index
from callpoint.ports.stores import Store, Transaction, View
from tests.fakes.clock import SimulatedClock
from tests.fakes.keys import MemoryLogSigner
from tests.fakes.memory_store import MemoryStore
from tests.servers import FreshDatabase

INSTALLATION = "abc123"
ORIGIN = "callpoint/abc123"


class Thing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record with every column."""

    id: str
    state: str = "live"
    parent: str = ""
    subject: str = ""
    due: datetime | None = None
    priority: int = 0
    count: int = 0
    version: int = 0

    def key(self) -> str:
        return self.id

    def index(self) -> Index:
        return Index(
            state=self.state,
            parent=self.parent,
            subject=self.subject,
            due_at=self.due,
            priority=self.priority,
        )

    def stored(self, version: int) -> "Thing":
        return msgspec.structs.replace(self, version=version)


class Other(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A second kind, whose keys may equal the first's."""

    id: str
    version: int = 0

    def key(self) -> str:
        return self.id

    def index(self) -> Index:
        return Index()

    def stored(self, version: int) -> "Other":
        return msgspec.structs.replace(self, version=version)


class FragileSigner:
    """Signs until it is told to break.

    Attributes:
        is_broken: Whether ``sign`` raises.
        signed: The checkpoint texts that were signed, in order.
    """

    def __init__(self, name: str = ORIGIN) -> None:
        self._inner = MemoryLogSigner(name)
        self.is_broken = False
        self.signed: list[str] = []

    @property
    def verifier_key(self) -> str:
        return self._inner.verifier_key

    def sign(self, text: str) -> str:
        if self.is_broken:
            raise LogUnavailableError("the signer is broken")
        self.signed.append(text)
        return self._inner.sign(text)


class Bench(Protocol):
    """One installation's store, and hands on what lies under it."""

    signer: FragileSigner

    async def open(self) -> Store:
        """Open the store; again after a close it is the same one."""
        ...

    def jump(self, span: timedelta) -> None:
        """Move the store's clock."""
        ...

    def break_log(self, *, broken: bool = True) -> None:
        """The log cannot be signed."""
        ...


class DiskBench(Bench, Protocol):
    """A store that lies on a disk."""

    checkpoint_file: Path

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """What somebody with the database's password does."""
        ...

    def back_up(self) -> None:
        """Copy the closed database."""
        ...

    def restore(self) -> None:
        """Put the copy in the closed database's place."""
        ...


class MemoryBench:
    """The fake that the lifecycle's tests use."""

    def __init__(self) -> None:
        self.signer = FragileSigner()
        self._clock = SimulatedClock()
        self._store = MemoryStore(
            signer=self.signer, clock=self._clock, origin=ORIGIN, installation=INSTALLATION
        )

    async def open(self) -> Store:
        return self._store

    def jump(self, span: timedelta) -> None:
        self._clock.jump(span)

    def break_log(self, *, broken: bool = True) -> None:
        self._store.log_down = broken


class SqliteBench:
    """A file."""

    def __init__(self, folder: Path) -> None:
        self.signer = FragileSigner()
        self.checkpoint_file = folder / "checkpoint"
        self.path = folder / "state.db"
        self._copy = folder / "backup.db"
        self.clock = SimulatedClock()

    async def open(self, *, allow_moved: bool = False) -> SqliteStore:
        return await SqliteStore.open(
            self.path,
            signer=self.signer,
            clock=self.clock,
            checkpoint_file=self.checkpoint_file,
            origin=ORIGIN,
            installation=INSTALLATION,
            allow_moved=allow_moved,
        )

    def jump(self, span: timedelta) -> None:
        self.clock.jump(span)

    def break_log(self, *, broken: bool = True) -> None:
        self.signer.is_broken = broken

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.path)) as database, database:
            return database.execute(statement).fetchall()

    def back_up(self) -> None:
        with closing(sqlite3.connect(self.path)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(self.path, self._copy)

    def restore(self) -> None:
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        shutil.copy(self._copy, self.path)


class PostgresBench:
    """A schema on a real server."""

    def __init__(self, folder: Path, database: FreshDatabase) -> None:
        self.signer = FragileSigner()
        self.checkpoint_file = folder / "checkpoint"
        self.database = database
        self.schema = f"s_{secrets.token_hex(6)}"
        self._offset = timedelta(0)

    async def open(
        self,
        *,
        has_key: bool = True,
        checkpoint_file: Path | None = None,
        allow_moved: bool = False,
    ) -> PostgresStore:
        return await PostgresStore.open(
            self.database.owner_url,
            signer=self.signer if has_key else None,
            checkpoint_file=checkpoint_file or self.checkpoint_file,
            origin=ORIGIN,
            installation=INSTALLATION,
            schema=self.schema,
            allow_moved=allow_moved,
            number_within=timedelta(seconds=2),
            clock_offset=lambda: self._offset,
        )

    def jump(self, span: timedelta) -> None:
        self._offset += span

    def break_log(self, *, broken: bool = True) -> None:
        self.signer.is_broken = broken

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.database.owner_url, autocommit=True) as owner:
            owner.execute(f"SET search_path = {self.schema}")
            cursor = owner.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def back_up(self) -> None:
        self.execute(f"DROP SCHEMA IF EXISTS {self.schema}_copy CASCADE")
        self.execute(f"CREATE SCHEMA {self.schema}_copy")
        for table in self._tables():
            self.execute(f"CREATE TABLE {self.schema}_copy.{table} AS TABLE {table}")

    def restore(self) -> None:
        # Roles that restore backups pass over triggers too.
        for table in self._tables():
            self.execute(
                f"SET session_replication_role = replica; TRUNCATE {table}; INSERT INTO {table} "
                f"OVERRIDING SYSTEM VALUE TABLE {self.schema}_copy.{table}"
            )

    def _tables(self) -> list[str]:
        query = (
            f"SELECT table_name FROM information_schema.tables "
            f"WHERE table_schema = '{self.schema}' AND table_name <> 'writer'"
        )
        return [str(row[0]) for row in self.execute(query)]


def issued(lease: str = "abc123abcdefghijkl00") -> ev.AnyEvent:
    """An ordinary event."""
    return ev.LeaseIssued(lease=lease, target="orders-db", box_sha256="a" * 64)


def closing_event() -> ev.AnyEvent:
    """The last event of a stream."""
    return ev.ActivationWithdrawn()


def private_event(words: str = "the database is on fire") -> ev.AnyEvent:
    """An event with a personal value."""
    return ev.IncidentDeclared(
        incident="INC-7",
        severity=Severity.SEV1,
        targets=("orders-db",),
        person="alice",
        private={"words": ev.Private(salt=b"0123456789abcdef", value=words)},
    )


def add(stream: str, *events: ev.AnyEvent) -> Callable[[Transaction], None]:
    """Work that appends events."""

    def work(transaction: Transaction) -> None:
        for event in events:
            transaction.append(stream, event)

    return work


def signed(view: View, signer: FragileSigner, origin: str = ORIGIN) -> Checkpoint:
    """The newest checkpoint, verified."""
    return open_checkpoint(
        view.checkpoint().encode(), [Verifier.parse(signer.verifier_key)], origin
    )
