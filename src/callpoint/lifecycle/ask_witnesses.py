"""One pass: the newest checkpoint goes to each witness that has not seen it, or not lately.

Nothing that revokes waits for it. What comes back is verified before it is kept; a witness that
says that our log shrank or forked is told to people at once, because it may be right.
"""

import asyncio
import re

import msgspec

from callpoint.audit.checkpoint import Checkpoint
from callpoint.audit.cosignature import WitnessKey, verify_cosignature
from callpoint.audit.note import NoteError, Signature, parse_note, parse_signature
from callpoint.audit.submission import Submission
from callpoint.domain.errors import CallpointError, UnavailableError
from callpoint.domain.untrusted import printable
from callpoint.domain.witnessing import Answer, Watch, Witness, Witnessing
from callpoint.lifecycle.announce import watchers
from callpoint.lifecycle.proof import newest_checkpoint
from callpoint.lifecycle.seen_by import sightings
from callpoint.lifecycle.services import Services
from callpoint.ports.notifiers import Notice
from callpoint.ports.stores import Cosignature, Transaction, View
from callpoint.ports.witnesses import Reply, Witnesses

_OK, _CONFLICT, _UNPROCESSABLE = 200, 409, 422
_TRIES = 4
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,15})\n?")
_SHOWN = 200


class Asked(msgspec.Struct, frozen=True):
    """What a pass did.

    Attributes:
        size: Of the checkpoint that was sent.
        answers: Configured name to the answer; a witness that needed no asking is not in it.
        changed: Names whose answer is another one than before.
    """

    size: int = 0
    answers: dict[str, Watch] = {}
    changed: tuple[str, ...] = ()


class _Head(msgspec.Struct, frozen=True):
    """Our newest checkpoint, read back."""

    checkpoint: Checkpoint
    note: str


async def ask_witnesses(services: Services, way: Witnesses, *, all_of_them: bool = False) -> Asked:
    """Ask each witness that has something to sign.

    Args:
        services: Whose log.
        way: How witnesses are reached.
        all_of_them: Also those that cosigned the newest checkpoint just now.
    """
    # Also when the rules in force cannot be proven: then it matters most who has seen the log.
    watching = (await services.rules.refresh()).watched
    if not watching.witnesses:
        return Asked()
    head, due = await services.store.read(
        lambda view: (_head(view, services), _due(view, services, watching, everyone=all_of_them))
    )
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {one.id: group.create_task(_ask(services, way, one)) for one in due}
    except* CallpointError as errors:
        # Mostly the store is away, which is one thing to say and no defect.
        raise UnavailableError(str(errors.exceptions[0])) from errors
    told = {name: task.result() for name, task in tasks.items()}
    return Asked(
        size=head.checkpoint.size,
        answers={name: watch for name, (watch, _) in told.items()},
        changed=tuple(sorted(name for name, (_, is_new) in told.items() if is_new)),
    )


def _head(view: View, services: Services) -> _Head:
    return _Head(newest_checkpoint(view, services.installation), view.checkpoint())


def _due(
    view: View, services: Services, watching: Witnessing, *, everyone: bool
) -> tuple[Witness, ...]:
    """Who has not seen the newest checkpoint, or so long ago that it will soon not count."""
    size = newest_checkpoint(view, services.installation).size
    seen = {one.name: one for one in sightings(view, services.installation, watching)}

    def is_due(witness: Witness) -> bool:
        found = seen[witness.id]
        if everyone or found.size < size or found.at is None or not found.counts:
            return True
        return view.now() - found.at > watching.within / 2

    return tuple(one for one in watching.witnesses.values() if is_due(one))


async def _ask(services: Services, way: Witnesses, witness: Witness) -> tuple[Watch, bool]:
    """Ask one until it signs or will not; returns its answer, and whether that is news."""
    head, known = await services.store.read(
        lambda view: (_head(view, services), view.find(Watch, witness.key_name))
    )
    is_same = known is not None and known.origin == head.checkpoint.origin
    old = known.size if known is not None and is_same else 0
    answer, detail, line = Answer.REFUSED, "it named another size each time", ""
    for _ in range(_TRIES):
        head, reply = await _submit(services, way, witness, old)
        if isinstance(reply, str):
            answer, detail = Answer.SILENT, reply
            break
        size = _conflict(reply)
        if size is not None and size <= head.checkpoint.size:
            old = size  # it saw more, or less, than we remember
            continue
        if size is not None and await _grew(services, head):
            continue  # another process of ours was faster
        answer, detail, line = _judge(head, witness, reply, size)
        old = size if size is not None else old
        break
    if line:
        old = head.checkpoint.size
    return await _keep(services, head, witness, (answer, detail, line), old)


async def _submit(
    services: Services, way: Witnesses, witness: Witness, old: int
) -> tuple[_Head, Reply | str]:
    """Send the newest checkpoint with its proof from `old` on; in place of a reply, why not."""

    def read(view: View) -> tuple[_Head, int, tuple[bytes, ...]]:
        head = _head(view, services)
        start = min(old, head.checkpoint.size)
        return head, start, view.consistency(start, head.checkpoint.size)

    head, start, proof = await services.store.read(read)
    body = Submission(start, proof, head.note.encode()).format()
    try:
        return head, await way.add_checkpoint(witness.url, body)
    except UnavailableError as error:
        return head, error.message


def _conflict(reply: Reply) -> int | None:
    """The size that the witness knows, when it says that we were wrong about it."""
    found = _SIZE.fullmatch(reply.body) if reply.status == _CONFLICT else None
    return int(found[1]) if found else None


async def _grew(services: Services, head: _Head) -> bool:
    now = await services.store.read(lambda view: _head(view, services))
    return now.checkpoint.size > head.checkpoint.size


def _judge(
    head: _Head, witness: Witness, reply: Reply, size: int | None
) -> tuple[Answer, str, str]:
    """The answer, what is wrong with it, and the verified signature line if there is one."""
    ours = head.checkpoint
    if size is not None:
        return (
            Answer.CONTRADICTED,
            (
                f"it has seen {size} entries of {ours.origin}, and this log has {ours.size}:"
                " the log was rolled back, or somebody else signs with its key"
            ),
            "",
        )
    if reply.status == _UNPROCESSABLE:
        return (
            Answer.CONTRADICTED,
            (
                f"it does not find that the log of {ours.size} entries extends what it has seen:"
                " the log was forked, or somebody else signs with its key"
            ),
            "",
        )
    if reply.status != _OK:
        said = printable(reply.body.decode("utf-8", "replace").strip(), _SHOWN)
        return Answer.REFUSED, f"HTTP {reply.status} {said}".strip(), ""
    line = _signature(head, witness, reply.body)
    if line is None:
        return Answer.REFUSED, "its answer holds no cosignature by its configured key", ""
    return Answer.COSIGNED, "", line


def _signature(head: _Head, witness: Witness, body: bytes) -> str | None:
    """The witness's line, verified; lines of other keys are passed over."""
    key = WitnessKey.parse(witness.key)
    text = parse_note(head.note.encode()).text
    try:
        found: list[Signature] = [
            parse_signature(line) for line in body.decode().removesuffix("\n").split("\n")
        ]
        for signature in found:
            if (signature.name, signature.key_id) == (key.name, key.key_id):
                verify_cosignature(text, signature, key)
                return signature.line().removesuffix("\n")
    except (NoteError, UnicodeDecodeError):
        return None
    return None


async def _keep(
    services: Services, head: _Head, witness: Witness, said: tuple[Answer, str, str], size: int
) -> tuple[Watch, bool]:
    """Store signature and answer; urgent, so that a dead log does not hide what was said."""
    answer, detail, line = said
    origin = head.checkpoint.origin

    def work(tx: Transaction) -> tuple[Watch, bool]:
        held = tx.find(Watch, witness.key_name)
        if line:
            tx.cosign(Cosignature(origin, head.checkpoint.size, witness.key_name, line))
        new = Watch(
            witness=witness.key_name,
            origin=origin,
            answer=answer,
            at=tx.now(),
            size=size,
            detail=detail,
            version=held.version if held else 0,
        )
        is_new = held is None or (held.answer, held.detail) != (answer, detail)
        return tx.put(new), is_new

    watch, is_new = await services.store.transact(work, urgent=True)
    if is_new and answer is Answer.CONTRADICTED:
        await services.notifier.notify(
            Notice(
                kind="log:contradicted",
                about=witness.id,
                to=watchers(services),
                text=f"the witness {witness.id} contradicts the log: {detail};"
                " keep the database as it is and run `callpoint log status`",
                urgent=True,
            )
        )
    return watch, is_new
