"""Which entries of an activation's log are signals, and what a receiver is told of them.

Pure: the same entries and the same stream give the same claims, so a repetition is one. What leaves
is ids and closed words. No person, justification, account name or word of a stranger does, but the
addresses that the configuration gives for this very stream.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET

from callpoint.domain import event as ev
from callpoint.domain.activation import EndReason
from callpoint.domain.errors import TamperError
from callpoint.domain.event import AnyEvent
from callpoint.domain.request import Request
from callpoint.domain.security_event import (
    ComplexSubject,
    CredentialChange,
    EmailAddress,
    Events,
    IssuerSubject,
    Opaque,
    SecurityEvent,
    SessionEstablished,
    SessionRevoked,
    Simple,
    Verification,
)
from callpoint.domain.signal_stream import SignalKind, SignalStream
from callpoint.domain.undo_plan import UndoPlan

TOLD = frozenset(
    {
        "activation:activated",
        "activation:ended",
        "lease:issued",
        "lease:ended",
        "secret:promoted",
        "session:opened",
        "session:ended",
    }
)
"""Names of the entries that are signals."""

CONTEXT = TOLD - {"session:ended"} | {"activation:requested"}
"""Names of the entries that are needed to tell them."""

_ToldOfAll: TypeAlias = (
    ev.ActivationActivated | ev.ActivationEnded | ev.LeaseIssued | ev.LeaseEnded | ev.SecretPromoted
)
_Told: TypeAlias = _ToldOfAll | ev.SessionOpened | ev.SessionEnded

_CREDENTIALS = {"postgresql": "password", "ssh": "ssh-certificate", "script": "password"}
"""Connector to CAEP's credential type; ``ssh-certificate`` is ours, as CAEP allows."""

ENDS: Final[Mapping[str, tuple[str, str]]] = {
    "closed": ("user", "its client closed it"),
    "not_connected": ("system", "its client was not connected"),
    "ended_by_a_person": ("admin", "a person ended it"),
    "gateway_removed": ("policy", "its gateway left the configuration"),
    "gateway_stopped": ("system", "its gateway was stopped"),
    "gateway_silent": ("system", "its gateway is not heard"),
    "authority_lost": ("system", "its gateway did not hear the authority"),
    "record_failed": ("system", "it could not be recorded"),
    "record_disagrees": ("system", "what it was let do rested on what had changed"),
}
"""Why a session through a gateway ends by itself: who did it in CAEP's word, and words for people.

What is not here, nor among ``EndReason``, is a word of a gateway's, and is not repeated.
"""


class Signal(msgspec.Struct, frozen=True):
    """One thing to tell, whoever is told.

    Attributes:
        session: Its id: the activation's, or that of a session through a gateway.
        principal: Who has the access.
        at: When it happened.
        txn: One step of that session: its beginning or its end.
        target: Where, if it is about one credential or one session through a gateway.
    """

    kind: SignalKind
    session: str
    principal: str
    at: datetime
    txn: str
    events: Events
    target: str = ""


def signal_of(history: Sequence[tuple[AnyEvent, datetime]]) -> Signal:
    """The last event of an activation's history as a signal.

    Args:
        history: Its entries named in ``CONTEXT``, from the first on; the last is one of ``TOLD``.

    Raises:
        TamperError: No activation has such a history.
    """
    request = next((e.request for e, _ in history if isinstance(e, ev.ActivationRequested)), None)
    event, at = history[-1]
    if request is None or not isinstance(event, _Told):
        raise TamperError("an activation's log does not begin with its request")
    events = tuple(e for e, _ in history)
    if isinstance(event, ev.SessionOpened | ev.SessionEnded):
        return _of_a_session(event, at, events, request)
    ended = next((e for e in events if isinstance(e, ev.ActivationEnded)), None)
    kind, told, target = _told(event, at, events, ended)
    return Signal(
        kind=kind,
        session=request.activation,
        principal=request.principal,
        at=at,
        txn=f"{request.activation}-{'end' if ended else 'begin'}",
        events=told,
        target=target,
    )


def _of_a_session(
    event: ev.SessionOpened | ev.SessionEnded,
    at: datetime,
    events: tuple[AnyEvent, ...],
    request: Request,
) -> Signal:
    """A session at a target, through a gateway: within the activation's, and over before it is."""
    opened = next(
        (e for e in events if isinstance(e, ev.SessionOpened) and e.session == event.session), None
    )
    if opened is None:
        raise TamperError(f"session {event.session} ends in a log that does not open it")
    if isinstance(event, ev.SessionOpened):
        began = SessionEstablished(
            event_timestamp=seconds(at),
            initiating_entity="user",
            reason_admin=_words("a session was opened through a gateway"),
            ext_id=request.activation,
        )
        kind, step, told = (
            SignalKind.SESSION_ESTABLISHED,
            "begin",
            Events(session_established=began),
        )
    else:
        who, why = _end_of_a_session(event.reason)
        over = SessionRevoked(
            event_timestamp=seconds(at),
            initiating_entity=who,
            reason_admin=_words(f"a session through a gateway ended: {why}"),
        )
        kind, step, told = SignalKind.SESSION_REVOKED, "end", Events(session_revoked=over)
    return Signal(
        kind=kind,
        session=event.session,
        principal=request.principal,
        at=at,
        txn=f"{event.session}-{step}",
        events=told,
        target=opened.target,
    )


def _end_of_a_session(reason: str) -> tuple[str, str]:
    """Who ended it, in CAEP's word, and why, in ours."""
    try:
        known = EndReason(reason)
    except ValueError:
        return ENDS.get(reason, ("system", "for another reason"))
    return _initiator(known), known


def _told(
    event: _ToldOfAll, at: datetime, events: tuple[AnyEvent, ...], ended: ev.ActivationEnded | None
) -> tuple[SignalKind, Events, str]:
    when, who = seconds(at), _initiator(EndReason(ended.reason) if ended else None)
    match event:
        case ev.ActivationActivated():
            began = SessionEstablished(
                event_timestamp=when,
                initiating_entity="user",
                reason_admin=_words("emergency access was approved and began"),
            )
            return SignalKind.SESSION_ESTABLISHED, Events(session_established=began), ""
        case ev.ActivationEnded():
            over = SessionRevoked(
                event_timestamp=when,
                initiating_entity=who,
                reason_admin=_words(f"emergency access ended: {EndReason(event.reason)}"),
            )
            return SignalKind.SESSION_REVOKED, Events(session_revoked=over), ""
        case ev.LeaseIssued() | ev.LeaseEnded() | ev.SecretPromoted():
            change, why = _change(event)
            plan = _plan(events, event.lease)
            changed = CredentialChange(
                event_timestamp=when,
                initiating_entity=who,
                reason_admin=_words(why),
                credential_type=_CREDENTIALS.get(plan.connector, "other") if plan else "other",
                change_type=change,
                friendly_name=f"{plan.target}:{plan.role}" if plan else event.target,
            )
            return SignalKind.CREDENTIAL_CHANGE, Events(credential_change=changed), event.target


def _change(event: ev.LeaseIssued | ev.LeaseEnded | ev.SecretPromoted) -> tuple[str, str]:
    """CAEP's word for it, and why. Who attested an end is a person, so is not said."""
    match event:
        case ev.LeaseIssued():
            return "create", "a credential was made for emergency access"
        case ev.LeaseEnded():
            # Closed words: what the log says further names persons and findings.
            is_seen = event.evidence.startswith(("absent", "rotated"))
            how = "was proven dead" if is_seen else "is over as its governors attested"
            return "revoke", f"the credential {how}"
        case ev.SecretPromoted():
            return "update", "the secret of a static account was changed"


def _plan(events: tuple[AnyEvent, ...], lease: str) -> UndoPlan | None:
    begun = (event for event in events if isinstance(event, ev.ActivationActivated))
    return next((plan for event in begun for plan in event.plans if plan.handle == lease), None)


def _initiator(ended: EndReason | None) -> str:
    """CAEP's word for who or what began or ended it."""
    match ended:
        case None | EndReason.USED | EndReason.RETURNED:
            return "user"
        case (
            EndReason.IDLE
            | EndReason.EXPIRED
            | EndReason.INCIDENT_RESOLVED
            | EndReason.POLICY_VIOLATION
        ):
            return "policy"
        case EndReason.KILLED:
            return "admin"
        case EndReason.ISSUE_FAILED | EndReason.RECOVERED:
            return "system"


def _words(text: str) -> dict[str, str]:
    return {"en": text}


def claims_of(
    signal: Signal, stream: SignalStream, *, issuer: str, installation: str, jti: str
) -> SecurityEvent:
    """What this receiver is told of it."""
    return SecurityEvent(
        iss=issuer,
        jti=jti,
        iat=seconds(signal.at),
        aud=stream.audience,
        txn=signal.txn,
        sub_id=ComplexSubject(
            session=Opaque(signal.session),
            user=_user(signal.principal, stream, issuer),
            tenant=Opaque(installation),
            application=Opaque(signal.target) if signal.target else UNSET,
        ),
        events=signal.events,
    )


def verification_of(
    stream: SignalStream, *, issuer: str, jti: str, at: datetime, state: str
) -> SecurityEvent:
    """The event that a receiver asked for, to see that the stream works."""
    return SecurityEvent(
        iss=issuer,
        jti=jti,
        iat=seconds(at),
        aud=stream.audience,
        sub_id=Opaque(stream.id),
        events=Events(verification=Verification(state or UNSET)),
    )


def _user(principal: str, stream: SignalStream, issuer: str) -> Simple:
    address = stream.users.get(principal)
    return EmailAddress(address) if address else IssuerSubject(issuer, principal)


def seconds(at: datetime) -> int:
    """Since 1970, rounded down."""
    return int(at.timestamp())
