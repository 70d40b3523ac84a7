"""The log's state in words: what holds, what is missing, and the next command."""

import base64
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from callpoint.audit.checkpoint import CheckpointError, parse_checkpoint
from callpoint.audit.note import NoteError, parse_note
from callpoint.domain.counted import plural
from callpoint.domain.errors import TamperError
from callpoint.domain.span import format_span

if TYPE_CHECKING:  # the API's types are needed by the client only, and `--help` pays for neither
    from callpoint.api.log_messages import AskedView, LogView, WitnessView

_CONTRADICTED = "contradicted"


def status_lines(found: "LogView") -> Iterator[str]:
    """`callpoint log status`."""
    age = "" if found.logged_at is None else f", the newest {_ago(found.logged_at, found)}"
    yield f"log {found.origin}: {plural(found.size, 'entry', 'entries')}{age}"
    yield f"  root {base64.b64encode(found.root).decode()}"
    seen = ", ".join(found.cosigned_by) or "nobody"
    yield f"  outsiders are shown {plural(found.published, 'entry', 'entries')}, cosigned by {seen}"
    kept = "NONE" if found.kept is None else plural(found.kept, "entry", "entries")
    yield f"  kept outside the database: a checkpoint of {kept}"
    if found.waiting:
        yield f"  {plural(found.waiting, 'event')} without a number"
    if found.quorum:
        counting = sum(witness.counts for witness in found.witnesses)
        within = _span(found.within)
        yield f"  witnesses: {counting} of {found.quorum} needed have seen it within {within}"
    for witness in found.witnesses:
        yield f"    {witness.name}: {_witness(witness, found)}"
    if found.witness_key:
        yield f"witness {found.witness_key}"
        for origin, size in sorted(found.logs.items()):
            yield f"    {origin}: {plural(size, 'entry', 'entries')} cosigned"
    yield from _missing(found)


def asked_lines(asked: "AskedView") -> Iterator[str]:
    """`callpoint log witness`."""
    if not asked.answers:
        yield "no witness is configured: docs/operations/witness.md says how to have one"
        return
    yield f"the checkpoint of {plural(asked.size, 'entry', 'entries')} was sent"
    for name, answer in sorted(asked.answers.items()):
        yield f"  {name}: {answer}"


def read_size(checkpoint: str) -> int:
    """How many entries a checkpoint is of, or TamperError."""
    try:
        return parse_checkpoint(parse_note(checkpoint.encode()).text).size
    except (NoteError, CheckpointError) as error:
        raise TamperError(f"the server's checkpoint cannot be read: {error}") from error


def _missing(found: "LogView") -> Iterator[str]:
    """What is not as it should be, each with the next command."""
    if not found.works:
        yield "! the log cannot be signed, so nothing is issued: `callpoint status` says why"
    if found.kept is None:
        yield "! no checkpoint is kept outside the database: a rolled-back database is not noticed"
    elif found.kept != found.size:
        kept = plural(found.kept, "entry", "entries")
        yield f"! the kept checkpoint is of {kept}, not {found.size}: look again"
    if not found.witnesses:
        yield "! nobody witnesses this log: its own key alone vouches for it"
        yield "  how to have witnesses: docs/operations/witness.md"
    counting = sum(witness.counts for witness in found.witnesses)
    if counting < found.quorum:
        yield "! too few witnesses have seen the log, so nothing is issued: `callpoint log witness`"
    for witness in found.witnesses:
        if witness.answer == _CONTRADICTED:
            yield (
                f"! {witness.name} CONTRADICTS this log. Keep the database as it is, compare with"
                " the checkpoints that you kept: `callpoint verify log DIRECTORY --earlier FILE`"
            )


def _witness(witness: "WitnessView", found: "LogView") -> str:
    if witness.seen_at is None:
        words = "has seen nothing"
    else:
        old = "" if witness.counts else " (too long ago)"
        words = (
            f"saw {plural(witness.size, 'entry', 'entries')} {_ago(witness.seen_at, found)}{old}"
        )
    if witness.answer in ("", "cosigned"):
        return words
    return f"{words}; {witness.answer}: {witness.detail} ({witness.url})"


def _ago(moment: datetime, found: "LogView") -> str:
    seconds = int((found.now - moment).total_seconds())
    return f"{_span(seconds)} ago" if seconds > 0 else "just now"


def _span(seconds: int) -> str:
    return format_span(timedelta(seconds=seconds))
