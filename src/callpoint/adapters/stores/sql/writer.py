"""The one thread that writes: it takes callers in batches, and owns the only writing connection."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

from callpoint.adapters.stores.sql.answers import Answers, Reply
from callpoint.adapters.stores.sql.batch import Batch, Job, TransactionLostError
from callpoint.adapters.stores.sql.connection import Connect, Connection
from callpoint.adapters.stores.sql.ledger import LogAccess
from callpoint.adapters.stores.sql.signals import Signals
from callpoint.domain.errors import CallpointError, LogUnavailableError, StoreUnavailableError

GATHER_SECONDS = 0.001
"""How long a batch may wait for the next caller while as many callers are expected as the batch
before had: they come back as soon as they have their answers, and one commit serves them all."""

BATCH_LIMIT = 256
"""Most callers in one transaction: bounds how long the first of them waits for its answer."""


@dataclass(slots=True, eq=False)
class Errand:
    """Something for the writer to do alone, between batches, in a transaction of its own.

    ``work`` commits, or what it wrote is taken back.
    """

    work: Callable[[Connection], Any]
    reply: Reply = field(default_factory=Reply)


@dataclass(slots=True, eq=False)
class _Stop:
    """Nothing comes after it."""


class Writer:
    """Owns the writing thread.

    Args:
        connect: Opens the writing connection, again after it was lost.
        ledger: The log.
        name: The thread's name.
        await_number: Takes over a caller that is committed, but whose events another process
            numbers; it answers the caller.

    Attributes:
        answers: How callers wait for what they handed in.
        signals: Who hears what callers signalled, before the callers have their answers.
    """

    def __init__(
        self,
        connect: Connect,
        ledger: LogAccess,
        name: str,
        await_number: Callable[[Job], None] = Job.answer,
    ) -> None:
        self.answers = Answers()
        self.signals = Signals()
        self._await_number = await_number
        self._connect = connect
        self._ledger = ledger
        self._connection: Connection | None = None
        self._queue: SimpleQueue[Job | Errand | _Stop] = SimpleQueue()
        self._log_failed: LogUnavailableError | None = None
        self._is_stopped = False
        self._expected = 1
        self._door = Lock()  # between `submit` and `stop`: nothing may be put behind the last task
        self._thread = Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    async def done(self, task: Job | Errand) -> Any:  # noqa: ANN401 -- whatever it comes to
        """Hand it in and wait; who gives up takes back what has not begun."""
        waiter = self.answers.wait(task.reply)
        self._submit(task)
        try:
            return await waiter
        except asyncio.CancelledError:
            task.reply.claim()
            raise

    def ask(self, task: Job | Errand) -> "Future[Any]":
        """Hand it in, from a thread that waits."""
        future = task.reply.blocking()
        self._submit(task)
        return future

    def _submit(self, task: Job | Errand) -> None:
        """After `stop` it fails at once."""
        with self._door:
            is_late = self._is_stopped
            if not is_late:
                self._queue.put(task)
        if is_late:
            task.reply.fail(StoreUnavailableError("the store is closed"))

    def stop(self) -> None:
        """Finish what was handed in, then end the thread. Blocks."""
        with self._door:
            if not self._is_stopped:
                self._is_stopped = True
                self._queue.put(_Stop())
        self._thread.join()

    def _serve(self) -> None:
        goes_on = True
        while goes_on:
            tasks, goes_on = self._take()
            jobs = [task for task in tasks if isinstance(task, Job)]
            self._guarded(jobs, partial(self._run_all, jobs))
            for task in tasks:
                if isinstance(task, Errand):
                    self._guarded([task], partial(self._run_errand, task))
        self._disconnect()

    def _take(self) -> tuple[list[Job | Errand], bool]:
        """Wait for a task, and take what else is there or about to be; False after the last."""
        tasks: list[Job | Errand] = []
        goes_on, waits = True, True
        try:
            task = self._queue.get()
            while not isinstance(task, _Stop):
                # A caller that gave up while it waited gets nothing done; from here on it would.
                if task.reply.claim():
                    tasks.append(task)
                if len(tasks) >= BATCH_LIMIT:
                    break
                # What takes away waits for nobody.
                waits = waits and not (isinstance(task, Job) and task.urgent)
                patience = GATHER_SECONDS if waits and len(tasks) < self._expected else 0
                task = self._queue.get(timeout=patience) if patience else self._queue.get_nowait()
            else:
                goes_on = False
        except Empty:
            pass  # nobody else comes for now
        self._expected = len(tasks)
        return tasks, goes_on

    def _guarded(self, tasks: Sequence[Job | Errand], run: Callable[[], None]) -> None:
        """Whatever goes wrong, every caller is answered and the thread goes on."""
        try:
            run()
        except BaseException as error:  # noqa: BLE001 -- a dead writer would leave all callers waiting
            self._disconnect()
            for task in tasks:
                if not task.reply.is_given:
                    task.reply.fail(error)

    def _run_all(self, jobs: list[Job]) -> None:
        waiting = jobs
        if self._log_failed is not None and any(not job.urgent for job in jobs):
            # What takes away goes first, and does not wait for another try of the log.
            self._run_until_done([job for job in jobs if job.urgent], self._log_failed)
            waiting, self._log_failed = [job for job in jobs if not job.urgent], None
        self._run_until_done(waiting, self._log_failed)

    def _run_until_done(self, jobs: list[Job], down: LogUnavailableError | None) -> None:
        """Run batches until each job has an answer; each round answers or removes one at least."""
        while jobs:
            try:
                later = self._attempt(jobs, down)
            except TransactionLostError as lost:
                self._disconnect()
                lost.job.answer()
                jobs = [job for job in jobs if job is not lost.job]
                continue
            with self.answers.together():
                self._answer([job for job in jobs if job not in later])
            jobs = later

    def _answer(self, jobs: list[Job]) -> None:
        for job in jobs:
            self.signals.tell(job.signals)
            if job.spooled and not job.urgent:
                self._await_number(job)
            else:
                job.answer()

    def _attempt(self, jobs: list[Job], down: LogUnavailableError | None) -> list[Job]:
        batch = Batch(self._connected(), self._ledger, down)
        try:
            return batch.run(jobs)
        except LogUnavailableError as error:
            self._log_failed = error
            return Batch(self._connected(), self._ledger, error).run(jobs)

    def _run_errand(self, errand: Errand) -> None:
        connection = self._connected()
        connection.begin_write()
        try:
            value = errand.work(connection)
        except StoreUnavailableError:
            raise  # the connection may be lost: it is not used again
        except CallpointError as error:
            errand.reply.fail(error)
            return
        finally:
            connection.rollback()
        self._log_failed = None  # errands are how somebody asks for another try
        errand.reply.give(value)

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
