"""Security event tokens (RFC 8417) as CAEP 1.0 and SSF 1.0 profile them: their claims.

Member names are the standards' own. ``sub`` and ``exp`` are not there: SSF forbids both. Subjects
are those of RFC 9493.
"""

from typing import TypeAlias

import msgspec
from msgspec import UNSET, UnsetType, field

CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
SSF = "https://schemas.openid.net/secevent/ssf/event-type/"


class Opaque(msgspec.Struct, frozen=True, tag_field="format", tag="opaque"):
    """An id that means something to us alone."""

    id: str


class IssuerSubject(msgspec.Struct, frozen=True, tag_field="format", tag="iss_sub"):
    """Somebody, as an issuer calls them."""

    iss: str
    sub: str


class EmailAddress(msgspec.Struct, frozen=True, tag_field="format", tag="email"):
    """Somebody, by an address."""

    email: str


Simple: TypeAlias = Opaque | IssuerSubject | EmailAddress


class ComplexSubject(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="format", tag="complex"
):
    """Everything that one event is about (SSF 1.0, section 3.3)."""

    session: Simple | UnsetType = UNSET
    user: Simple | UnsetType = UNSET
    tenant: Simple | UnsetType = UNSET
    device: Simple | UnsetType = UNSET
    application: Simple | UnsetType = UNSET


Subject: TypeAlias = Simple | ComplexSubject
Words: TypeAlias = dict[str, str]
"""Language tag to text."""


class Payload(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What every CAEP event may say (CAEP 1.0, section 2).

    Attributes:
        event_timestamp: When it happened, seconds since 1970.
        initiating_entity: ``admin``, ``user``, ``policy`` or ``system``.
    """

    event_timestamp: int
    initiating_entity: str | UnsetType = UNSET
    reason_admin: Words | UnsetType = UNSET
    reason_user: Words | UnsetType = UNSET


class SessionEstablished(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """CAEP 1.0, section 3.6."""

    fp_ua: str | UnsetType = UNSET
    acr: str | UnsetType = UNSET
    amr: list[str] | UnsetType = UNSET
    ext_id: str | UnsetType = UNSET


class SessionRevoked(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """CAEP 1.0, section 3.1."""


class CredentialChange(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """CAEP 1.0, section 3.3; ``change_type`` is create, revoke, update or delete."""

    credential_type: str
    change_type: str
    friendly_name: str | UnsetType = UNSET
    x509_issuer: str | UnsetType = UNSET
    x509_serial: str | UnsetType = UNSET
    fido2_aaguid: str | UnsetType = UNSET


class Verification(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """SSF 1.0, section 8.1.4: the stream works; ``state`` is the asker's own."""

    state: str | UnsetType = UNSET


class Events(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The one event of a token, under its type's URI."""

    session_established: SessionEstablished | UnsetType = field(
        default=UNSET, name=f"{CAEP}session-established"
    )
    session_revoked: SessionRevoked | UnsetType = field(
        default=UNSET, name=f"{CAEP}session-revoked"
    )
    credential_change: CredentialChange | UnsetType = field(
        default=UNSET, name=f"{CAEP}credential-change"
    )
    verification: Verification | UnsetType = field(default=UNSET, name=f"{SSF}verification")


class SecurityEvent(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The claims.

    Attributes:
        iss: Our address.
        jti: Which token this is; a repetition has the same.
        iat: When the log had it, seconds since 1970.
        aud: The receiver's name for itself.
        sub_id: What it is about.
        events: What happened.
        txn: The same in every token that one step caused.
    """

    iss: str
    jti: str
    iat: int
    aud: str
    sub_id: Subject
    events: Events
    txn: str | UnsetType = UNSET
