"""Activation tokens: what they say, and how they are asked for (RFC 8693, RFC 9068, RFC 9396).

A token names an activation and one of its leases, and binds the name to a key. It carries no
authority: whoever is shown one asks whether it is active *now*, and is answered from the log.
"""

import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from callpoint.domain.nonce import Nonce

LIFE: Final = timedelta(minutes=5)
"""Longest life of a token; it is asked for again as long as the activation lives."""

DETAILS_TYPE: Final = "urn:callpoint:break-glass"
SUBJECT_TYPE: Final = "urn:callpoint:token-type:activation"
MAX_ACTIONS: Final = 32

_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
_REVOKED = "token:revoked"  # no principal is named like it: names have no colon
_KEPT_PAST = timedelta(hours=1)


class OAuthError(ValueError):
    """A refusal as OAuth names it; the face writes it as RFC 6749, 5.2 says.

    Args:
        code: For instance ``invalid_dpop_proof``.
        message: For a person; no part of it is a secret.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Binding(StrEnum):
    """What a token is bound to, named as in ``cnf``."""

    KEY = "jkt"
    CERTIFICATE = "x5t#S256"


class Confirmation(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """``cnf``: the one thing whose holder alone can use the token.

    Attributes:
        jkt: SHA-256 thumbprint of the key that signs DPoP proofs (RFC 9449, 6.1; RFC 7638).
        certificate: SHA-256 of a TLS client certificate (RFC 8705, 3.1).
    """

    jkt: str = ""
    certificate: str = msgspec.field(default="", name=str(Binding.CERTIFICATE.value))

    @property
    def binding(self) -> Binding:
        """Which of the two it is."""
        return Binding.CERTIFICATE if self.certificate else Binding.KEY

    @property
    def thumbprint(self) -> str:
        """The digest, base64url."""
        return self.certificate or self.jkt

    @property
    def token_type(self) -> str:
        """As OAuth writes it: the scheme under which the token is sent."""
        return "Bearer" if self.certificate else "DPoP"


def confirmation(binding: Binding, thumbprint: str) -> Confirmation:
    """``cnf`` for one binding.

    Raises:
        OAuthError: ``invalid_request``, it is no SHA-256 digest in base64url.
    """
    if _THUMBPRINT.fullmatch(thumbprint) is None:
        raise OAuthError("invalid_request", "a thumbprint is a SHA-256 digest in base64url")
    match binding:
        case Binding.KEY:
            return Confirmation(jkt=thumbprint)
        case Binding.CERTIFICATE:
            return Confirmation(certificate=thumbprint)


class Act(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """``act``: who acts for the subject, the current actor outermost (RFC 8693, 4.1)."""

    sub: str
    act: "Act | None" = None


class MayAct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``may_act``: the one who may exchange the token to act for its holder (RFC 8693, 4.4)."""

    sub: str


class Details(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The one member of ``authorization_details`` (RFC 9396), type ``DETAILS_TYPE``.

    Attributes:
        locations: The audience, once more.
        actions: If any, the holder asked for these alone; never more than policy allows.
    """

    type: str
    locations: tuple[str, ...]
    activation: str
    lease: str
    incident: str
    purpose: str
    actions: tuple[str, ...] = ()


class TokenClaims(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Claims of an access token (RFC 9068), times in whole seconds.

    Attributes:
        sub: The principal on whose behalf.
        client_id: The principal that authenticated and holds the token; ``sub`` when it acts
            for nobody.
        txn: The activation.
        may_act: None: nobody acts for its holder.
    """

    iss: str
    sub: str
    aud: str
    client_id: str
    iat: int
    exp: int
    jti: str
    txn: str
    cnf: Confirmation
    authorization_details: tuple[Details, ...]
    act: Act | None = None
    may_act: MayAct | None = None

    @property
    def digest(self) -> str:
        """How the log names the token: SHA-256 of all that it says, hex.

        So a token that says anything else than the issued one is another one, which nobody issued.
        It holds the random ``jti``, so it cannot be guessed from the rest.
        """
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    @property
    def expires_at(self) -> datetime:
        """``exp`` as a moment."""
        return datetime.fromtimestamp(self.exp, UTC)


def certificate_thumbprint(certificate: bytes) -> str:
    """``x5t#S256`` of a DER certificate (RFC 8705, 3.1)."""
    return base64url(hashlib.sha256(certificate).digest())


def base64url(data: bytes) -> str:
    """Without padding, as JOSE writes it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def audience(installation: str, target: str, role: str) -> str:
    """The audience of tokens for one target role."""
    return f"urn:callpoint:{installation}:target:{target}:{role}"


def subject_of(holder: str, acts_for: tuple[str, ...]) -> tuple[str, Act | None]:
    """``sub`` and ``act`` of who acts for ``acts_for``, nearest first."""
    chain = (holder, *acts_for)
    act: Act | None = None
    for actor in reversed(chain[:-1]):
        act = Act(sub=actor, act=act)
    return chain[-1], act


def revoked_mark(digest: str, expires_at: datetime) -> Nonce:
    """The row that says *no* at once. A store may forget it when the token is long expired."""
    return Nonce(key_id=_REVOKED, nonce=digest, due_at=expires_at + _KEPT_PAST)
