"""Being a witness: cosign the newest tree of a configured log, and never two that disagree.

The order is the promise: the new tree is in the database (which lets one request in at a time, of
all nodes) and in a file beside it (which a restored database does not take back) before the
signature is made. Whoever dies in between knows more than was signed, and signs it when asked
again. Nothing of this is logged: two installations that witness each other would never rest.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from callpoint.audit.checkpoint import Checkpoint
from callpoint.audit.cosignature import signed_at
from callpoint.audit.note import Note, Verifier, parse_note, parse_signature
from callpoint.audit.submission import (
    Submission,
    SubmissionError,
    check_growth,
    open_submitted,
    parse_submission,
    submitted,
)
from callpoint.domain.errors import NotFoundError, TamperError
from callpoint.domain.witnessing import Cosigned, WitnessedLog
from callpoint.lifecycle.published import watched
from callpoint.lifecycle.services import Services
from callpoint.ports.stores import Transaction, View
from callpoint.ports.witnesses import CosigningKey, Remembered, WitnessMemory

AGAIN = timedelta(seconds=10)
"""Within it the same checkpoint gets the same cosignature."""


class WitnessDesk:
    """This installation as a witness of others.

    Args:
        services: For the configuration in force and the store.
        key: Its witness key.
        memory: What it remembers outside the database.
    """

    def __init__(self, services: Services, key: CosigningKey, memory: WitnessMemory) -> None:
        self._services = services
        self._key = key
        self._memory = memory
        self._turn = asyncio.Lock()

    @property
    def key(self) -> str:
        """The public key, for those whose logs are cosigned."""
        return self._key.public

    async def add_checkpoint(self, body: bytes) -> str:
        """Answer ``add-checkpoint``: the cosignature's line, with its newline.

        Raises:
            SubmissionError: Refused, with the status that tlog-witness gives to the reason.
            TamperError: The memory disagrees with itself.
            UnavailableError: The memory is lost, or what is new cannot be kept.
        """
        submission = parse_submission(body)
        claimed = submitted(submission)
        log = self._log(claimed.origin)
        keys = [Verifier.parse(key) for key in log.keys]
        checkpoint = open_submitted(submission, log.origin, keys)
        async with self._turn:
            if line := await self._just_signed(submission, checkpoint):
                return f"{line}\n"
            time = await self._advance(submission, checkpoint, _kept_note(submission, keys))
            line = self._key.cosign(checkpoint.format(), time)
            await self._services.store.transact(
                lambda tx: _add_line(tx, checkpoint, line), urgent=True
            )
        return f"{line}\n"

    async def checkpoint(self, origin_hash: str) -> str:
        """The latest checkpoint that was cosigned, by the SHA-256 of the log's origin in hex.

        Raises:
            NotFoundError: None was, or the log is not ours to witness.
        """
        logs = watched(self._services).logs.values()
        wanted = [x.origin for x in logs if _hash(x.origin) == origin_hash]

        def read(view: View) -> str:
            for origin in wanted:
                held = view.find(Cosigned, origin)
                if held is not None and held.line:
                    return f"{held.note}{held.line}\n"
            raise NotFoundError("no checkpoint of such a log was cosigned here")

        return await self._services.store.read(read)

    async def known(self) -> dict[str, int]:
        """Size by origin of each configured log; 0 for one that was never cosigned."""
        logs = watched(self._services).logs.values()

        def read(view: View) -> dict[str, int]:
            held = {x.origin: view.find(Cosigned, x.origin) for x in logs}
            return {origin: found.size if found else 0 for origin, found in held.items()}

        return await self._services.store.read(read)

    def _log(self, origin: str) -> WitnessedLog:
        for log in watched(self._services).logs.values():
            if log.origin == origin:
                return log
        raise SubmissionError(404, "this witness does not know the log")

    async def _just_signed(self, submission: Submission, checkpoint: Checkpoint) -> str:
        """The line of moments ago, so that whoever repeats himself costs no write and no key."""

        def read(view: View) -> str:
            held = view.find(Cosigned, checkpoint.origin)
            if held is None or not held.line or submission.old != checkpoint.size:
                return ""
            time = signed_at(parse_signature(held.line))
            is_same = (held.size, held.root) == (checkpoint.size, checkpoint.root)
            is_new = 0 <= view.now().timestamp() - time < AGAIN.total_seconds()
            return held.line if is_same and is_new else ""

        return await self._services.store.read(read)

    async def _advance(self, submission: Submission, checkpoint: Checkpoint, note: str) -> int:
        """Check and remember, in this order and durably; returns the POSIX time."""
        origin = checkpoint.origin
        remembered = await asyncio.to_thread(self._memory.latest, origin)

        def work(tx: Transaction) -> int:
            held = tx.find(Cosigned, origin)
            check_growth(submission, checkpoint, _latest(origin, held, remembered))
            tx.put(
                Cosigned(
                    origin=origin,
                    size=checkpoint.size,
                    root=checkpoint.root,
                    note=note,
                    version=held.version if held else 0,
                )
            )
            return int(tx.now().timestamp())

        time = await self._services.store.transact(work, urgent=True)
        tree = Remembered(checkpoint.size, checkpoint.root)
        await asyncio.to_thread(self._memory.remember, origin, tree)
        return time


def _kept_note(submission: Submission, keys: Sequence[Verifier]) -> str:
    """The note with the log's own signatures only: what strangers add to it is not kept."""
    note = parse_note(submission.note)
    known = {(key.name, key.key_id) for key in keys}
    own = tuple(s for s in note.signatures if (s.name, s.key_id) in known)
    return Note(note.text, own).format().decode()


def _latest(origin: str, held: Cosigned | None, remembered: Remembered | None) -> Checkpoint | None:
    """The larger of what the database and the file know: either may have been restored."""
    known = [Checkpoint(origin, x.size, x.root) for x in (held, remembered) if x is not None]
    if not known:
        return None
    newest = max(known, key=lambda one: one.size)
    if any(one.size == newest.size and one.root != newest.root for one in known):
        raise TamperError(
            f"this witness remembers two trees of {newest.size} entries of {origin}",
            way_out="one of database and witness file was changed by hand: nothing is cosigned",
        )
    return newest


def _add_line(tx: Transaction, checkpoint: Checkpoint, line: str) -> None:
    """For ``checkpoint``; where another node has gone on meanwhile there is nothing to add."""
    held = tx.find(Cosigned, checkpoint.origin)
    if held is not None and (held.size, held.root) == (checkpoint.size, checkpoint.root):
        tx.put(msgspec.structs.replace(held, line=line))


def _hash(origin: str) -> str:
    return hashlib.sha256(origin.encode()).hexdigest()
