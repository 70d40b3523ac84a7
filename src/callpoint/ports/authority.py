"""The questions that a gateway may ask: who is this, may it do this now, is it still welcome?

A gateway speaks a target's protocol with the actor on one side and the target on the other. It
holds neither the target's administrative credentials nor a key of the log: the authority has the
store, the policies and the log. In one process it is called directly; a gateway that runs alone
reaches it over HTTPS (``gateways.authority``). Both pass the same contract suite.

* Nothing is let through that ``decide`` did not allow, action by action, and it is on record,
  durably, before ``decide`` returns (R5, I4). With ``Evidence.WITH`` a yes to a deed that only
  reads may return while its record is being written, and the evidence says so.
* Each decision is one atomic check on the store's clock: the session, its activation, lease and
  incident, the allowance, and policy. Such an early yes rests on one that is at most 2 s old, with
  nothing ordered since; the check of its record ends the session when it comes out otherwise.
* Ending never waits and never asks policy (I11). A cut reaches a gateway by push, and behind it
  stands ``standing``, asked at most ``POLL`` apart. Who hears nothing for ``LOSS`` cuts all (I13),
  but sessions with a signed grant: those go on with what the grant lists, each action in a journal
  first, and the journal is told when the authority answers again (docs/adr/0024).
* Errors: DeniedError (no; the reasons are for the actor), ConflictError (it is over),
  RequestError (the gateway asks nonsense), UnavailableError and StoreUnavailableError (nobody can
  say now: let nothing through).
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import msgspec

from callpoint.domain.allowance import Portion, Used
from callpoint.domain.gateway import Evidence, Recording
from callpoint.domain.offline import OnLoss
from callpoint.domain.offline_journal import Told
from callpoint.domain.operation import Operation
from callpoint.ports.credential import Credential

LOSS = timedelta(seconds=15)
"""A gateway that heard nothing from the authority for so long cuts every session (I13)."""

POLL = timedelta(seconds=2)
"""At most so far apart a gateway asks whether its sessions still stand, whatever was pushed."""


class Greeting(msgspec.Struct, frozen=True):
    """What checks a connection secret without knowing it: a SCRAM-SHA-256 verifier (RFC 5803).

    An unknown connection gets one that no secret fits, so nobody learns which ones exist.
    """

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


class Arrival(msgspec.Struct, frozen=True):
    """Somebody who has proven to know a connection secret.

    Attributes:
        connection: Its id, which the client gave as the user's name.
        source: The address that it comes from, as the gateway sees it: an IP address, no port.
        gateway: The gateway's configured name.
        client: What the client calls itself (untrusted words, for the record).
    """

    connection: str
    source: str
    gateway: str
    client: str = ""


class Opened(msgspec.Struct, frozen=True):
    """A session that stands, and what the gateway needs for it. Its ``repr`` hides the credential.

    Attributes:
        persons: Behind the principal.
        credential: The lease's, for the target. It stays in the gateway's memory.
        not_after: Then it is over, whatever anybody says; the gateway's own clock cuts it, too.
        evidence: When decisions are durable.
        recording: How statement texts and parameters go on record.
        on_loss: Whether it may go on without the authority (I13); ``grants`` says with what.
    """

    session: str
    activation: str
    principal: str
    persons: tuple[str, ...]
    incident: str
    target: str
    role: str
    credential: Credential
    not_after: datetime
    evidence: Evidence = Evidence.BEFORE
    recording: Recording = Recording.FULL
    on_loss: OnLoss = OnLoss.CUT

    def __repr__(self) -> str:
        return f"Opened(session={self.session!r}, target={self.target!r}, credential=<hidden>)"


class Deed(msgspec.Struct, frozen=True):
    """One action that an actor wants done: a statement, a command, a call.

    Attributes:
        operations: Everything that it would do; empty only if ``refused``. All must be allowed.
        refused: Why the gateway itself does not let it through, whatever policy says, for instance
            because nobody can tell what it would do. It is put on record, and the answer is no.
        text: For the record, already as ``Recording`` says, printable, at most ``TEXT_LIMIT``.
        text_sha256: Hex, of the exact text that will be let through.
        parameters: For the record, likewise.
        portion: What it wants to let through at first.
    """

    operations: tuple[Operation, ...]
    text: str = ""
    text_sha256: str = ""
    parameters: tuple[str, ...] = ()
    portion: Portion = Portion()
    refused: str = ""


TEXT_LIMIT = 4096
"""Bytes of a text that go on record; of a longer one the beginning, and the hash of all."""


class Verdict(msgspec.Struct, frozen=True):
    """The answer to a deed.

    Attributes:
        number: Of the deed within its session, from 1 on.
        reasons: Why not, for the actor.
        portion: What may pass before ``draw`` is asked for more.
        is_paused: An allowance is spent: every deed is refused until a person resumes it.
    """

    allowed: bool
    number: int
    reasons: tuple[str, ...] = ()
    way_out: str = ""
    portion: Portion = Portion()
    is_paused: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """What became of an allowed deed.

    Attributes:
        used: All that it let through, from its beginning.
        code: The target's error code; empty when it worked, ``cut`` when the gateway ended it.
        duration: From being let through to the target's last word.
    """

    number: int
    used: Used
    code: str = ""
    duration: timedelta = timedelta(0)


class Standing(StrEnum):
    """How a session stands."""

    OPEN = "open"
    PAUSED = "paused"
    OVER = "over"


class Granted(msgspec.Struct, frozen=True):
    """Signed offline grants (``ports.grants``), and who signs them.

    Attributes:
        keys: Raw Ed25519 public keys, base64.
        grants: By session; of those that are not here nothing may be done without the authority.
    """

    keys: tuple[str, ...] = ()
    grants: dict[str, str] = {}


class Taken(msgspec.Struct, frozen=True):
    """A journal was taken up to here, durably: nothing up to it needs to be told again."""

    seq: int


class Reach(StrEnum):
    """Which sessions an order means."""

    SESSION = "session"
    ACTIVATION = "activation"
    PRINCIPAL = "principal"
    TARGET = "target"
    INCIDENT = "incident"
    EVERYTHING = "everything"


class Cut(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order to gateways: end these sessions, now. It goes to all; each knows what it has.

    Attributes:
        about: Its name; of a principal or of a person behind it.
        reason: For the actor, for instance ``killed``.
        begun_by: It means no session that began later; None: whenever it began.
    """

    reach: Reach
    about: str = ""
    reason: str = ""
    begun_by: datetime | None = None

    def covers(self, opened: Opened, began: datetime | None = None) -> bool:
        """Whether it means that session, which its gateway asked for when it ``began``."""
        if self.begun_by is not None and began is not None and began > self.begun_by:
            return False
        match self.reach:
            case Reach.SESSION:
                return self.about == opened.session
            case Reach.ACTIVATION:
                return self.about == opened.activation
            case Reach.PRINCIPAL:
                return self.about in (opened.principal, *opened.persons)
            case Reach.TARGET:
                return self.about == opened.target
            case Reach.INCIDENT:
                return self.about == opened.incident
            case Reach.EVERYTHING:
                return True


class Authority(Protocol):
    """Decides for gateways. Each call is made on behalf of one configured gateway."""

    async def greet(self, connection: str, source: str) -> Greeting:
        """The verifier of a connection secret; changes nothing and tells nobody what exists."""
        ...

    async def open_session(self, arrival: Arrival) -> Opened:
        """Spend the connection secret and open a session, on record.

        Raises:
            DeniedError: Spent, too old, for another gateway or source, or policy says no.
            ConflictError: The activation or its lease is over.
        """
        ...

    async def decide(self, session: str, deed: Deed) -> Verdict:
        """Whether the deed may be done now. A no is an answer, not an error.

        Raises:
            ConflictError: The session is over: cut it.
        """
        ...

    async def draw(self, session: str, number: int, used: Used) -> Portion:
        """A further portion for an allowed deed that has let through ``used`` so far.

        An empty portion (zero rows or bytes) means that the allowance is spent: end the deed.

        Raises:
            ConflictError: The session is over.
        """
        ...

    async def report(self, session: str, outcome: Outcome) -> Standing:
        """What became of a deed; gives back what it did not use. Once for each allowed deed."""
        ...

    async def end_session(self, session: str, reason: str) -> None:
        """It is over, for whatever reason; ending what is over changes nothing."""
        ...

    async def standing(self, sessions: Sequence[str]) -> dict[str, Standing]:
        """How these sessions stand now, by the store. Unknown ones are over."""
        ...

    async def grants(self, journal: str, sessions: Sequence[str]) -> Granted:
        """Fresh offline grants for those of these sessions that may go on without the authority.

        Args:
            journal: Where their use will be on record; all that was in it must have been told.
            sessions: At most ``authority_calls.MAX_GRANTS``.
        """
        ...

    async def take(self, told: Told) -> Taken:
        """What was done without the authority, each entry once, whatever is wrong with it.

        Raises:
            RequestError: It is no part of a journal.
        """
        ...

    def cuts(self) -> AsyncIterator[Cut | None]:
        """Orders as they are given; None at least every ``POLL`` says that the line is alive.

        It ends or raises UnavailableError when the line is lost; the gateway asks again.
        """
        ...
