"""What a DPoP proof must say (RFC 9449, 4.3), once its signature was found good."""

import hashlib
import hmac
import re
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import msgspec

from callpoint.domain.token import OAuthError, base64url

MAX_AGE: Final = timedelta(seconds=60)
MAX_AHEAD: Final = timedelta(seconds=5)
INVALID: Final = "invalid_dpop_proof"

_MAX_URI = 2048
_DEFAULT_PORTS = {"http": 80, "https": 443}
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")


class Proof(msgspec.Struct, frozen=True):
    """A proof whose signature verifies under the key that it shows.

    Attributes:
        jkt: SHA-256 thumbprint of the key (RFC 7638), base64url.
        iat: Seconds; the RFC allows fractions.
    """

    jkt: str
    jti: str
    htm: str
    htu: str
    iat: float
    ath: str | None = None

    @property
    def digest(self) -> str:
        """The id in a form that a nonce book takes: SHA-256 hex."""
        return hashlib.sha256(self.jti.encode()).hexdigest()


class Expected(msgspec.Struct, frozen=True):
    """What the request is that the proof came with.

    Attributes:
        uris: Any of these, without query; the same place under its public addresses.
        token: The access token that it must belong to; None where there is none yet.
        since: Proofs that were spent before are not all known, so none that is older counts.
    """

    method: str
    uris: Collection[str]
    token: str | None = None
    since: datetime | None = None


def check_proof(proof: Proof, expected: Expected, now: datetime) -> None:
    """Everything but the signature and that it is new, which a nonce book knows.

    Raises:
        OAuthError: ``invalid_dpop_proof``.
    """
    if proof.htm != expected.method:
        raise OAuthError(INVALID, "the proof is for another method")
    if normal_uri(proof.htu) not in {normal_uri(uri) for uri in expected.uris}:
        raise OAuthError(INVALID, "the proof is for another address")
    age = now.timestamp() - proof.iat
    if not -MAX_AHEAD.total_seconds() <= age <= MAX_AGE.total_seconds():
        raise OAuthError(
            INVALID, f"the proof was not made within {MAX_AGE.total_seconds():.0f} s by our clock"
        )
    if expected.since is not None and proof.iat < expected.since.timestamp():
        raise OAuthError(INVALID, "the proof was made before this server knew which ones are spent")
    wanted = None if expected.token is None else token_hash(expected.token)
    if wanted is not None and not hmac.compare_digest((proof.ath or "").encode(), wanted.encode()):
        raise OAuthError(INVALID, "the proof does not belong to this access token")


def token_hash(token: str) -> str:
    """``ath``: SHA-256 of the access token, base64url without padding."""
    return base64url(hashlib.sha256(token.encode()).digest())


def normal_uri(uri: str) -> str:
    """Scheme- and syntax-based normal form (RFC 3986, 6.2), without query and fragment.

    Raises:
        OAuthError: It is no absolute http or https address.
    """
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise _no_uri() from error
    if len(uri) > _MAX_URI or not uri.isascii() or not uri.isprintable() or " " in uri:
        raise _no_uri()
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        raise _no_uri()
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    shown = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{shown}{_ESCAPE.sub(_unescaped, parts.path) or '/'}"


def _unescaped(match: re.Match[str]) -> str:
    """An escaped unreserved character is itself; other escapes are upper-case."""
    plain = chr(int(match[1], 16))
    return plain if _UNRESERVED.fullmatch(plain) else match[0].upper()


def _no_uri() -> OAuthError:
    return OAuthError(INVALID, "htu is no http or https address")
