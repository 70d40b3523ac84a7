"""DPoP proofs (RFC 9449, 4.2): a strict header, a public key of a kind that we take, a signature.

The key comes from the proof itself, so whatever it is must not choose how it is used: algorithm
and key must fit one row of a short table, in which there is neither ``none`` nor a shared secret.
"""

import base64
import binascii
import re
from typing import Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from callpoint.domain.dpop import INVALID, Proof
from callpoint.domain.public_key import weakness
from callpoint.domain.token import OAuthError

TYPE: Final = "dpop+jwt"
MAX_PROOF: Final = 4096
_MAX_ID = 256

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# Not "EdDSA": that name does not say the curve, and RFC 9864 gives it up.
_KINDS = {"ES256": ("EC", "P-256"), "Ed25519": ("OKP", "Ed25519")}
_PUBLIC = {"EC": ("x", "y"), "OKP": ("x",)}
_HARMLESS = frozenset({"kid", "use", "alg", "key_ops", "ext"})


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No ``crit``, no key by address: what we do not read could change what it means."""

    typ: str
    alg: str
    jwk: dict[str, object]
    kid: str = ""


class _Claims(msgspec.Struct, frozen=True):
    jti: str
    htm: str
    htu: str
    iat: int | float
    ath: str | None = None


class JoseProofs:
    """Implements ``ports.tokens.Proofs``."""

    @property
    def algorithms(self) -> tuple[str, ...]:
        return tuple(_KINDS)

    def read(self, proof: str) -> Proof:
        if len(proof) > MAX_PROOF or _COMPACT.fullmatch(proof) is None:
            raise _invalid("it is no compact JWS of at most 4096 characters, or there are several")
        try:
            header = msgspec.json.decode(_decoded(proof.partition(".")[0]), type=_Header)
            key = _key(header)
            registry = jws.JWSRegistry(algorithms=[header.alg])
            found = jws.deserialize_compact(proof, key, registry=registry)
            claims = msgspec.json.decode(found.payload, type=_Claims)
            made_at = float(claims.iat)
        except OAuthError:
            raise
        except (JoseError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise _invalid("header, key, signature or claims are not right") from error
        if not 0 < len(claims.jti) <= _MAX_ID:
            raise _invalid(f"jti has 1 to {_MAX_ID} characters")
        return Proof(
            jkt=key.thumbprint(),
            jti=claims.jti,
            htm=claims.htm,
            htu=claims.htu,
            iat=made_at,
            ath=claims.ath,
        )


def _key(header: _Header) -> ECKey | OKPKey:
    """The public key of the header, its members checked one by one."""
    if header.typ != TYPE:
        raise _invalid(f"typ is {TYPE}")
    if header.alg not in _KINDS:
        raise _invalid(f"alg is one of {', '.join(_KINDS)}")
    kty, crv = _KINDS[header.alg]
    members = _PUBLIC[kty]
    jwk = header.jwk
    if (jwk.get("kty"), jwk.get("crv")) != (kty, crv):
        raise _invalid(f"{header.alg} needs a key of kind {kty} on {crv}")
    if set(jwk) - _HARMLESS != {"kty", "crv", *members}:
        raise _invalid("jwk must hold a public key and nothing of a private one")
    plain: dict[str, str | list[str]] = {"kty": kty, "crv": crv}
    for name in members:
        value = jwk[name]
        if not isinstance(value, str):
            raise _invalid("jwk is malformed")
        plain[name] = value
    if kty == "EC":
        return ECKey.import_key(plain)
    key = OKPKey.import_key(plain)
    _must_bind(key)
    return key


def _must_bind(key: OKPKey) -> None:
    """Under a point of small order anybody's signature verifies: no token is bound by it."""
    raw = key.public_key.public_bytes_raw()
    if why := weakness(base64.b64encode(raw).decode()):
        raise _invalid(f"the key is {why}")


def _decoded(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise _invalid("its header is not base64url") from error


def _invalid(why: str) -> OAuthError:
    return OAuthError(INVALID, f"the DPoP proof is not valid: {why}")
