"""What decisions in a session rest on: its rows, as they were read and proven last.

A process keeps them in memory. Each decision compares them, inside its own transaction, with what
is stored: nothing that was read before is believed, it is only not read, proven and asked anew
where it did not move.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from callpoint.domain import canonical
from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.allowance import Allowance
from callpoint.domain.asked import Asked, asked_of
from callpoint.domain.configuration import Configuration
from callpoint.domain.decision import Action, DecisionRequest
from callpoint.domain.errors import ConflictError, TamperError
from callpoint.domain.gateway import Evidence
from callpoint.domain.governance import InForce
from callpoint.domain.ids import activation_stream
from callpoint.domain.incident import Incident
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.lease import Lease
from callpoint.domain.operation import Operation
from callpoint.domain.record import Record
from callpoint.domain.session import LIVE, Session, SessionState
from callpoint.lifecycle import facts, gate
from callpoint.lifecycle.node import must_be_able_to_take_away
from callpoint.lifecycle.rules import Rules
from callpoint.lifecycle.services import Services, must_keep_time
from callpoint.lifecycle.use import must_be_live, must_not_be_over, proven_use
from callpoint.ports.identity import Caller
from callpoint.ports.stores import Transaction, View

IN_FORCE = "bundle"
"""Key of the row that names the rules in force."""

DRIFT = timedelta(seconds=2)
"""So far the moment that policy was asked about may be from the moment of the decision."""


class MovedError(ConflictError):
    """What was read is not what is stored (any more): read it again. It never leaves the steps.

    Attributes:
        now: The store's clock.
    """

    def __init__(self, session: str, now: datetime) -> None:
        super().__init__(f"what session {session} rests on moved meanwhile")
        self.now = now


class Basis(msgspec.Struct, frozen=True):
    """The rows, and the rules that they were read under.

    Attributes:
        pointer: Version of the row that names the rules in force.
    """

    rules: Rules
    session: Session
    found: Activation
    held: Lease
    incident: Incident | None
    pointer: int

    @property
    def allowance(self) -> Allowance:
        """What the activation may spend, as its approvers have seen it."""
        return self.found.request.spends

    def asked(self, at: datetime) -> Asked:
        """The facts that policy is asked about, at that moment."""
        configuration = self.rules.configuration
        moment = facts.Moment(incident=self.incident, now=at)
        opening = f"{self.session.target}:{self.session.role}"
        request = msgspec.structs.replace(self.found.request, opens=(opening,))
        one = msgspec.structs.replace(self.found, request=request)
        made = gate.questions(
            caller_of(self.session, configuration),
            self.rules,
            Action.SESSION_ACT,
            one,
            moment,
            quorum_met=True,
        )
        return asked_of(made, self.rules.configuration_digest)

    def must_hold(self, tx: Transaction, services: Services, at: datetime) -> datetime:
        """One atomic check on the store's clock (I4); returns its time.

        Raises:
            ConflictError: The session is over.
            MovedError: Something is another than it was, or ``at`` is too far away.
            ClockError, UnavailableError: Nobody can say now.
        """
        must_be_able_to_take_away(services.node)
        must_keep_time(tx, services)
        now = tx.now()
        must_not_be_over(self.found, now)
        if now >= self.session.not_after:
            raise ConflictError(f"session {self.session.id} expired")
        if abs(now - at) > DRIFT or tx.versions(self.rows()) != self._versions():
            raise MovedError(self.session.id, now)
        return now

    @property
    def evidence(self) -> Evidence:
        """When actions in it are on record, at the latest."""
        return self.rules.configuration.target(self.session.target).evidenced

    def is_open_at(self, now: datetime) -> bool:
        """Whether, as far as these rows say, something may be done in it at that moment."""
        ends, incident = self.found.not_after, self.incident
        return (
            self.session.state is SessionState.OPEN
            and now < self.session.not_after
            and ends is not None
            and now < ends
            and (incident is None or incident.state_at(now) is IncidentState.OPEN)
        )

    def is_as(self, stored: Mapping[tuple[type[Record], str], int]) -> bool:
        """Whether these are the versions that are stored."""
        return all(
            stored[row] == version
            for row, version in zip(self.rows(), self._versions(), strict=True)
        )

    def rows(self) -> tuple[tuple[type[Record], str], ...]:
        """What it rests on."""
        return (
            (Session, self.session.id),
            (Activation, self.found.id),
            (Lease, self.held.id),
            (Incident, self.found.request.incident),
            (InForce, IN_FORCE),
        )

    def _versions(self) -> tuple[int, ...]:
        return (
            self.session.version,
            self.found.version,
            self.held.version,
            self.incident.version if self.incident is not None else 0,
            self.pointer,
        )


def read_basis(view: View, services: Services, rules: Rules, session: str, gateway: str) -> Basis:
    """The rows of a session of that gateway, proven from the log.

    Raises:
        ConflictError: It is over, or there is none (of that gateway).
        MovedError: Other rules are in force.
        TamperError: A row is not what the log says.
        LogUnavailableError: The log cannot say now.
    """
    row = view.find(Session, session)
    if row is None or row.gateway != gateway or row.state not in LIVE:
        raise ConflictError(f"session {session} is over")
    found, held = proven_use(view, services, row.lease)
    must_be_live(found, held)
    must_not_be_over(found, view.now())
    stream = activation_stream(found.id)
    events = services.log.proven(view, services.installation, [stream])[stream]
    digests = {
        item.event.session_sha256
        for item in events
        if isinstance(item.event, ev.SessionOpened) and item.event.session == row.id
    }
    if row.digest() not in digests or held.activation != row.activation:
        raise TamperError(f"session {row.id} in the database is not one that was opened")
    pointer = view.get(InForce, IN_FORCE)
    if pointer.digest != rules.digest:
        raise MovedError(session, view.now())
    incident = view.find(Incident, found.request.incident)
    return Basis(rules, row, found, held, incident, pointer.version)


def caller_of(session: Session, configuration: Configuration) -> Caller:
    """Who acts in it, as it authenticated for it.

    Raises:
        NotFoundError: It is not configured any more.
    """
    return Caller(
        principal=configuration.principal(session.principal),
        key_id=session.id,
        strength=session.strength,
        acts_for=session.acts_for,
    )


def question_of(asked: Asked, operation: Operation) -> DecisionRequest:
    """What policy is asked about one operation."""
    (question,) = asked.questions()
    return msgspec.structs.replace(question, operation=operation)


def digest_of(asked: Asked) -> str:
    """Names the facts in the log."""
    return canonical.digest(asked)
