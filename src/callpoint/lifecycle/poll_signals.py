"""A receiver fetches its stream (RFC 8936), or asks for a verification event (SSF 1.0, 8.1.4).

What was fetched and is not confirmed is there again at the next poll. Nothing but a confirmation
takes a signal out, so a receiver that dies between the two has it twice, with the same ``jti``.
"""

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from callpoint.domain.errors import NotFoundError
from callpoint.domain.outbox import Asked, Outbox
from callpoint.domain.signal_stream import SignalStream
from callpoint.domain.untrusted import printable
from callpoint.lifecycle.signal_desk import SignalDesk
from callpoint.lifecycle.signal_source import opened, whole
from callpoint.ports.stores import Transaction

MOST = 100
"""Tokens in one answer."""

LONG = timedelta(seconds=20)
"""How long a poll that is to wait is held open."""

STEP = timedelta(milliseconds=500)
_HEARD_EVERY = timedelta(seconds=30)
_MAX_WORD = 64


class Fetch(msgspec.Struct, frozen=True):
    """What a receiver asks.

    Attributes:
        most: At most so many; 0 to confirm only.
        waits: It would rather wait than get nothing.
        confirmed: ``jti`` that it has.
        refused: ``jti`` that it cannot take, and its error and words.
    """

    most: int = MOST
    waits: bool = True
    confirmed: tuple[str, ...] = ()
    refused: Mapping[str, tuple[str, str]] = {}


class Fetched(msgspec.Struct, frozen=True):
    """Tokens by ``jti``, and whether there are more."""

    tokens: dict[str, str]
    more: bool


async def poll(desk: SignalDesk, stream: SignalStream, fetch: Fetch) -> Fetched:
    """Confirm, then fetch."""
    services = desk.services
    await _note(desk, stream, fetch)
    most = min(fetch.most, MOST)
    # One poll of a stream waits at a time: more of them would only cost.
    waits = fetch.waits and most > 0 and stream.id not in desk.waiting
    until = services.clock.monotonic() + LONG.total_seconds()
    try:
        if waits:
            desk.waiting.add(stream.id)
        while True:
            box = await desk.fill(stream)
            due = box.due(services.clock.now())
            is_there = bool(due or box.asked)
            is_late = services.clock.monotonic() >= until or desk.stop.is_set()
            if is_there or not waits or is_late:
                break
            await services.clock.sleep(STEP)
    finally:
        if waits:
            desk.waiting.discard(stream.id)
    if not most:
        return Fetched({}, is_there)
    room = most - (1 if box.asked else 0)
    letters = await desk.letters(stream, box, due[:room])
    # Without room there is more in the log than in the row.
    more = len(due) > room or not box.room
    return Fetched({letter.jti: letter.token for letter in letters}, more)


async def _note(desk: SignalDesk, stream: SignalStream, fetch: Fetch) -> None:
    """What was confirmed and refused; and, now and then, that the receiver is there."""
    services = desk.services

    def work(tx: Transaction) -> None:
        row, now = tx.find(Outbox, stream.id), services.clock.now()
        if row is None:
            return
        new = row.confirmed(fetch.confirmed, now)
        tries = {one.jti: one.refusals + 1 for one in row.waiting}
        known = tries.keys() | ({row.asked.jti} if row.asked else set())
        for jti, (error, text) in fetch.refused.items():
            if jti in known:
                words = f"{printable(error, _MAX_WORD)} {printable(text)}".strip()
                new = new.refused(jti, now + desk.wait(tries.get(jti, 1)), words)
        if new.heard_at is None or now - new.heard_at > _HEARD_EVERY:
            new = msgspec.structs.replace(new, heard_at=now)
        if not any(one.refusals for one in new.waiting):
            new = msgspec.structs.replace(new, error="")
        if new != row:
            tx.put(new)

    await services.store.transact(work, urgent=True)


async def ask_verification(desk: SignalDesk, stream: SignalStream, state: str) -> None:
    """A verification event joins the stream; one that waits already is replaced."""
    services = desk.services
    jti = f"verification-{services.random.ident(20)}.{stream.id}"

    def work(tx: Transaction) -> None:
        row = tx.find(Outbox, stream.id)
        if row is None:
            row = opened(whole(tx, services.installation), stream)
        tx.put(msgspec.structs.replace(row, asked=Asked(jti, services.clock.now(), state)))

    await services.store.transact(work, urgent=True)


def stream_of(streams: Mapping[str, SignalStream], name: str) -> SignalStream:
    """One of the streams that the caller may see, or NotFoundError."""
    found = streams.get(name)
    if found is None:
        raise NotFoundError(
            f"no stream of yours is called {printable(name)!r}",
            way_out="the configuration names who may fetch which stream (`[signals.NAME]`)",
        )
    return found
