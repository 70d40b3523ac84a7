"""An authority that answers what a test laid out, and remembers what it was asked."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from callpoint.domain.allowance import Portion, Used
from callpoint.domain.gateway import Evidence, Recording
from callpoint.domain.offline import OnLoss
from callpoint.domain.offline_journal import Told
from callpoint.lifecycle.live_sessions import LiveSessions
from callpoint.ports.authority import (
    Arrival,
    Cut,
    Deed,
    Granted,
    Greeting,
    Opened,
    Outcome,
    Standing,
    Taken,
    Verdict,
)
from callpoint.ports.credential import Credential
from tests.fakes.clock import START

SECRET = "a-password-of-the-target"
GREETING = Greeting(b"salt" * 4, 4096, b"s" * 32, b"k" * 32)
VERDICT = Verdict(
    allowed=False,
    number=7,
    reasons=("policy[no-drop] says no",),
    way_out="ask for it",
    portion=Portion(rows=10),
    is_paused=True,
)

GRANTED = Granted(("a2V5",), {"s1": "a.signed.grant"})


def opened(session: str = "s1") -> Opened:
    """A session, with all that one can say."""
    return Opened(
        session=session,
        activation="abcdefghij01",
        principal="fixer",
        persons=("alice",),
        incident="inc-7",
        target="orders-db",
        role="repair",
        credential=Credential("cp_x", SECRET, {"host": "db.example", "port": "5432"}, "psql"),
        not_after=START + timedelta(minutes=30),
        evidence=Evidence.WITH,
        recording=Recording.HASHED,
        on_loss=OnLoss.OFFLINE,
    )


class ScriptedAuthority:
    """Implements ``ports.authority.Authority``.

    Attributes:
        asked: Every question, in order, with the gateway that it was asked for.
        errors: By the name of a question: raised instead of the answer.
        live: Where orders are given.
    """

    def __init__(self, live: LiveSessions | None = None, gateway: str = "") -> None:
        self.asked: list[tuple[str, str, object]] = []
        self.errors: dict[str, Exception] = {}
        self.live = live or LiveSessions()
        self._gateway = gateway

    def of(self, gateway: str) -> "ScriptedAuthority":
        """The same one, on behalf of a gateway."""
        made = ScriptedAuthority(self.live, gateway)
        made.asked, made.errors = self.asked, self.errors
        return made

    async def greet(self, connection: str, source: str) -> Greeting:
        self._note("greet", (connection, source))
        return GREETING

    async def open_session(self, arrival: Arrival) -> Opened:
        self._note("open", arrival)
        return opened()

    async def decide(self, session: str, deed: Deed) -> Verdict:
        self._note("decide", (session, deed))
        return VERDICT

    async def draw(self, session: str, number: int, used: Used) -> Portion:
        self._note("draw", (session, number, used))
        return Portion(rows=0, bytes=5)

    async def report(self, session: str, outcome: Outcome) -> Standing:
        self._note("report", (session, outcome))
        return Standing.PAUSED

    async def end_session(self, session: str, reason: str) -> None:
        self._note("end", (session, reason))

    async def standing(self, sessions: Sequence[str]) -> dict[str, Standing]:
        self._note("standing", tuple(sessions))
        return {s: Standing.OPEN if s == "s1" else Standing.OVER for s in sessions}

    async def grants(self, journal: str, sessions: Sequence[str]) -> Granted:
        self._note("grants", (journal, tuple(sessions)))
        return GRANTED

    async def take(self, told: Told) -> Taken:
        self._note("take", told)
        return Taken(told.entries[-1].seq if told.entries else 0)

    def cuts(self) -> AsyncIterator[Cut | None]:
        self._note("cuts", None)
        return self.live.cuts()

    def _note(self, question: str, said: object) -> None:
        self.asked.append((self._gateway, question, said))
        if question in self.errors:
            raise self.errors[question]
