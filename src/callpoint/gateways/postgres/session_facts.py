"""The facts that one session is read by, and when they must be read anew."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from callpoint.domain.errors import DeniedError
from callpoint.gateways.postgres.replies import Replies
from callpoint.gateways.postgres.sql.catalogue_query import (
    CATALOGUE_QUERY,
    VERSION_QUERY,
    catalogue_of,
)
from callpoint.gateways.postgres.sql.classify import Classifier
from callpoint.gateways.postgres.sql.facts import Pins
from callpoint.gateways.postgres.sql.session import Session
from callpoint.gateways.postgres.wanted import Catalogues, Facts, Wanted
from callpoint.ports.clock import Clock


class Asker(Protocol):
    """A session in which the gateway can ask something for itself."""

    @property
    def replies(self) -> Replies:
        """What is on its way."""
        ...

    async def settled(self) -> None:
        """Wait until everything that was sent is answered."""

    async def ask(self, text: str) -> list[tuple[str | None, ...]]:
        """A query that the client does not see.

        Raises:
            TargetError: The target refuses it.
        """
        ...


@dataclass(slots=True, eq=False)
class SessionFacts:
    """What the session's catalogue has, as far as it is known.

    Attributes:
        asker: The session.
        pins: Its search path.
        place: The server and database.
        shared: Facts that other sessions read.
        max_age: After which they are checked, outside transactions.
        stale: They may be wrong: something was sent that changes the catalogue.
    """

    asker: Asker
    pins: Pins
    place: tuple[object, ...]
    shared: Catalogues
    clock: Clock
    max_age: timedelta
    stale: bool = True
    _facts: Facts | None = None
    _checked: float = 0.0

    async def want(self, text: str, types: tuple[int, ...], session: Session) -> Wanted:
        """As ``Facts.want``, by facts that are true now."""
        facts = self._facts
        if facts is None or self.stale or self._is_old:
            facts = await self._freshened()
        return await facts.want(text, types, session)

    @property
    def _is_old(self) -> bool:
        return self.clock.monotonic() - self._checked > self.max_age.total_seconds()

    async def _freshened(self) -> Facts:
        replies, facts = self.asker.replies, self._facts
        if facts is None or self.stale:
            await self.asker.settled()
            if facts is not None and replies.skips:
                return facts  # whatever is sent now is discarded
            if facts is not None and replies.status == "E":
                return self._of_a_failed_transaction(facts)
            return await self._read()
        is_between = not len(replies) and replies.is_ended and replies.status == "I"
        # Within a transaction a query of ours would fix what the client may still choose.
        return await self._read() if is_between else facts

    def _of_a_failed_transaction(self, facts: Facts) -> Facts:
        """Nothing can be read now, and nothing runs but the transaction's end."""
        if not self.asker.replies.is_ended:
            raise DeniedError(
                "after a failed change of the catalogue the gateway must look at it again first",
                way_out="send a Sync after the transaction's end",
            )
        return facts

    async def _read(self) -> Facts:
        version = str((await self.asker.ask(VERSION_QUERY))[0][0])
        place = (*self.place, self.pins.path)
        facts = self.shared.known(place, version)
        if facts is None:
            rows = await self.asker.ask(CATALOGUE_QUERY)
            facts = Facts(Classifier(catalogue_of(rows), self.pins))
            replies = self.asker.replies
            if replies.is_ended and replies.status == "I":
                self.shared.keep(place, facts)  # in a transaction it may never come to be
        self._facts = facts
        self._checked = self.clock.monotonic()
        self.stale = False
        return facts
