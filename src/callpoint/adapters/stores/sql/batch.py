"""One transaction of the writer: several callers, each in a savepoint, one checkpoint, one commit.

A caller that fails takes back only its own writes. Events get their numbers as their callers
finish, and are written with one signature at the end. When the log cannot be extended the whole
attempt is taken back and made again without it: the urgent callers' events go into the spool, the
others are told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from callpoint.adapters.stores.sql.answers import Reply
from callpoint.adapters.stores.sql.connection import Connection
from callpoint.adapters.stores.sql.ledger import (
    LogAccess,
    forget_spooled,
    spool,
    spooled,
)
from callpoint.adapters.stores.sql.savepoint import Savepoint
from callpoint.adapters.stores.sql.transaction import ReadTooSoonError, SqlTransaction
from callpoint.adapters.stores.sql.view import Moment, SqlView, read_moment
from callpoint.audit.entry import EntryError, format_time
from callpoint.audit.log import Head, Numbered, Ready, StreamEnd, assign
from callpoint.domain.errors import CallpointError, ConflictError, LogUnavailableError, TamperError
from callpoint.ports.stores import RecordName

Work = Callable[[SqlTransaction], Any]


@dataclass(slots=True, eq=False)
class Job:
    """One caller: what it wants done, and what became of it once its batch is committed."""

    work: Work
    urgent: bool
    compares: Sequence[RecordName] = ()
    reply: Reply = field(default_factory=Reply)
    value: Any = None
    error: BaseException | None = None
    is_logged: bool = False
    spooled: list[int] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)

    def forget(self) -> None:
        """Its batch was taken back: whatever it came to does not count."""
        self.value, self.error, self.is_logged = None, None, False
        self.spooled, self.signals = [], []

    def answer(self) -> None:
        """Wake the caller."""
        if self.error is not None:
            self.reply.fail(self.error)
        else:
            self.reply.give(self.value)


class TransactionLostError(Exception):
    """The database ended the whole transaction while it served one caller (disk full, no answer).

    Attributes:
        job: The caller that met it; the others may be tried again without it.
    """

    def __init__(self, job: Job) -> None:
        super().__init__("the database ended the transaction")
        self.job = job


class Batch:
    """One attempt at one transaction.

    Args:
        connection: The writer's, without an open transaction.
        ledger: The log.
        down: Why the log is not to be tried at all, None to try it.
    """

    def __init__(
        self, connection: Connection, ledger: LogAccess, down: LogUnavailableError | None
    ) -> None:
        self._connection = connection
        self._ledger = ledger
        self.down = down
        self._head: Head | None = None
        self._entries: list[Numbered] = []
        self._ends: dict[str, StreamEnd] = {}
        self._stored_ends: dict[str, StreamEnd | None] = {}
        self._versions: dict[RecordName, int] = {}
        self._must_commit = False
        self._gives = False

    def run(self, jobs: Sequence[Job]) -> list[Job]:
        """Serve the jobs and commit. A job's ``value`` or ``error`` says what became of it.

        Returns:
            The jobs that must run again in a later batch.

        Raises:
            LogUnavailableError: Nothing was committed: the log could not be extended.
            TransactionLostError: Nothing was committed: see there.
            StoreUnavailableError: What was committed, if anything, is not known.
        """
        for job in jobs:
            job.forget()
        self._connection.begin_write()
        try:
            moment = self._prepare()
            self._versions = self._looked_up(jobs, moment)
            later = [job for job in jobs if not self._serve(job, moment)]
            self._finish(moment)
        except BaseException:
            self._ledger.abandon()
            raise
        finally:
            self._connection.rollback()  # does nothing after a commit
        self._publish(jobs)
        return later

    def _prepare(self) -> Moment:
        moment = read_moment(self._connection)
        if self.down is None:
            try:
                self._head = self._ledger.load(self._connection)
                if self._head is not None:
                    self._number_spool()
            except (LogUnavailableError, TamperError, ConflictError, EntryError) as error:
                self._head, self._entries, self._ends = None, [], {}
                self.down = _as_log_error(error)
        return moment

    def _looked_up(self, jobs: Sequence[Job], moment: Moment) -> dict[RecordName, int]:
        """Versions that callers will ask for, in one query; who writes a record takes it out."""
        places = list(dict.fromkeys(place for job in jobs for place in job.compares))
        found = SqlView(self._connection, moment).versions(places)
        return dict(zip(places, found, strict=True))

    def _number_spool(self) -> None:
        waiting = spooled(self._connection)
        if waiting:
            # The database's word: whoever can write to it can have put anything there.
            self._keep(self._number([Ready(item.draft) for item in waiting]))
            forget_spooled(self._connection, waiting)
            self._must_commit = True

    def _serve(self, job: Job, moment: Moment) -> bool:
        """Run one caller in its savepoint; False when it must wait for this batch's checkpoint."""
        if self.down is not None and not job.urgent:
            job.error = LogUnavailableError(self.down.message, way_out=self.down.way_out)
            return True
        savepoint = Savepoint(self._connection)
        transaction = SqlTransaction(
            savepoint, moment, self._is_pending, self._is_closed, self._versions
        )
        try:
            value = job.work(transaction)
            spooled = self._settle(transaction, savepoint)
        except BaseException as error:
            # Whatever the caller's work raises is the caller's, and must not fail the others.
            if not self._connection.in_transaction:
                job.error = error
                raise TransactionLostError(job) from error
            savepoint.take_back()
            if transaction.was_too_soon:
                return False
            job.error = error
            return True
        job.value, job.is_logged, job.spooled = value, bool(transaction.drafts), spooled
        job.signals = transaction.signals
        self._must_commit = True
        self._gives = self._gives or not job.urgent
        return True

    def _settle(self, transaction: SqlTransaction, savepoint: Savepoint) -> list[int]:
        """Number or spool a caller's events and keep its savepoint's writes."""
        if transaction.was_too_soon:
            raise ReadTooSoonError  # even if the caller's work has swallowed the first one
        drafts, spooled, numbered = transaction.drafts, [], None
        if drafts and self._head is None:
            spooled = spool(savepoint, [item.draft for item in drafts])
        elif drafts:
            numbered = self._number(drafts)
        savepoint.keep()
        if numbered is not None:
            self._keep(numbered)
        return spooled

    def _number(self, drafts: Sequence[Ready]) -> tuple[Numbered, ...]:
        if self._head is None:
            raise LogUnavailableError("the log is not open")
        start = self._head.size + len(self._entries)
        return assign(start, self._head.installation, drafts, self._find_end)

    def _keep(self, entries: tuple[Numbered, ...]) -> None:
        self._entries.extend(entries)
        self._ends.update((entry.stream, entry.end) for entry in entries)

    def _finish(self, moment: Moment) -> None:
        if not self._must_commit:
            return
        if self._entries and self._head is not None:
            before, self._head = self._head, self._head.grown(self._entries)
            self._ledger.seal(self._connection, before, self._head, self._entries, moment.now)
        else:
            if self._gives and self._head is not None:
                # State without events gives all the same, so it too needs a log that works.
                self._ledger.prove(self._head)
            self._connection.run("UPDATE head SET high_water = ?", (format_time(moment.now),))
        self._connection.commit()

    def _publish(self, jobs: Sequence[Job]) -> None:
        if not self._entries or self._head is None:
            return
        try:
            self._ledger.publish(self._head, self._entries)
        except LogUnavailableError as error:
            words = f"the change stands and is in the log, but {error.message}"
            for job in jobs:
                if job.is_logged and not job.urgent:
                    job.error = LogUnavailableError(words, way_out=error.way_out)

    def _find_end(self, stream: str) -> StreamEnd | None:
        if stream in self._ends:
            return self._ends[stream]
        # Entries are written at the end of the batch, so what is stored does not change meanwhile.
        if stream not in self._stored_ends:
            self._stored_ends[stream] = self._ledger.end(self._connection, stream)
        return self._stored_ends[stream]

    def _is_pending(self, stream: str) -> bool:
        return stream in self._ends

    def _is_closed(self, stream: str) -> bool:
        end = self._find_end(stream)
        if end is not None and end.is_closed:
            return True
        if self._head is not None:
            return False  # the spool is empty: its events have their numbers
        query = "SELECT 1 FROM spool WHERE stream = ? AND closes = 1 LIMIT 1"
        return bool(self._connection.rows(query, (stream,)))


def _as_log_error(error: CallpointError | EntryError) -> LogUnavailableError:
    if isinstance(error, LogUnavailableError):
        return error
    return LogUnavailableError(
        f"the log is halted: {error}", way_out="the spool was changed by hand: investigate"
    )
