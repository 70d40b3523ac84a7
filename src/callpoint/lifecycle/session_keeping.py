"""The sessions of one gateway that this process keeps: it numbers their actions.

A session that another process kept is taken over when it is asked for here.
"""

from collections.abc import Iterable

import msgspec

from callpoint.audit.entry import parse_entry
from callpoint.domain import event as ev
from callpoint.domain.errors import ConflictError, DeniedError
from callpoint.domain.gateway import Evidence
from callpoint.domain.ids import session_stream
from callpoint.domain.operation import Operation
from callpoint.domain.session import LIVE, Session
from callpoint.domain.untrusted import printable
from callpoint.lifecycle.offline_grant import Allowed
from callpoint.lifecycle.refusal import refused_on_record
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.session_memory import Answers, LiveSession
from callpoint.lifecycle.session_recorder import MOST_AHEAD
from callpoint.ports.stores import Transaction, View

_KEEPER_LENGTH = 20
_ID_LIMIT = 64
_ASKED = "session:decide"


class SessionKeeping:
    """Of one gateway.

    Args:
        services: Ports and rules.
        gateway: Its configured name.

    Attributes:
        keeper: Names this process in the rows of the sessions that it keeps.
        allowed: What was allowed in them, as far as it is known here.
    """

    def __init__(self, services: Services, gateway: str) -> None:
        self.gateway = gateway
        self.keeper = services.random.ident(_KEEPER_LENGTH)
        self.allowed = Allowed()
        self._services = services
        self._answers = Answers()
        self._live: dict[str, LiveSession] = {}

    def begin(self, session: str) -> LiveSession:
        """It was opened here."""
        live = self._live[session] = self.fresh(session)
        return live

    def find(self, session: str) -> LiveSession | None:
        """What is remembered of it; None where it is kept elsewhere, or is over."""
        return self._live.get(session)

    def beside(self, sessions: Iterable[str]) -> tuple[LiveSession, ...]:
        """Of these, and of their activations' other sessions, what is remembered; by name."""
        named = [live for one in sessions if (live := self._live.get(one)) is not None]
        activations = {live.found.id for live in named if live.found is not None}
        theirs = [
            live
            for live in self._live.values()
            if live.found is not None and live.found.id in activations
        ]
        both = {live.id: live for live in (*named, *theirs)}
        return tuple(both[name] for name in sorted(both))

    def forget(self, session: str) -> None:
        """It is over."""
        self._live.pop(session, None)

    def fresh(self, session: str) -> LiveSession:
        """Nothing is remembered of it yet."""
        return LiveSession(session, self.gateway, self.keeper, self._answers)

    async def get(self, session: str) -> LiveSession:
        """What is remembered; a session of another process is taken over.

        Raises:
            ConflictError: It is over, or there is none.
            DeniedError: It is another gateway's; that is put on record.
        """
        live = self._live.get(session)
        if live is None:
            made = self.fresh(session)
            async with refused_on_record(self._services, await self._principal(), _ASKED, session):
                await self.take_over(made)
            live = self._live.setdefault(session, made)
        return live

    async def take_over(self, live: LiveSession) -> None:
        """Number its actions from here on; the process that did so before finds out (version)."""
        stream = session_stream(live.id)
        targets = (await self._services.rules.current()).configuration.targets

        def is_lax(row: Session) -> bool:
            target = targets.get(row.target)
            return target is None or target.evidenced is Evidence.WITH

        def work(tx: Transaction) -> tuple[int, Session, tuple[Operation, ...]]:
            row = self.row(tx, live.id)
            entries = [parse_entry(item.leaf) for item in tx.entries(stream)]
            actions = [
                event
                for entry in entries
                if isinstance(event := ev.parse(entry.type, entry.data), ev.ActionDecided)
            ]
            if row.state in LIVE:
                tx.put(msgspec.structs.replace(row, keeper=self.keeper, heard_at=tx.now()))
            # What waits for the log was numbered, too, and so was what the other process answered
            # and did not put on record: better a gap than a number twice.
            is_beside = is_lax(row) or any(one.evidence is Evidence.WITH for one in actions)
            ahead = tx.unnumbered(stream) + (MOST_AHEAD if is_beside else 0)
            last = max((event.number for event in actions), default=0) + ahead
            return last, row, tuple(o for one in actions if one.allowed for o in one.operations)

        last, row, allowed = await self._services.store.transact(work, urgent=True)
        live.taken_over(last)
        self.allowed.learn(row, allowed)

    def row(self, view: View, session: str) -> Session:
        """Raises ConflictError when there is no such session, DeniedError for another gateway's."""
        row = view.find(Session, session)
        if row is None:
            raise ConflictError(f"there is no session {printable(session, _ID_LIMIT)}")
        if row.gateway != self.gateway:
            raise DeniedError(f"session {row.id} is not one of the gateway {self.gateway}'s")
        return row

    async def _principal(self) -> str:
        """Whose key the gateway has; empty for one inside the server."""
        rules = (await self._services.rules.current()).configuration
        known = rules.known_gateways.get(self.gateway)
        return "" if known is None else known.principal
