"""The log's newest checkpoint is shown to a time-stamping authority, when it has grown (RFC 3161).

Nothing waits for it: what cannot be stamped now is stamped with the next pass, and a later stamp
covers all that is before it.
"""

from callpoint.lifecycle.proof import newest_checkpoint
from callpoint.lifecycle.services import Services
from callpoint.ports.stores import TimeStamp, View
from callpoint.ports.timestamps import TimestampAuthority


async def stamp(services: Services, authority: TimestampAuthority) -> TimeStamp | None:
    """One pass; None when the log has not grown since the last stamp.

    Raises:
        UnavailableError: The authority gave no answer that holds.
        LogUnavailableError: There is no checkpoint yet.
    """

    def read(view: View) -> tuple[str, int, str] | None:
        checkpoint = newest_checkpoint(view, services.installation)
        known = view.newest_timestamp(checkpoint.origin)
        if known is not None and known.size >= checkpoint.size:
            return None
        note = view.checkpoint_at(checkpoint.origin, checkpoint.size)
        return checkpoint.origin, checkpoint.size, note

    found = await services.store.read(read)
    if found is None:
        return None
    origin, size, note = found
    stamped = await authority.stamp(note.encode())
    kept = TimeStamp(origin, size, note, stamped.response, stamped.at)
    await services.store.transact(lambda tx: tx.keep_timestamp(kept), urgent=True)
    return kept
