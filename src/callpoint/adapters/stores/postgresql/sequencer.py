"""Numbering for processes that hold no log key: the spool is their way to the log.

A process with the key runs a ``Sequencer``: it numbers what others spool, holds one shared
advisory lock for as long as it is connected, and another for as long as its log works. A process
without the key is let in by the second (``RemoteLog``), spools its events with its state, and
answers its callers when the events have left the spool (``Numberings``). Both listen for a
notification, with a short poll behind it: a notification may be late, and is no promise.
"""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Event, Lock, Thread
from time import monotonic

from callpoint.adapters.stores.postgresql.connection import PostgresConnection
from callpoint.adapters.stores.postgresql.migrations import NUMBERED, SPOOLED
from callpoint.adapters.stores.sql.batch import Job
from callpoint.adapters.stores.sql.connection import Connection
from callpoint.adapters.stores.sql.writer import Errand
from callpoint.audit.log import Head, StreamEnd
from callpoint.domain.errors import LogUnavailableError

LOG_WORKS = 0x63616C6C
"""Advisory lock class, with the schema's oid: held, shared, by each process whose log works."""

HAS_KEY = 0x63616C6B
"""Likewise: held, shared, by each process that has the log key, whether its log works or not."""

_POLL_SECONDS = 0.1
_TRY_LOG_SECONDS = 2.0
_RECONNECT_SECONDS = 1.0
_SCHEMA = "(SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
_HOLD = f"SELECT pg_advisory_lock_shared({LOG_WORKS}, {_SCHEMA}::int)"
_LET_GO = f"SELECT pg_advisory_unlock_shared({LOG_WORKS}, {_SCHEMA}::int)"
_SAY_KEY = f"SELECT pg_advisory_lock_shared({HAS_KEY}, {_SCHEMA}::int)"
_IS_HELD = f"""
SELECT 1 FROM pg_locks
WHERE locktype = 'advisory' AND granted AND classid::bigint = ? AND objid = {_SCHEMA}
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
LIMIT 1
"""  # noqa: S608 -- constants

OpenConnection = Callable[[], PostgresConnection]


def is_log_at_work(connection: Connection) -> bool:
    """Whether a process with the log key, whose log works, is connected."""
    return bool(connection.rows(_IS_HELD, (LOG_WORKS,)))


def is_key_at_work(connection: Connection) -> bool:
    """Whether a process with the log key is connected, also one whose log is halted."""
    return bool(connection.rows(_IS_HELD, (HAS_KEY,)))


class RemoteLog:
    """Implements ``sql.ledger.LogAccess`` for a process without the log key."""

    def load(self, connection: Connection) -> Head | None:
        self.try_signer(connection)
        return None

    def seal(self, *_: object) -> None:
        raise LogUnavailableError("this process has no log key")

    def prove(self, *_: object) -> None:
        raise LogUnavailableError("this process has no log key")

    def abandon(self) -> None:
        """Nothing was prepared."""

    def publish(self, *_: object) -> None:
        raise LogUnavailableError("this process has no log key")

    def end(self, connection: Connection, stream: str) -> StreamEnd | None:
        return connection.streams.end(connection, stream)

    def try_signer(self, connection: Connection) -> None:
        if not is_log_at_work(connection):
            raise LogUnavailableError(
                "no process with the log key is at work, or its log is halted",
                way_out="look at `callpoint serve` where the log key is",
            )


class Listener:
    """A thread with a connection of its own that is woken by notifications, and polls behind them.

    Args:
        connect: Opens its connection, again after it was lost.
        channel: What it listens to.
        turn: Called with the connection after each wake-up or poll.
        name: The thread's name.
        hear: Called with the words of each notification, if they matter.
    """

    def __init__(
        self,
        connect: OpenConnection,
        channel: str,
        turn: Callable[[PostgresConnection], None],
        name: str,
        hear: Callable[[str], None] | None = None,
    ) -> None:
        self._connect = connect
        self._channel = channel
        self._turn = turn
        self._hear = hear
        self._stopped = Event()
        self._thread = Thread(target=self._serve, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Blocks for at most a poll."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _serve(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen(self._connect())
            except Exception:  # noqa: BLE001 -- a dead thread would leave its callers waiting for ever
                # Mostly the server is away, which callers are told by a call of their own.
                self._stopped.wait(_RECONNECT_SECONDS)

    def _listen(self, connection: PostgresConnection) -> None:
        try:
            connection.run(f"LISTEN {self._channel}")
            while not self._stopped.is_set():
                self._turn(connection)
                for heard in connection.session.notifies(timeout=_POLL_SECONDS, stop_after=1):
                    if self._hear is not None:
                        self._hear(heard.payload)
        finally:
            connection.close()


class Sequencer:
    """Numbers what processes without the log key have spooled.

    Args:
        connect: Opens its connection.
        ask: Hands a job or errand to this process's writer.
        try_log: Raises LogUnavailableError when the log does not work.
    """

    def __init__(
        self,
        connect: OpenConnection,
        ask: Callable[[Job | Errand], "Future[object]"],
        try_log: Callable[[Connection], None],
    ) -> None:
        self._ask = ask
        self._try_log = try_log
        self._holder: PostgresConnection | None = None
        self._said: PostgresConnection | None = None
        self._next_try = 0.0
        self.listener = Listener(connect, SPOOLED, self._turn, "postgres-sequencer")

    def _turn(self, connection: PostgresConnection) -> None:
        if self._said is not connection:
            connection.rows(_SAY_KEY)
            self._said = connection
        has_work = bool(connection.rows("SELECT 1 FROM spool LIMIT 1"))
        if has_work or monotonic() >= self._next_try:
            self._show(connection, works=self._does_log_work())
            self._next_try = monotonic() + _TRY_LOG_SECONDS
        if has_work and self._holder is connection:
            # An empty urgent job: each batch numbers the spool before anything else.
            self._ask(Job(lambda _: None, urgent=True)).result()

    def _does_log_work(self) -> bool:
        try:
            self._ask(Errand(self._try_log)).result()
        except LogUnavailableError:
            return False
        return True

    def _show(self, connection: PostgresConnection, *, works: bool) -> None:
        """Hold the lock while the log works; with a lost connection the server lets go of it."""
        holds = self._holder is connection
        if works and not holds:
            connection.rows(_HOLD)
            self._holder = connection
        elif holds and not works:
            connection.rows(_LET_GO)
            self._holder = None


class Numberings:
    """Answers callers whose state is committed once their events have left the spool.

    Args:
        connect: Opens its connection.
        limit: Seconds after which a caller is told that the proof is missing.
    """

    def __init__(self, connect: OpenConnection, limit: float) -> None:
        self._limit = limit
        self._waiting: list[tuple[float, Job]] = []
        self._lock = Lock()
        self.listener = Listener(connect, NUMBERED, self._turn, "postgres-numberings")

    def await_number(self, job: Job) -> None:
        """Answer the caller when its events are numbered, or when it took too long."""
        with self._lock:
            self._waiting.append((monotonic() + self._limit, job))

    def abandon(self) -> None:
        """Tell whoever still waits that the proof is missing."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for _, job in waiting:
            _answer_unproven(job)

    def drain(self) -> None:
        """Wait until nobody waits any more, at most as long as the limit."""
        deadline, pause = monotonic() + self._limit, Event()
        while self._waiting and monotonic() < deadline:
            pause.wait(_POLL_SECONDS)

    def _turn(self, connection: PostgresConnection) -> None:
        with self._lock:
            waiting = list(self._waiting)
        if not waiting:
            return
        spooled = self._still_spooled(connection)
        over = monotonic()
        for item in waiting:
            deadline, job = item
            if not spooled.intersection(job.spooled):
                job.answer()
            elif deadline < over:
                _answer_unproven(job)
            else:
                continue
            with self._lock, suppress(ValueError):
                self._waiting.remove(item)

    def _still_spooled(self, connection: PostgresConnection) -> set[int]:
        return {row[0] for row in connection.rows("SELECT id FROM spool")}


def _answer_unproven(job: Job) -> None:
    if job.reply.is_given:
        return
    job.error = LogUnavailableError(
        "the change stands, but its events have no number and no signed checkpoint yet",
        way_out="look at `callpoint serve` where the log key is; they are numbered once it works",
    )
    job.answer()
