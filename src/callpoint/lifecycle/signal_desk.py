"""What the steps with signals need beside the services, and the tokens that they make."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from callpoint.domain.errors import TamperError
from callpoint.domain.outbox import Outbox, Pending
from callpoint.domain.security_event import SecurityEvent
from callpoint.domain.signal import claims_of, verification_of
from callpoint.domain.signal_stream import SignalStream
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.signal_source import (
    Slice,
    Whole,
    opened,
    placed,
    read_on,
    read_one,
    token_id,
    whole,
)
from callpoint.ports.signals import EventTokens, Receivers
from callpoint.ports.stores import Transaction, View

READINGS = 16
"""Readings of the log in one filling: a receiver that is far behind must not hold up the store."""


class Letter(msgspec.Struct, frozen=True):
    """A token on its way."""

    jti: str
    token: str


@dataclass(frozen=True)
class SignalDesk:
    """Handed over once by the composition root.

    Attributes:
        tokens: Signs.
        receivers: The way to those who are pushed to.
        issuer: ``iss`` of every token: our first public address.
        stop: Set when the process ends, so that nobody waits any more.
        waiting: Streams whose receiver waits for an answer to a poll.
    """

    services: Services
    tokens: EventTokens
    receivers: Receivers
    issuer: str
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: set[str] = field(default_factory=set)

    async def streams(self) -> dict[str, SignalStream]:
        """As the rules in force say, or the last that were proven here."""
        return (await self.services.rules.refresh()).streams

    async def fill(self, stream: SignalStream) -> Outbox:
        """Look at what is new in the log and keep the signals in it, as far as there is room.

        Raises:
            TamperError: The log is not the one that was signed.
            StoreUnavailableError: The store does not answer.
        """
        box = Outbox(stream.id, "", 0)
        for _ in range(READINGS):
            held, box, part = await self.services.store.read(lambda view: self._look(view, stream))
            if held == box and part.start == part.end:
                break
            new = box.looked(part.start, part.end, part.found)
            kept = await self._keep(held, new)
            box = new if kept is None else kept
            if kept is not None and (part.is_all or not box.room):
                break
        return box

    async def _keep(self, held: Outbox | None, new: Outbox) -> Outbox | None:
        """Put it in the place of what was read; None when another was faster."""

        def work(tx: Transaction) -> Outbox | None:
            return tx.put(new) if tx.find(Outbox, new.stream) == held else None

        return await self.services.store.transact(work, urgent=True)

    def _look(self, view: View, stream: SignalStream) -> tuple[Outbox | None, Outbox, Slice]:
        log = whole(view, self.services.installation)
        held = view.find(Outbox, stream.id)
        box = placed(log, opened(log, stream) if held is None else held)
        return held, box, read_on(log, box, stream)

    async def letters(
        self, stream: SignalStream, outbox: Outbox, pending: tuple[Pending, ...]
    ) -> list[Letter]:
        """Signed tokens: the verification event that was asked for first, then the signals.

        Raises:
            TamperError: An entry is not the one that was signed.
        """

        def read(view: View) -> list[SecurityEvent]:
            log = whole(view, self.services.installation)
            return [self._claims(log, stream, one) for one in pending]

        claims = await self.services.store.read(read) if pending else []
        if outbox.asked is not None:
            asked = outbox.asked
            claims.insert(
                0,
                verification_of(
                    stream, issuer=self.issuer, jti=asked.jti, at=asked.at, state=asked.state
                ),
            )
        return [Letter(one.jti, self.tokens.sign(one)) for one in claims]

    def _claims(self, log: Whole, stream: SignalStream, pending: Pending) -> SecurityEvent:
        entry, signal = read_one(log, pending.index)
        if token_id(entry, stream) != pending.jti:
            raise TamperError(f"the outbox of {stream.id} names another token than its entry")
        return claims_of(
            signal,
            stream,
            issuer=self.issuer,
            installation=log.installation.id,
            jti=pending.jti,
        )

    def wait(self, failures: int) -> timedelta:
        """After failures in a row: doubled each time, with jitter, never longer than a minute."""
        limits = self.services.limits
        doubled: int = 2 ** min(max(failures, 1) - 1, 10)
        longest = min(limits.backoff_base * doubled, limits.backoff_cap)
        return longest * (0.5 + self.services.random.fraction() / 2)
