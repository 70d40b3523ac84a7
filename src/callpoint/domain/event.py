"""Events: what happened, in the past tense, each with one stable name.

An event becomes one entry of the log; ``event_form`` says how it is written. Fields are only ever
added, with defaults. ``AnyEvent`` is the closed list; the events are in the files beside this one.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from callpoint.domain.approval import Approval
from callpoint.domain.event_activation import (
    ActivationActivated,
    ActivationApproved,
    ActivationDenied,
    ActivationEnded,
    ActivationLapsed,
    ActivationRequested,
    ActivationReviewed,
    ActivationWithdrawn,
    ApprovalRecorded,
    FindingRaised,
    ReviewTriaged,
)
from callpoint.domain.event_decision import DecisionMade, DecisionsSearched
from callpoint.domain.event_form import EVENT_VERSION, Event, Private, data, name, private
from callpoint.domain.event_incident import (
    IncidentConfirmed,
    IncidentDeclared,
    IncidentReported,
    IncidentResolved,
)
from callpoint.domain.event_installation import (
    BundlePublished,
    BundleRefused,
    ClockAccepted,
    EpochBegan,
    InstallationCreated,
    KeyRotated,
    LogRecovered,
    SignatureRecord,
)
from callpoint.domain.event_lease import (
    ConnectionOffered,
    CredentialRevealed,
    LeaseAttested,
    LeaseEnded,
    LeaseEnding,
    LeaseFailed,
    LeaseIssued,
    LeaseProbed,
    LeaseStuck,
    SecretPrepared,
    SecretPromoted,
    StaticSecretChanged,
    UnknownAccountFound,
)
from callpoint.domain.event_offline import ActionFinishedOffline, ActionOffline, SessionOffline
from callpoint.domain.event_refusal import (
    AccessRefused,
    KillOrdered,
    RequestRefused,
    TombstoneMerged,
    TombstoneRefused,
)
from callpoint.domain.event_session import (
    ActionDecided,
    ActionFinished,
    SessionClosed,
    SessionEnded,
    SessionOpened,
    SessionPaused,
    SessionResumed,
)
from callpoint.domain.event_token import TokenIssued, TokenRevoked
from callpoint.domain.request import Request

__all__ = [
    "EVENT_VERSION",
    "AccessRefused",
    "ActionDecided",
    "ActionFinished",
    "ActionFinishedOffline",
    "ActionOffline",
    "ActivationActivated",
    "ActivationApproved",
    "ActivationDenied",
    "ActivationEnded",
    "ActivationLapsed",
    "ActivationRequested",
    "ActivationReviewed",
    "ActivationWithdrawn",
    "AnyEvent",
    "ApprovalRecorded",
    "BundlePublished",
    "BundleRefused",
    "ClockAccepted",
    "ConnectionOffered",
    "CredentialRevealed",
    "DecisionMade",
    "DecisionsSearched",
    "EpochBegan",
    "Event",
    "FindingRaised",
    "IncidentConfirmed",
    "IncidentDeclared",
    "IncidentReported",
    "IncidentResolved",
    "InstallationCreated",
    "KeyRotated",
    "KillOrdered",
    "LeaseAttested",
    "LeaseEnded",
    "LeaseEnding",
    "LeaseFailed",
    "LeaseIssued",
    "LeaseProbed",
    "LeaseStuck",
    "LogRecovered",
    "Private",
    "Request",
    "RequestRefused",
    "ReviewTriaged",
    "SecretPrepared",
    "SecretPromoted",
    "SessionClosed",
    "SessionEnded",
    "SessionOffline",
    "SessionOpened",
    "SessionPaused",
    "SessionResumed",
    "SignatureRecord",
    "StaticSecretChanged",
    "TokenIssued",
    "TokenRevoked",
    "TombstoneMerged",
    "TombstoneRefused",
    "UnknownAccountFound",
    "approval_of",
    "data",
    "name",
    "parse",
    "private",
]
"""The form goes with the events: who has an event can also write it."""

AnyEvent = (
    InstallationCreated
    | BundlePublished
    | BundleRefused
    | KeyRotated
    | LogRecovered
    | EpochBegan
    | ClockAccepted
    | IncidentDeclared
    | IncidentReported
    | IncidentConfirmed
    | IncidentResolved
    | ActivationRequested
    | ApprovalRecorded
    | ActivationApproved
    | ActivationDenied
    | ActivationLapsed
    | ActivationWithdrawn
    | ActivationActivated
    | LeaseIssued
    | LeaseFailed
    | CredentialRevealed
    | ConnectionOffered
    | SessionOpened
    | SessionPaused
    | SessionResumed
    | SessionEnded
    | ActionDecided
    | ActionFinished
    | SessionOffline
    | ActionOffline
    | ActionFinishedOffline
    | SessionClosed
    | TokenIssued
    | TokenRevoked
    | ActivationEnded
    | LeaseEnding
    | LeaseProbed
    | LeaseStuck
    | LeaseEnded
    | LeaseAttested
    | SecretPrepared
    | SecretPromoted
    | StaticSecretChanged
    | FindingRaised
    | ReviewTriaged
    | ActivationReviewed
    | AccessRefused
    | RequestRefused
    | DecisionMade
    | DecisionsSearched
    | UnknownAccountFound
    | KillOrdered
    | TombstoneMerged
    | TombstoneRefused
)


def parse(kind: str, body: Mapping[str, object]) -> AnyEvent:
    """Read an event back from an entry; private values are absent.

    Raises:
        ValueError: Not an event that this version knows, or a field of another type.
    """
    try:
        parsed: AnyEvent = msgspec.convert({**body, "type": kind}, AnyEvent)
    except msgspec.ValidationError as error:
        raise ValueError(f"{kind}: {error}") from error
    return parsed


def approval_of(event: ApprovalRecorded, at: datetime) -> Approval:
    """The vote that the event recorded."""
    return msgspec.convert(
        {
            "approver": event.approver,
            "person": event.person,
            "verdict": event.verdict,
            "statement": event.statement,
            "signature": event.signature,
            "key": event.key,
            "at": at,
        },
        Approval,
    )
