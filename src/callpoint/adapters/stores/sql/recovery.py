"""Going on after the database lost a part of the log: a new origin that says what was lost.

See ``docs/adr/0003-log-recovery.md``.
"""

from callpoint.adapters.stores.sql.connection import Connection
from callpoint.adapters.stores.sql.guard import check_own, generation
from callpoint.adapters.stores.sql.ledger import Ledger, forget_spooled, spooled
from callpoint.adapters.stores.sql.view import read_moment
from callpoint.audit.checkpoint import Checkpoint
from callpoint.audit.log import Head, draft, number
from callpoint.domain.errors import (
    ConflictError,
    LogHaltedError,
    LogUnavailableError,
    TamperError,
)
from callpoint.domain.event import LogRecovered
from callpoint.domain.ids import INSTALLATION_STREAM

_INSERT_RECOVERY = """
INSERT INTO recoveries (origin, old_origin, kept_size) VALUES (?, ?, ?)
"""


def recover(connection: Connection, ledger: Ledger, reason: str, actor: str) -> LogRecovered:
    """Open a new origin over the entries that are left, and commit it.

    The entries that are left keep their places, so that every proof and stream goes on; the first
    entry under the new origin names the checkpoint that was lost sight of and how much is missing.

    Raises:
        ConflictError: The log is not halted: there is nothing to recover from.
        TamperError: What is left does not agree with itself; only a backup helps.
        LogUnavailableError: The new origin could not be signed or kept.
    """
    _check_halted(connection, ledger)
    head = ledger.read_head(connection)
    _check_remains(connection, ledger, head)
    signed = ledger.file.read()
    old = ledger.kept()
    origin = _next_origin(ledger.origin, head.origin, "" if old is None else old.origin)
    event = LogRecovered(
        actor=actor,
        old_checkpoint="" if signed is None else signed.decode(),
        kept_size=head.size,
        lost_size=0 if old is None else max(old.size - head.size, 0),
        reason=reason,
    )
    after = _begin_origin(connection, ledger, head, origin, event)
    old_origin = head.origin if old is None else old.origin
    connection.run(_INSERT_RECOVERY, (origin, old_origin, head.size))
    ledger.file.set_aside(f"lost-{generation(ledger.origin, origin) - 1}")
    connection.commit()
    ledger.publish(after, ())
    return event


def _begin_origin(
    connection: Connection, ledger: Ledger, head: Head, origin: str, event: LogRecovered
) -> Head:
    """Number the recovery, then whatever waits in the spool, under the new origin's first note."""
    now = read_moment(connection).now
    waiting = spooled(connection)
    renamed = Head(origin, head.installation, head.frontier)
    drafts = [draft(INSTALLATION_STREAM, event, now), *(item.draft for item in waiting)]
    streams = connection.streams
    after, entries = number(renamed, drafts, lambda stream: streams.end(connection, stream))
    ledger.seal(connection, renamed, after, entries, now)
    forget_spooled(connection, waiting)
    return after


def _check_halted(connection: Connection, ledger: Ledger) -> None:
    try:
        ledger.load(connection)
    except LogHaltedError:
        return  # whatever else keeps it from working is repaired, not recovered from
    raise ConflictError("the log is whole: there is nothing to recover from")


def _check_remains(connection: Connection, ledger: Ledger, head: Head) -> None:
    try:
        check_own(ledger.ring, connection, Checkpoint(head.origin, head.size, head.frontier.root()))
    except LogUnavailableError as error:
        raise TamperError(
            f"the database cannot be recovered as it is: {error.message}",
            way_out="restore the newest backup that agrees with itself, then recover",
        ) from error


def _next_origin(base: str, *origins: str) -> str:
    newest = max(generation(base, origin) for origin in origins)
    if not newest:
        raise TamperError(
            f"neither the database nor the checkpoint file is of the log {base}",
            way_out="this is another installation's: name the right files",
        )
    return f"{base}/{newest + 1}"
