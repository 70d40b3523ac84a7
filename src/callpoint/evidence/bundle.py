"""The evidence bundle of one activation: every event with proof (docs/audit-log-format.md).

``callpoint verify bundle`` checks it with nothing but the log's public key.
"""

import base64
from collections.abc import Sequence

import msgspec

from callpoint.audit.entry import format_time
from callpoint.domain import canonical
from callpoint.domain.canonical import Plain
from callpoint.domain.errors import NotFoundError
from callpoint.domain.ids import (
    INSTALLATION_STREAM,
    activation_stream,
    incident_stream,
    offline_stream,
    session_stream,
)
from callpoint.ports.stores import Entry, PersonalValue, View

FORMAT = "callpoint-bundle/v1"
SESSION_ENTRIES = 10_000
"""Most entries of sessions in one bundle: with their proofs they take some 30 MB. Of more, those
that come first; the verifier says up to where each session is shown."""

_OPENED = "session:opened"
_GOVERNING = ("installation:created", "bundle:published", "key:rotated", "log:recovered")


def evidence_bundle(
    view: View,
    installation: str,
    activation: str,
    incident: str,
    checkpoints: Sequence[str] = (),
) -> dict[str, Plain]:
    """Gather it from a view, so that every proof is in the same checkpoint.

    The entries of the incident, and of governance, are cited as related; what was done in its
    sessions goes along.

    Args:
        view: Of this log.
        installation: Its id.
        activation: Whose evidence.
        incident: That it was for.
        checkpoints: Signed notes of this log, the best first: the first one that covers everything
            is taken, for the cosignatures on it; else the newest.

    Raises:
        NotFoundError: The log holds no such activation.
    """
    entries = view.entries(activation_stream(activation))
    if not entries:
        raise NotFoundError(f"the log holds no activation {activation}")
    governing = [e for e in view.entries(INSTALLATION_STREAM) if _type(e) in _GOVERNING]
    related = [*governing, *view.entries(incident_stream(incident))]
    acted = _session_entries(view, entries)
    last = max(entry.index for entry in (*entries, *related, *acted))
    note = next((n for n in checkpoints if _size(n) > last), view.checkpoint())
    size = _size(note)
    found: dict[str, Plain] = {
        "format": FORMAT,
        "installation": installation,
        "activation": activation,
        "checkpoint": note,
        "entries": [_proven_entry(view, entry, size) for entry in entries],
        "related": [_proven_entry(view, entry, size) for entry in related],
    }
    if acted:
        found["sessions"] = [_proven_entry(view, entry, size) for entry in acted]
    stamp = _stamp(view, note, max(entry.index for entry in entries))
    if stamp is not None:
        found["timestamp"] = stamp
    return found


def encode(bundle: dict[str, Plain]) -> bytes:
    """The file's bytes."""
    return canonical.encode(bundle)


def _size(note: str) -> int:
    """How many entries a checkpoint is of."""
    return int(note.split("\n", 2)[1])


def _stamp(view: View, note: str, last: int) -> dict[str, Plain] | None:
    """The tightest time stamp over all of it, else the newest one; None without any.

    It is the origin's of the bundle's checkpoint: only that extends it, provably.
    """
    origin, size, *_ = note.split("\n")
    kept = view.timestamp(origin, last) or view.newest_timestamp(origin)
    if kept is None or kept.size > int(size):
        return None
    proof: list[Plain] = [
        base64.b64encode(node).decode() for node in view.consistency(kept.size, int(size))
    ]
    return {
        "checkpoint": kept.note,
        "consistency": proof,
        "response": base64.b64encode(kept.response).decode(),
        "at": format_time(kept.at),
    }


def _session_entries(view: View, entries: Sequence[Entry]) -> list[Entry]:
    """What was done in the sessions that these entries open, session by session.

    What a gateway did without its authority comes first: there is little of it, and it must not be
    what a long bundle leaves out.
    """
    opened = [msgspec.json.decode(e.leaf, type=_Opening) for e in entries if _type(e) == _OPENED]
    names = [one.data.session for one in opened]
    alone = [e for name in names for e in view.entries(offline_stream(name))]
    decided = [e for name in names for e in view.entries(session_stream(name))]
    return [*alone, *decided][:SESSION_ENTRIES]


class _Named(msgspec.Struct):
    session: str


class _Opening(msgspec.Struct):
    data: _Named


class _Typed(msgspec.Struct):
    type: str


def _type(entry: Entry) -> str:
    return msgspec.json.decode(entry.leaf, type=_Typed).type


def _proven_entry(view: View, entry: Entry, size: int) -> Plain:
    hashes = view.inclusion(entry.index, size)
    proof: list[Plain] = [base64.b64encode(node).decode() for node in hashes]
    found: dict[str, Plain] = {
        "index": entry.index,
        "leaf": base64.b64encode(entry.leaf).decode(),
        "proof": proof,
    }
    personal = {v.name: _opened(v) for v in view.personal((entry.index,))}
    if personal:
        found["personal"] = personal
    return found


def _opened(value: PersonalValue) -> Plain:
    return {"salt": base64.b64encode(value.salt).decode(), "value": value.value}
