"""The store as its callers see it: implements ``ports.stores.Store`` over a writer and readers."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Self, TypeVar

from callpoint.adapters.stores.sql.batch import Job
from callpoint.adapters.stores.sql.connection import Connection
from callpoint.adapters.stores.sql.ledger import Ledger, LogAccess
from callpoint.adapters.stores.sql.place import settle
from callpoint.adapters.stores.sql.readers import Readers
from callpoint.adapters.stores.sql.recovery import recover
from callpoint.adapters.stores.sql.writer import Errand, Writer
from callpoint.audit.entry import format_time
from callpoint.domain.errors import ConflictError, LogUnavailableError
from callpoint.domain.event import ClockAccepted, LogRecovered
from callpoint.domain.ids import INSTALLATION_STREAM
from callpoint.ports.stores import RecordName, Transaction, View

T = TypeVar("T")


class SqlStore:
    """State and event log of one installation. Made by the ``open`` of a database's own class.

    Attributes:
        place: Where its database is (``sql/place.py``).
    """

    def __init__(
        self, writer: Writer, readers: Readers, ledger: LogAccess, place: str = ""
    ) -> None:
        self.place = place
        self._ledger = ledger
        self._writer = writer
        self._readers = readers

    async def begin(self) -> Self:
        """Look at the log once, so that an empty one has its checkpoint file from the start."""
        try:
            await self.log_works()
        except BaseException:
            await self.close()
            raise
        return self

    async def transact(
        self,
        work: Callable[[Transaction], T],
        *,
        urgent: bool = False,
        compares: Sequence[RecordName] = (),
    ) -> T:
        value: T = await self._writer.done(Job(work, urgent, compares))
        return value

    async def read(self, work: Callable[[View], T]) -> T:
        return await self._readers.run(work)

    def listen(self, hear: Callable[[str], None]) -> None:
        self._writer.signals.add(hear)

    async def log_works(self) -> bool:
        try:
            await self.check_log()
        except LogUnavailableError:
            return False
        return True

    async def check_log(self) -> None:
        """Say why the log does not work, if it does not.

        Raises:
            LogUnavailableError: With the reason and the way out.
        """
        await self._writer.done(Errand(self._ledger.try_signer))

    async def merge_spool(self) -> int:
        await self.log_works()  # a log that failed before is tried again
        waiting: int = await self._writer.done(Job(lambda tx: tx.waiting(), urgent=True))
        return waiting

    async def recover(self, reason: str, *, actor: str = "") -> LogRecovered:
        """Go on after the log was halted, under a new origin (``sql/recovery.py``).

        Args:
            reason: Why the operator does it; stands in the log.
            actor: Principal id of the operator, if known.

        Raises:
            ConflictError: The log is not halted.
            TamperError: What is left does not agree with itself.
            LogUnavailableError: The new origin could not be signed or kept, or the log key is
                elsewhere.
        """
        ledger = self._ledger
        if not isinstance(ledger, Ledger):
            raise LogUnavailableError(
                "this process has no log key", way_out="recover where the log key is"
            )

        def work(connection: Connection) -> LogRecovered:
            return recover(connection, ledger, reason, actor)

        recovered: LogRecovered = await self._writer.done(Errand(work))
        return recovered

    async def accept_clock(self, reason: str, *, actor: str = "") -> ClockAccepted:
        """Take the clock as it is now, although it was ahead before (I4).

        Args:
            reason: Why the operator does it; stands in the log.
            actor: Who, as the operator says.

        Raises:
            ConflictError: The clock is not behind: there is nothing to accept.
        """

        def record(transaction: Transaction) -> ClockAccepted:
            behind = transaction.skew()
            if not behind:
                raise ConflictError("the store's clock is not behind: there is nothing to accept")
            ahead = transaction.now()
            event = ClockAccepted(actor=actor, ahead=ahead, accepted=ahead - behind, reason=reason)
            transaction.append(INSTALLATION_STREAM, event)
            return event

        def step_back(connection: Connection) -> None:
            # In a transaction of its own: the one that records it moves the mark to its own time.
            connection.run("UPDATE head SET high_water = ?", (format_time(connection.clock()),))
            connection.commit()

        event = await self.transact(record)
        await self._writer.done(Errand(step_back))
        return event

    async def settle(self) -> None:
        """Where the database is now, it is at home: a server starts on it there from now on."""

        def work(connection: Connection) -> None:
            settle(connection, self.place)
            connection.commit()

        await self._writer.done(Errand(work))

    async def close(self) -> None:
        await asyncio.to_thread(self._writer.stop)
        await asyncio.to_thread(self._readers.close)
