"""One pass over a signal stream: look at the log, and push what is new to its receiver (RFC 8935).

Each stream is worked on alone, and by one process at a time. What was sent and not noted is sent
again: a receiver knows a repetition by its ``jti``. An attempt is repeated for ever. A signal that
a receiver cannot take does not hold up the others; a receiver that is not there gets everything,
in order, when it comes back.
"""

from datetime import datetime, timedelta

import msgspec

from callpoint.domain.errors import CallpointError, TamperError, UnavailableError
from callpoint.domain.outbox import Outbox
from callpoint.domain.signal_stream import Delivery, SignalStream
from callpoint.domain.untrusted import printable
from callpoint.lifecycle.signal_desk import Letter, SignalDesk
from callpoint.lifecycle.signal_source import opened, whole
from callpoint.ports.signals import Receipt
from callpoint.ports.stores import Transaction

BATCH = 20
"""Tokens between two notes of what was sent."""

PATIENCE = timedelta(seconds=20)
"""A batch ends after it, so that a slow receiver does not outlast the claim."""

_ACCEPTED, _BAD_REQUEST = 202, 400
_MAX_WORD = 64
_WHOLE_STREAM = frozenset(
    {
        "invalid_key",
        "invalid_issuer",
        "invalid_audience",
        "authentication_failed",
        "access_denied",
    }
)
"""Errors of RFC 8935, 2.4 that the next token would meet too."""


class Pass(msgspec.Struct, frozen=True):
    """What a pass did.

    Attributes:
        sent: Tokens that the receiver took.
        refused: ``jti`` of tokens that it will not take, and why.
        error: Why it stopped; empty when nothing was wrong.
        is_news: The stream did not fail before, or failed and works again.
    """

    sent: int = 0
    refused: dict[str, str] = {}
    error: str = ""
    is_news: bool = False


class _Said(msgspec.Struct, frozen=True):
    """The body of a 400 (RFC 8935, 2.3)."""

    err: str
    description: str = ""


class _Batch(msgspec.Struct, frozen=True):
    sent: tuple[str, ...] = ()
    refused: dict[str, str] = {}
    error: str = ""


async def tend_stream(desk: SignalDesk, stream: SignalStream) -> Pass:
    """Until nothing can be sent now.

    Raises:
        CallpointError: Our own side: the store, the log. It is kept in the row too, where it can
            be, as what a receiver does wrong is.
    """
    held = await desk.services.store.read(lambda view: view.find(Outbox, stream.id))
    if held is not None and held.is_resting(desk.services.clock.now()):
        return Pass()
    try:
        return await _tend(desk, stream)
    except TamperError as error:
        wrong = _Batch(error=f"nothing is told: {error.message}")
        await _settle(desk, stream, "", wrong, goes_on=False)
        raise


async def _tend(desk: SignalDesk, stream: SignalStream) -> Pass:
    box = await desk.fill(stream)
    me = desk.services.random.ident(12)
    done = Pass()
    if box.failures and (stream.delivery is Delivery.POLL or not (box.waiting or box.asked)):
        box = await _settle(desk, stream, me, _Batch(), goes_on=False)  # it was our own side
    while stream.delivery is Delivery.PUSH and _has_work(box, desk):
        claimed = box if box.claim == me else await _claim(desk, stream, me)
        if claimed is None:
            break
        try:
            batch = await _send(desk, stream, claimed)
        except CallpointError:
            await _let_go(desk, stream, me)
            raise
        box = await _settle(desk, stream, me, batch)
        done = Pass(
            sent=done.sent + len(batch.sent),
            refused={**done.refused, **batch.refused},
            error=batch.error,
            is_news=done.is_news or bool(claimed.failures) != bool(box.failures),
        )
        if batch.error or desk.stop.is_set():
            break
        if not _has_work(box, desk):
            box = await desk.fill(stream)
    return done


def _has_work(box: Outbox, desk: SignalDesk) -> bool:
    now = desk.services.clock.now()
    return not box.is_resting(now) and _has_more(box, now)


def _has_more(box: Outbox, now: datetime) -> bool:
    return bool(box.due(now) or box.asked)


async def _claim(desk: SignalDesk, stream: SignalStream, me: str) -> Outbox | None:
    """The row, held for this pass; None while another process holds it."""
    services = desk.services

    def work(tx: Transaction) -> Outbox | None:
        row, now = tx.find(Outbox, stream.id), services.clock.now()
        if row is None or row.is_held(me, now):
            return None
        return tx.put(row.claimed(me, now + services.limits.claim_for))

    return await services.store.transact(work, urgent=True)


async def _send(desk: SignalDesk, stream: SignalStream, box: Outbox) -> _Batch:
    clock = desk.services.clock
    letters = await desk.letters(stream, box, box.due(clock.now())[:BATCH])
    began = clock.monotonic()
    sent: list[str] = []
    refused: dict[str, str] = {}
    for letter in letters:
        if clock.monotonic() - began > PATIENCE.total_seconds():
            break
        error, is_final = await _push(desk, stream, letter)
        if not error:
            sent.append(letter.jti)
        elif is_final:
            refused[letter.jti] = error
        else:
            return _Batch(tuple(sent), refused, error)
    return _Batch(tuple(sent), refused)


async def _push(desk: SignalDesk, stream: SignalStream, letter: Letter) -> tuple[str, bool]:
    """What was wrong, empty when nothing; and whether it is about this token alone."""
    try:
        receipt = await desk.receivers.push(stream, letter.token)
    except UnavailableError as error:
        return error.message, False
    if receipt.status == _ACCEPTED:
        return "", False
    if receipt.status != _BAD_REQUEST:
        # A page that answers 200 to everything has not taken anything.
        return f"it answered HTTP {receipt.status}, and 202 is what takes a token", False
    said = _read(receipt)
    if said is None:
        return "it answered HTTP 400 and did not say why", False
    words = f"{printable(said.err, _MAX_WORD)} {printable(said.description)}".strip()
    return words, said.err not in _WHOLE_STREAM


def _read(receipt: Receipt) -> _Said | None:
    try:
        return msgspec.json.decode(receipt.body, type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


async def _let_go(desk: SignalDesk, stream: SignalStream, me: str) -> None:
    """Nothing was sent, for a reason of our own."""

    def work(tx: Transaction) -> None:
        row = tx.find(Outbox, stream.id)
        if row is not None and row.claim == me:
            tx.put(row.released())

    await desk.services.store.transact(work, urgent=True)


async def _settle(
    desk: SignalDesk, stream: SignalStream, me: str, batch: _Batch, *, goes_on: bool = True
) -> Outbox:
    """Note what became of a batch; let go, unless it goes on and there is more to send."""
    services = desk.services

    def work(tx: Transaction) -> Outbox:
        now = services.clock.now()
        row = tx.find(Outbox, stream.id) or opened(whole(tx, services.installation), stream)
        row = row.confirmed(batch.sent, now)
        tries = {one.jti: one.refusals + 1 for one in row.waiting}
        for jti, error in batch.refused.items():
            row = row.refused(jti, now + desk.wait(tries.get(jti, 1)), error)
        if batch.error:
            row = row.failed(batch.error, now, now + desk.wait(row.failures + 1))
        else:
            row = row.reached()
        if row.claim != me:
            return tx.put(row)
        is_over = batch.error or desk.stop.is_set() or not (goes_on and _has_more(row, now))
        until = now + services.limits.claim_for
        return tx.put(row.released() if is_over else row.claimed(me, until))

    return await services.store.transact(work, urgent=True)
