"""The log in the database: its head is checked, extended and signed in the writer's transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from callpoint.adapters.stores.sql.checkpoint_file import CheckpointFile
from callpoint.adapters.stores.sql.connection import Connection, Statements
from callpoint.adapters.stores.sql.guard import (
    KeyRing,
    check_follows,
    check_own,
    generation,
    halted,
    open_kept,
)
from callpoint.adapters.stores.sql.public_log import StoredRows
from callpoint.adapters.stores.sql.stream_ends import StreamEnds
from callpoint.audit.checkpoint import Checkpoint
from callpoint.audit.entry import format_time
from callpoint.audit.log import Draft, Head, Numbered, StreamEnd, complete_tiles
from callpoint.audit.merkle import HASH_SIZE, Frontier, ProofError
from callpoint.domain.errors import LogHaltedError, LogUnavailableError, TamperError
from callpoint.domain.untrusted_json import read_json
from callpoint.ports.keys import LogSigner

_INSERT_PERSONAL = "INSERT INTO personal (idx, name, salt, value) VALUES (?, ?, ?, ?)"
_INSERT_TILE = "INSERT INTO tiles (level, n, root, hashes) VALUES (?, ?, ?, ?)"
_INSERT_CHECKPOINT = "INSERT INTO checkpoints (origin, size, note) VALUES (?, ?, ?)"
_INSERT_SPOOL = "INSERT INTO spool (stream, closes, draft) VALUES (?, ?, ?) RETURNING id"


class LogAccess(Protocol):
    """What a batch needs of the log; a process without the log key has a lesser one."""

    def load(self, connection: Connection) -> Head | None:
        """The head to extend; None when another process numbers what is put into the spool.

        Raises:
            LogUnavailableError: The log does not work.
        """
        ...

    def seal(
        self,
        connection: Connection,
        before: Head,
        after: Head,
        entries: Sequence[Numbered],
        now: datetime,
    ) -> None:
        """Write and sign new entries in the open transaction. Raises LogUnavailableError."""
        ...

    def prove(self, head: Head) -> None:
        """Show that the log could be signed now. Raises LogUnavailableError."""
        ...

    def abandon(self) -> None:
        """Forget what ``seal`` prepared: the transaction is not known to be committed."""
        ...

    def publish(self, after: Head, entries: Sequence[Numbered]) -> None:
        """Keep a committed transaction's checkpoint outside too. Raises LogUnavailableError."""
        ...

    def end(self, connection: Connection, stream: str) -> StreamEnd | None:
        """The last entry of a stream of the log that was loaded."""
        ...

    def try_signer(self, connection: Connection) -> None:
        """See whether the log works. Raises LogUnavailableError."""
        ...


class Waiting(msgspec.Struct, frozen=True):
    """An event in the spool, and its row."""

    row: int
    draft: Draft


class Ledger:
    """One installation's log. Used by one thread.

    Args:
        origin: The installation's own origin, ``callpoint/<id>``; recoveries add to it.
        installation: Stands in each entry.
        signer: Holds the log key.
        former_keys: Verifier keys that signed the log before.
        file: Where the last checkpoint is kept outside the database.
    """

    def __init__(
        self,
        *,
        origin: str,
        installation: str,
        signer: LogSigner,
        former_keys: Sequence[str],
        file: CheckpointFile,
    ) -> None:
        self.origin = origin
        self.installation = installation
        self.file = file
        self.ring = KeyRing((signer.verifier_key, *former_keys))
        self._signer = signer
        self._head: Head | None = None
        self._known: Checkpoint | None = None
        self._sealed: Checkpoint | None = None
        self._is_kept = True
        self._ends = StreamEnds()

    def load(self, connection: Connection) -> Head:
        """The log's head, from which it may be extended.

        Raises:
            LogUnavailableError: The log is halted, or the first checkpoint cannot be kept.
        """
        head = self.read_head(connection)
        # The tree is as we left it in all but the first transaction, unless several processes
        # write to one database.
        if head is not self._head or not self._is_kept:
            self._ends.forget()
            self._catch_up(connection, head.checkpoint())
            self._head = head
        return head

    def read_head(self, connection: Connection) -> Head:
        """The head as stored; nothing is checked but its form. Raises LogUnavailableError."""
        try:
            ((origin, size, peaks),) = connection.rows("SELECT origin, size, peaks FROM head")
            hashes = tuple(peaks[i : i + HASH_SIZE] for i in range(0, len(peaks), HASH_SIZE))
            known = self._head
            if known and (origin, size, hashes) == (
                known.origin,
                known.size,
                known.frontier.hashes,
            ):
                return known
            head = Head(origin, self.installation, Frontier(size, hashes))
            head.checkpoint()  # its origin may be what no checkpoint can name
            return head
        except (ProofError, ValueError, TypeError) as error:
            raise halted("the database's head row is missing or damaged") from error

    def kept(self) -> Checkpoint | None:
        """The last checkpoint that this node knows of. Raises LogUnavailableError."""
        signed = self.file.read()
        return None if signed is None else open_kept(self.ring, signed, self.file.path)

    def try_signer(self, connection: Connection) -> None:
        """Sign what is signed already, to see whether the log works. Raises LogUnavailableError."""
        self.prove(self.load(connection))

    def prove(self, head: Head) -> None:
        """Sign what is signed already. Raises LogUnavailableError."""
        self._sign(head.checkpoint())

    def seal(
        self,
        connection: Connection,
        before: Head,
        after: Head,
        entries: Sequence[Numbered],
        now: datetime,
    ) -> None:
        """Write new entries, their tiles and one checkpoint; make ready to keep it outside too.

        ``publish`` follows once the transaction is committed, else ``abandon``. The key signs last:
        a process that was paused and lost its turn meets the database's refusal first (ADR 0006).

        Raises:
            LogUnavailableError: It could not be signed or kept; the transaction must not commit.
        """
        checkpoint = self._sealed = after.checkpoint()
        connection.streams.add(connection, entries)
        personal = [
            (entry.index, name, value.salt, value.value.encode())
            for entry in entries
            for name, value in entry.private.items()
        ]
        if personal:
            connection.run_many(_INSERT_PERSONAL, personal)
        for tile in complete_tiles(before.size, after.size, StoredRows(connection)):
            connection.run(_INSERT_TILE, (tile.level, tile.n, tile.root, tile.hashes))
        signed = self._sign(checkpoint)
        connection.run(_INSERT_CHECKPOINT, (checkpoint.origin, checkpoint.size, signed))
        connection.run(
            "UPDATE head SET origin = ?, size = ?, peaks = ?, high_water = ?",
            (after.origin, after.size, b"".join(after.frontier.hashes), format_time(now)),
        )
        self.file.prepare(signed)

    def abandon(self) -> None:
        """The transaction did not commit, or nobody knows: what was signed for it is forgotten."""
        self._ends.forget()
        self.file.discard()

    def publish(self, after: Head, entries: Sequence[Numbered]) -> None:
        """Keep the checkpoint of what was sealed, and is committed, outside.

        Raises:
            LogUnavailableError: It is committed, and not kept.
        """
        # Known before it is kept: the database holds it whatever happens to the file.
        self._known, self._head = self._sealed, after
        self._ends.learn(entries)
        self._publish()

    def end(self, connection: Connection, stream: str) -> StreamEnd | None:
        """The last entry of a stream; valid after `load`, in the same transaction."""
        return self._ends.find(connection, stream)

    def _sign(self, checkpoint: Checkpoint) -> str:
        try:
            return self._signer.sign(checkpoint.format())
        except LogUnavailableError:
            raise
        except Exception as error:
            # Whatever a key's holder meets, what takes away must go on without it (I2).
            raise LogUnavailableError(f"the log key failed: {type(error).__name__}") from error

    def _catch_up(self, connection: Connection, current: Checkpoint) -> None:
        if not generation(self.origin, current.origin):
            raise halted(f"the database is of the log {current.origin}, not of {self.origin}")
        signed = check_own(self.ring, connection, current)
        kept = self.kept()
        for known in (self._known, kept):
            if known is not None:
                check_follows(self.origin, connection, current, known)
        if self._known is None and kept is None:
            if current.size:
                raise LogHaltedError(
                    f"the log is halted: the checkpoint file {self.file.path} is missing",
                    way_out="put it back (a new node gets a copy from one that runs); "
                    "if it is lost, run `callpoint log recover`",
                )
            # A file from the very beginning: its absence later always means something.
            signed = self._sign(current)
        if kept != current or not self._is_kept:
            self.file.prepare(signed or self._sign(current))
            self._publish()
        self._known = current

    def _publish(self) -> None:
        # What could not be kept is kept before anything else is committed.
        self._is_kept = False
        self.file.publish()
        self._is_kept = True


def spool(connection: Statements, drafts: Sequence[Draft]) -> list[int]:
    """Keep events that cannot be numbered now; returns their rows."""
    rows: list[int] = []
    for draft in drafts:
        values = (draft.stream, int(draft.closes), msgspec.json.encode(draft))
        rows.extend(row[0] for row in connection.rows(_INSERT_SPOOL, values))
    return rows


def spooled(connection: Connection) -> tuple[Waiting, ...]:
    """The events that wait for a number, in order.

    Raises:
        TamperError: One does not parse.
    """
    rows = connection.rows("SELECT id, draft FROM spool ORDER BY id")
    try:
        return tuple(Waiting(row, read_json(text, Draft)) for row, text in rows)
    except msgspec.MsgspecError as error:
        raise TamperError("an event in the spool does not parse") from error


def forget_spooled(connection: Connection, waiting: Sequence[Waiting]) -> None:
    """Take events out of the spool that are numbered in the same transaction."""
    connection.run_many("DELETE FROM spool WHERE id = ?", [(item.row,) for item in waiting])
