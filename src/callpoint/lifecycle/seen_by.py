"""Who has seen our log lately: shown to the operator, and asked before anything is issued.

A cosignature counts when it is over *our* tree of that size, by the configured key, and new enough.
The database is believed for nothing: the text that must have been signed is made from the tree.
"""

from datetime import UTC, datetime, timedelta

import msgspec

from callpoint.audit.checkpoint import Checkpoint
from callpoint.audit.cosignature import Seen, WitnessKey, verify_cosignature
from callpoint.audit.merkle import Frontier, ProofError
from callpoint.audit.note import NoteError, parse_signature
from callpoint.domain.counted import plural
from callpoint.domain.errors import LogUnavailableError, NotFoundError
from callpoint.domain.governance import Installation
from callpoint.domain.span import format_span
from callpoint.domain.witnessing import Witness, Witnessing
from callpoint.lifecycle.proof import newest_checkpoint
from callpoint.lifecycle.published import by_key
from callpoint.ports.stores import Cosignature, View

AHEAD = timedelta(minutes=5)
"""A cosignature from further in the future does not count: it would never grow old."""


class Sighting(msgspec.Struct, frozen=True):
    """What one configured witness has seen of our log.

    Attributes:
        name: Configured name.
        size: Of the largest checkpoint of ours that it cosigned; 0 for none.
        at: When it did, by its own clock.
        counts: Whether that is new enough.
    """

    name: str
    size: int = 0
    at: datetime | None = None
    counts: bool = False


def sightings(view: View, installation: Installation, watching: Witnessing) -> tuple[Sighting, ...]:
    """One for each configured witness, in the order of their names.

    Raises:
        LogUnavailableError, TamperError: There is no checkpoint, or it does not verify.
    """
    origin = newest_checkpoint(view, installation).origin
    return tuple(
        _sighting(view, origin, watching.witnesses[name], watching.within)
        for name in sorted(watching.witnesses)
    )


def must_be_witnessed(view: View, installation: Installation, watching: Witnessing) -> None:
    """Nothing is given while too few witnesses have seen the log lately.

    Raises:
        LogUnavailableError: They have not.
    """
    if not watching.quorum:
        return
    seen = sightings(view, installation, watching)
    counted = sum(one.counts for one in seen)
    if counted >= watching.quorum:
        return
    missing = ", ".join(one.name for one in seen if not one.counts) or "nobody is configured"
    raise LogUnavailableError(
        f"{plural(watching.quorum, 'witness', 'witnesses')} must have seen the log within"
        f" {format_span(watching.within)}, and {plural(counted, 'has', 'have')};"
        f" missing: {missing}",
        way_out="`callpoint log witness` asks them now, `callpoint log status` shows what they"
        " said; revocation goes on meanwhile",
    )


def _sighting(view: View, origin: str, witness: Witness, within: timedelta) -> Sighting:
    for kept in view.cosignatures(origin, witness.key_name):
        seen = _verified(view, kept, witness)
        if seen is not None:
            at = _moment(seen.time)
            is_new = at is not None and -AHEAD <= view.now() - at <= within
            return Sighting(witness.id, kept.size, at, is_new)
    return Sighting(witness.id)


def _verified(view: View, kept: Cosignature, witness: Witness) -> Seen | None:
    """None for a row that is no cosignature of the tree that we have now."""
    if not by_key(kept, witness):
        return None
    try:
        root = Frontier(size=kept.size, hashes=view.peaks(kept.size)).root()
        text = Checkpoint(kept.origin, kept.size, root).format()
        return verify_cosignature(text, parse_signature(kept.line), WitnessKey.parse(witness.key))
    except (NoteError, ProofError, NotFoundError):
        return None


def _moment(time: int) -> datetime | None:
    """A witness may write any number of 63 bits; no calendar has most of them."""
    try:
        return datetime.fromtimestamp(time, UTC)
    except (OverflowError, OSError, ValueError):
        return None
