"""The log as outsiders are shown it: which checkpoint, and which witnesses have seen it.

Where witnesses are configured, outsiders get the newest checkpoint that enough of them cosigned:
who asks for cosignatures could do nothing with a newer one. The newest of all is for whoever keeps
checkpoints himself (``/v1/checkpoint``).
"""

from collections.abc import Mapping

import msgspec

from callpoint.audit.checkpoint import Checkpoint, CheckpointError, parse_checkpoint
from callpoint.audit.cosignature import WitnessKey
from callpoint.audit.note import NoteError, parse_note, parse_signature
from callpoint.domain.errors import NotFoundError, TamperError, UnavailableError
from callpoint.domain.witnessing import Witness, Witnessing
from callpoint.lifecycle.services import Services
from callpoint.ports.stores import Cosignature, View


class Shown(msgspec.Struct, frozen=True):
    """A checkpoint and its note, with the cosignatures that we have.

    Attributes:
        checkpoint: What it says.
        note: The signed note.
        witnesses: Configured names of those that cosigned it.
    """

    checkpoint: Checkpoint
    note: str
    witnesses: tuple[str, ...]


def watched(services: Services) -> Witnessing:
    """Who sees the log, also when the rules in force cannot be proven now."""
    try:
        return services.rules.last_proven.watched
    except UnavailableError:
        return Witnessing()


def published(view: View, origin: str, watching: Witnessing) -> Shown:
    """The newest checkpoint that enough witnesses cosigned; while there is none, the newest.

    Raises:
        NotFoundError: There is no such log here.
    """
    newest = view.newest_of(origin)
    if not newest:
        raise NotFoundError("there is no such log here")
    seen = _seen(view, origin, watching)
    size = _by_enough(seen, max(watching.quorum, 1))
    return _shown(view.checkpoint_at(origin, size) if size else newest, seen)


def newest_shown(view: View, origin: str, watching: Witnessing) -> Shown:
    """The newest checkpoint, with whatever cosignatures it has already, or NotFoundError."""
    newest = view.newest_of(origin)
    if not newest:
        raise NotFoundError("there is no such log here")
    return _shown(newest, _seen(view, origin, watching))


def read_note(note: str) -> Checkpoint:
    """What one of our own stored checkpoints says; whoever relies on it verifies it too.

    Raises:
        TamperError: It cannot be read.
    """
    try:
        return parse_checkpoint(parse_note(note.encode()).text)
    except (NoteError, CheckpointError) as error:
        raise TamperError(f"a stored checkpoint cannot be read: {error}") from error


def by_key(cosignature: Cosignature, witness: Witness) -> bool:
    """Whether the line is by the key that is configured now; one before it counts no more."""
    try:
        return parse_signature(cosignature.line).key_id == WitnessKey.parse(witness.key).key_id
    except NoteError:
        return False


def _seen(view: View, origin: str, watching: Witnessing) -> dict[str, dict[int, str]]:
    """Witness to size to signature line."""
    return {
        name: {
            kept.size: kept.line
            for kept in view.cosignatures(origin, witness.key_name)
            if by_key(kept, witness)
        }
        for name, witness in watching.witnesses.items()
    }


def _by_enough(seen: Mapping[str, Mapping[int, str]], enough: int) -> int:
    """The largest size that so many witnesses cosigned; 0 when there is none."""
    sizes = sorted({size for lines in seen.values() for size in lines}, reverse=True)
    return next((s for s in sizes if sum(s in lines for lines in seen.values()) >= enough), 0)


def _shown(note: str, seen: Mapping[str, Mapping[int, str]]) -> Shown:
    checkpoint = read_note(note)
    lines = {
        name: lines[checkpoint.size] for name, lines in seen.items() if checkpoint.size in lines
    }
    whole = note + "".join(f"{line}\n" for line in lines.values())
    return Shown(checkpoint, whole, tuple(sorted(lines)))
