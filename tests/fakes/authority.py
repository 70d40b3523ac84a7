"""An authority in memory, of which a test decides what it says."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from callpoint.adapters.tokens.jose import JoseGrants
from callpoint.domain import scram
from callpoint.domain.allowance import Portion, Used
from callpoint.domain.errors import (
    ConflictError,
    DeniedError,
    StoreUnavailableError,
    UnavailableError,
)
from callpoint.domain.gateway import Evidence, Recording
from callpoint.domain.offline import OfflineAllowance, OfflineGrant, OnLoss, gateway_audience
from callpoint.domain.offline_journal import Chained, Told
from callpoint.domain.operation import Operation
from callpoint.ports.authority import (
    Arrival,
    Cut,
    Deed,
    Granted,
    Greeting,
    Opened,
    Outcome,
    Reach,
    Standing,
    Taken,
    Verdict,
)
from callpoint.ports.credential import Credential
from tests.fakes.keys import Signer

_SALT = b"salt-of-a-test-s"
GRANTS = JoseGrants(Signer("token-key"))


@dataclass
class FakeAuthority:
    """Implements ``ports.authority.Authority``.

    Attributes:
        credential: What each session gets.
        secrets: Connection secrets by connection; each opens as many sessions as it likes.
        allows: Whether an operation is allowed.
        portion: What a deed gets at first.
        further: What ``draw`` answers, one after the other; then nothing more.
        rows: What all deeds together may let through; None does not restrict.
        is_silent: Nothing is answered but orders.
        deeds: What was asked, in order.
        verdicts: What was answered.
        outcomes: What was reported.
        draws: What was drawn.
        arrivals: Who came.
        ended: Which sessions were ended, and why.
        on_loss: Whether sessions get offline grants, with ``offline`` and for ``offline_for``.
        told: What was done without it.
    """

    credential: Credential
    secrets: dict[str, str] = field(default_factory=lambda: {"conn1": "secret-of-conn1"})
    allows: Callable[[str, str], bool] = lambda _verb, _object: True
    portion: Portion = field(default_factory=Portion)
    further: deque[Portion] = field(default_factory=deque)
    recording: Recording = Recording.FULL
    is_silent: bool = False
    is_paused: bool = False
    lifetime: timedelta = timedelta(hours=1)
    deeds: list[Deed] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    draws: list[Used] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    ended: list[tuple[str, str]] = field(default_factory=list)
    open: dict[str, Opened] = field(default_factory=dict)
    on_loss: OnLoss = OnLoss.CUT
    offline: OfflineAllowance = field(default_factory=OfflineAllowance)
    offline_for: timedelta = timedelta(minutes=5)
    gateway: str = ""
    told: list[Chained] = field(default_factory=list)
    _known: dict[str, set[Operation]] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)
    _lines: list["asyncio.Queue[Cut | UnavailableError]"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._greetings: dict[str, Greeting] = {}

    # ---------------------------------------------------------------- the port

    async def greet(self, connection: str, source: str) -> Greeting:
        self._must_speak()
        if connection not in self._greetings:
            secret = self.secrets.get(connection)
            made = scram.verifier(secret, _SALT) if secret else scram.unfit(connection, b"key")
            self._greetings[connection] = Greeting(
                made.salt, made.iterations, made.stored_key, made.server_key
            )
        return self._greetings[connection]

    async def open_session(self, arrival: Arrival) -> Opened:
        self._must_speak()
        self.arrivals.append(arrival)
        self.gateway = arrival.gateway
        if arrival.connection not in self.secrets:
            raise DeniedError("no such connection", way_out="ask for a new one")
        opened = Opened(
            session=f"s{len(self.arrivals)}",
            activation="act-1",
            principal="alice",
            persons=("alice",),
            incident="inc-7",
            target="orders-db",
            role="repair",
            credential=self.credential,
            not_after=datetime.now(UTC) + self.lifetime,
            evidence=Evidence.BEFORE,
            recording=self.recording,
            on_loss=self.on_loss,
        )
        self.open[opened.session] = opened
        return opened

    async def decide(self, session: str, deed: Deed) -> Verdict:
        self._must_speak()
        self._must_be_open(session)
        self.deeds.append(deed)
        number = self._numbers[session] = self._numbers.get(session, 0) + 1
        denied = [str(o) for o in deed.operations if not self.allows(o.verb, o.object)]
        if deed.refused:
            verdict = Verdict(False, number, (deed.refused,))
        elif self.is_paused:
            verdict = Verdict(
                False, number, ("rows are spent",), "ask a person to resume it", is_paused=True
            )
        elif denied:
            reasons = (f"policy 'test' denies {denied[0]}", *denied[1:])
            verdict = Verdict(False, number, reasons, "ask for another role")
        else:
            verdict = Verdict(True, number, portion=self.portion)
            self._known.setdefault(session, set()).update(deed.operations)
        self.verdicts.append(verdict)
        return verdict

    async def draw(self, session: str, number: int, used: Used) -> Portion:
        self._must_speak()
        self._must_be_open(session)
        self.draws.append(used)
        if self.further:
            return self.further.popleft()
        self.is_paused = True
        return Portion(0, 0)

    async def report(self, session: str, outcome: Outcome) -> Standing:
        self._must_speak()
        self.outcomes.append(outcome)
        if session not in self.open:
            return Standing.OVER
        return Standing.PAUSED if self.is_paused else Standing.OPEN

    async def end_session(self, session: str, reason: str) -> None:
        self._must_speak()
        self.open.pop(session, None)
        self.ended.append((session, reason))

    async def standing(self, sessions: Sequence[str]) -> dict[str, Standing]:
        self._must_speak()
        return {s: Standing.OPEN if s in self.open else Standing.OVER for s in sessions}

    async def grants(self, journal: str, sessions: Sequence[str]) -> Granted:
        self._must_speak()
        found = {s: self.open[s] for s in sessions if s in self.open}
        if self.on_loss is OnLoss.CUT or self.is_paused:
            found = {}
        return Granted(
            GRANTS.keys,
            {s: GRANTS.sign(self.grant(opened, journal)) for s, opened in found.items()},
        )

    def grant(self, opened: Opened, journal: str) -> OfflineGrant:
        """What it would sign."""
        now = datetime.now(UTC)
        return OfflineGrant(
            iss="inst01",
            aud=gateway_audience("inst01", self.gateway),
            jti="grant",
            iat=int(now.timestamp()),
            exp=int((now + self.offline_for).timestamp()),
            journal=journal,
            session=opened.session,
            activation=opened.activation,
            principal=opened.principal,
            persons=opened.persons,
            incident=opened.incident,
            target=opened.target,
            role=opened.role,
            configuration_digest="c" * 64,
            policy_digest="d" * 64,
            allowance=self.offline,
            operations=tuple(sorted(self._known.get(opened.session, ()))),
        )

    async def take(self, told: Told) -> Taken:
        self._must_speak()
        newest = self.told[-1].seq if self.told else 0
        self.told += [one for one in told.entries if one.seq > newest]
        return Taken(self.told[-1].seq if self.told else 0)

    async def cuts(self) -> AsyncIterator[Cut | None]:
        line: asyncio.Queue[Cut | UnavailableError] = asyncio.Queue()
        self._lines.append(line)
        yield None
        try:
            while True:
                order = await line.get()
                if isinstance(order, UnavailableError):
                    raise order
                yield order
        finally:
            self._lines.remove(line)

    # ---------------------------------------------------------------- what a test does

    def kill(
        self, reach: Reach = Reach.EVERYTHING, about: str = "", reason: str = "killed"
    ) -> None:
        """Order it, and know that the sessions are over."""
        order = Cut(reach, about, reason)
        for session in [s for s, opened in self.open.items() if order.covers(opened)]:
            del self.open[session]
        for line in self._lines:
            line.put_nowait(order)

    def drop_lines(self) -> None:
        """The lines of orders break; new ones can be had."""
        for line in self._lines:
            line.put_nowait(UnavailableError("the line broke"))

    def deny(self, *denied: str) -> None:
        """Deny these: ``sql:select public.items``, or a verb on whatever it is."""
        self.allows = lambda verb, name: verb not in denied and f"{verb} {name}" not in denied

    @property
    def asked(self) -> list[tuple[str, ...]]:
        """The operations of each deed, as words."""
        return [tuple(str(operation) for operation in deed.operations) for deed in self.deeds]

    def _must_speak(self) -> None:
        if self.is_silent:
            raise StoreUnavailableError("the store does not answer", way_out="try again")

    def _must_be_open(self, session: str) -> None:
        if session not in self.open:
            raise ConflictError("the session is over")
