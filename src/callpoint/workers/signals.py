"""A lane for each signal stream: a receiver that is slow or away holds up nobody else."""

import asyncio
from datetime import timedelta

from callpoint.domain.outbox import Outbox
from callpoint.lifecycle.push_signals import tend_stream
from callpoint.lifecycle.signal_desk import SignalDesk
from callpoint.ports.stores import Transaction, View, Where
from callpoint.workers.lanes import Lanes
from callpoint.workers.loop import Loop, Surroundings, run_all

EVERY = timedelta(seconds=1)
"""How soon what was logged is on its way."""


class SignalLanes:
    """Starts the lanes of the configured streams.

    Args:
        desk: Whose signals.
        around: To be heard.
    """

    def __init__(self, desk: SignalDesk, around: Surroundings) -> None:
        self._desk = desk
        self._logger = around.logger
        self._lanes = Lanes("signals", self._tend, around)
        self._loop = Loop("signals", self._start, EVERY, around)

    async def run(self, stop: asyncio.Event, grace: timedelta) -> None:
        """Until ``stop``; a token that is on its way may arrive within ``grace``."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lanes.run(stop, grace), name="signal lanes")
            group.create_task(run_all((self._loop,), stop, grace), name="signal loop")

    async def _start(self) -> None:
        streams = await self._desk.streams()
        store = self._desk.services.store
        gone = await store.read(lambda view: _gone(view, frozenset(streams)))
        if gone:
            # A stream of the same name, later, begins where it is published.
            await store.transact(lambda tx: _forget(tx, gone), urgent=True)
        self._lanes.start(streams)

    async def _tend(self, name: str) -> None:
        stream = (await self._desk.streams()).get(name)
        if stream is None:
            return
        done = await tend_stream(self._desk, stream)
        for jti, error in done.refused.items():
            self._logger.error("signal_refused", stream=name, jti=jti, detail=error)
        if done.is_news and done.error:
            self._logger.warning("receiver_fails", stream=name, detail=done.error)
        elif done.is_news:
            self._logger.warning("receiver_answers", stream=name)


def _gone(view: View, streams: frozenset[str]) -> tuple[str, ...]:
    rows = view.select(Outbox, Where(skip_spoilt=True))
    return tuple(row.stream for row in rows if row.stream not in streams)


def _forget(tx: Transaction, names: tuple[str, ...]) -> None:
    for name in names:
        tx.remove(Outbox, name)
