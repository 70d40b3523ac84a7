"""Refusal to fork: whether a database's tree extends the last checkpoint kept outside it.

A database that was rolled back (a restored backup, a lost disk, a hand) and went on would sign a
second history under an honest key. So nothing is signed unless the tree begins with everything
that was signed before, or a recovery says under a new origin what was lost
(``docs/adr/0003-log-recovery.md``).
"""

from collections.abc import Iterable
from pathlib import Path

from callpoint.adapters.stores.sql.connection import Connection
from callpoint.adapters.stores.sql.public_log import StoredRows
from callpoint.audit import note
from callpoint.audit.checkpoint import Checkpoint, CheckpointError, parse_checkpoint
from callpoint.audit.entry import EntryError, parse_entry
from callpoint.audit.log import ForkError, check_extends
from callpoint.audit.merkle import ProofError
from callpoint.domain.errors import LogHaltedError

WAY_OUT = (
    "if the database was restored from a backup, put the newest one back; "
    "if that is the newest, run `callpoint log recover`"
)
RECOVERED = "log:recovered"


def halted(why: str) -> LogHaltedError:
    """The error for a log that must not go on."""
    return LogHaltedError(f"the log is halted: {why}", way_out=WAY_OUT)


def generation(base: str, origin: str) -> int:
    """1 for the installation's own origin, n for ``base/n`` after a recovery, 0 for another log."""
    if origin == base:
        return 1
    prefix, _, tail = origin.rpartition("/")
    is_number = tail.isascii() and tail.isdigit() and not tail.startswith("0")
    return int(tail) if prefix == base and is_number and tail != "1" else 0


class KeyRing:
    """The verifier keys of the log, the present and former ones."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._verifiers = tuple(note.Verifier.parse(key) for key in keys)

    def open(self, signed: bytes) -> Checkpoint:
        """Read a checkpoint that one of the keys signed; NoteError or CheckpointError."""
        parsed = note.parse_note(signed)
        note.verify_note(parsed, self._verifiers)
        return parse_checkpoint(parsed.text)


def open_kept(ring: KeyRing, signed: bytes, path: Path) -> Checkpoint:
    """The checkpoint that was kept in a file.

    Raises:
        LogUnavailableError: It is damaged, or no key of the log signed it.
    """
    try:
        return ring.open(signed)
    except (note.NoteError, CheckpointError) as error:
        raise halted(f"the checkpoint file {path} cannot be believed: {error}") from error


def check_own(ring: KeyRing, connection: Connection, current: Checkpoint) -> str:
    """Check that the database's tree is the one its own newest checkpoint was signed over.

    Returns:
        The checkpoint's note, empty for a tree without entries.

    Raises:
        LogUnavailableError: It is not: rows were changed by hand, or by another key.
    """
    query = "SELECT note FROM checkpoints WHERE origin = ? AND size = ?"
    rows = connection.rows(query, (current.origin, current.size))
    if not rows:
        if current.size:
            raise halted(f"the database has {current.size} entries but no checkpoint of them")
        return ""
    signed: str = rows[0][0]
    try:
        opened = ring.open(signed.encode())
    except (note.NoteError, CheckpointError) as error:
        raise halted(f"the database's newest checkpoint cannot be believed: {error}") from error
    if opened != current:
        raise halted(
            "the database's tree is not the one that its newest checkpoint was signed over"
        )
    return signed


def check_follows(
    base: str, connection: Connection, current: Checkpoint, known: Checkpoint
) -> None:
    """Check that the database's tree goes on from a checkpoint that was kept outside.

    Raises:
        LogUnavailableError: It was rolled back or forked, or is another log's.
    """
    try:
        if known.origin == current.origin:
            check_extends(current.size, StoredRows(connection), known)
        else:
            _check_recovered(base, connection, current, known)
    except ProofError as error:
        raise halted(f"the stored tree is damaged: {error}") from error
    except ForkError as error:
        raise halted(str(error)) from error


def _check_recovered(
    base: str, connection: Connection, current: Checkpoint, known: Checkpoint
) -> None:
    """The kept checkpoint is of another origin: a recovery in the log must account for it."""
    before, now = generation(base, known.origin), generation(base, current.origin)
    if not before or not now:
        strange = known.origin if not before else current.origin
        raise ForkError(f"{strange} is another log than {base}")
    if now < before:
        raise ForkError(f"the database is of {current.origin}, before the recovery {known.origin}")
    rows = connection.rows("SELECT kept_size FROM recoveries WHERE old_origin = ?", (known.origin,))
    if not rows:
        raise ForkError(f"no recovery accounts for the checkpoint of {known.origin}")
    kept_size: int = rows[0][0]
    old_size = _accounted_size(connection, kept_size)
    if known.size <= kept_size:
        check_extends(current.size, StoredRows(connection), known)
    elif known.size > old_size:
        raise ForkError(f"{known.size} entries were signed, the recovery knew of {old_size}")


def _accounted_size(connection: Connection, index: int) -> int:
    """How many entries the recovery at `index` knew of; the log says so, the row only where."""
    rows = connection.rows("SELECT leaf FROM entries WHERE idx = ?", (index,))
    try:
        entry = parse_entry(rows[0][0]) if rows else None
        if entry is None or entry.type != RECOVERED or entry.data["kept_size"] != index:
            raise ForkError(f"entry {index} should be a recovery, and is none")
        old = str(entry.data["old_checkpoint"])
        return parse_checkpoint(note.parse_note(old.encode()).text).size if old else index
    except (EntryError, KeyError, note.NoteError, CheckpointError) as error:
        raise ForkError(f"the recovery in entry {index} is damaged: {error}") from error
