"""Requests by keys: HTTP Message Signatures (RFC 9421), in the one profile that we accept.

The profile is ``domain.request_signature``, specified in ``docs/authentication.md``. Everything
that can be refused without a key is refused first, by a parser that accepts only the serialised
form; `http_message_signatures` then builds the signature base and checks the signature. Its own
look at the clock is switched off, because expiry must be testable and must be ours.

Not here: what the caller may do (the PDP), and how a body becomes a command (the API).
"""

import base64
import binascii
import hashlib
import hmac
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageVerifier,
    MappingKeyResolver,
    VerifyResult,
)
from http_message_signatures.algorithms import ED25519

from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import AuthenticationError, ConfigError, RequestError
from callpoint.domain.principal import Principal
from callpoint.domain.request_signature import (
    ALGORITHM,
    COMPONENTS,
    LABEL,
    MAX_AGE,
    MAX_AHEAD,
    MAX_NONCE_BYTES,
    MIN_NONCE_BYTES,
    TAG,
    content_digest,
    split_url,
)
from callpoint.ports.clock import Clock
from callpoint.ports.identity import Caller, NonceBook, SignedRequest

_FIELDS: Final = ("signature-input", "signature", "content-digest")
_MAX_FIELD = 1024  # a principal's name, a nonce and the rest of our profile need half of it
_MAX_HEADERS = 32 * 1024  # uvicorn's own limit is twice as much
_MAX_URL = 8 * 1024
_MAX_ORIGINS = 8  # each costs one signature check

# The serialised form of RFC 8941 for exactly one member. No comma, quote or backslash can occur
# in a string, so a second signature, or a field sent twice and joined, matches none of these.
_STRING = r'"[!#-+\--\[\]-~]*"'
_INPUT = re.compile(
    rf"{LABEL}=\((?P<components>{_STRING}(?: {_STRING})*)\)(?P<parameters>(?:;[a-z]+={_STRING}"
    r"|;[a-z]+=-?[0-9]{1,15})+)"
)
_PARAMETER = re.compile(rf";([a-z]+)=(?:({_STRING})|(-?[0-9]+))")
_SIGNATURE = re.compile(rf"{LABEL}=:[A-Za-z0-9+/]{{86}}==:")
_NONCE = re.compile(r"[A-Za-z0-9_-]+")

_STRINGS = {"alg", "keyid", "nonce", "tag"}
_INTEGERS = {"created", "expires"}
_OPTIONAL = {"expires"}

# Checked in place of a key that does not exist, so that an unknown principal takes as long as a
# wrong signature. Its private half is public (RFC 8032, 7.1, test 1): a match is refused all the
# same.
_DECOY = Ed25519PublicKey.from_public_bytes(
    bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
)
_NOT_PROVEN = "the signature does not verify"
_NOT_PROVEN_WAY_OUT = (
    "check the principal's name, that its key is the published one, and that the address you call "
    "is the public address of this installation"
)


@dataclass(frozen=True, slots=True)
class _Claims:
    """What a Signature-Input says; nothing of it is proven."""

    components: tuple[str, ...]
    parameters: Mapping[str, int | str]
    keyid: str
    nonce: str
    created: int
    expires: int | None


class SignatureAuthenticator:
    """Implements ``ports.identity.Authenticator`` for principals with an Ed25519 key.

    Args:
        configuration: The configuration in force, asked anew for each request, so that a key
            which was removed stops working at once.
        nonces: Where nonces are spent.
        clock: For the age of a request.
        origins: Every public address of this installation, for instance
            ``https://callpoint.example``; a path is allowed where a proxy strips one. The signed
            ``@target-uri`` must begin with one of them. The request's own scheme and host are
            never looked at: they come from whoever sent it, so they could be those for which the
            signature was made, and a proxy may change both.

    Raises:
        ConfigError: An origin is no such address, or there are none, or too many.
    """

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        nonces: NonceBook,
        clock: Clock,
        *,
        origins: Collection[str],
    ) -> None:
        if not 1 <= len(origins) <= _MAX_ORIGINS:
            raise ConfigError(
                f"{len(origins)} public addresses are configured",
                way_out=f"configure 1 to {_MAX_ORIGINS}, as clients write them",
            )
        self._configuration = configuration
        self._nonces = nonces
        self._clock = clock
        self._prefixes = tuple(_prefix(origin) for origin in origins)

    async def authenticate(self, request: SignedRequest) -> Caller:
        """See the port. The nonce is spent last: only the key's holder can spend one."""
        fields = _fields(request)
        claims = parse_signature_input(fields["signature-input"])
        if not _SIGNATURE.fullmatch(fields["signature"]):
            raise _malformed("Signature", f"one Ed25519 signature labelled {LABEL}")
        _check_time(claims, self._clock.now())
        if not hmac.compare_digest(fields["content-digest"], content_digest(request.body)):
            raise AuthenticationError(
                "Content-Digest is not the SHA-256 of the body that arrived",
                way_out="send Content-Digest: sha-256=:…: of the exact bytes, also of no bytes",
            )
        principal = self._configuration().principals.get(claims.keyid)
        key = _public_key(principal) if principal else None
        self._verify_signature(request, fields, claims, key or _DECOY)
        if principal is None or key is None:
            raise AuthenticationError(_NOT_PROVEN, way_out=_NOT_PROVEN_WAY_OUT)
        if not await self._nonces.spend(principal.id, claims.nonce):
            raise AuthenticationError(
                "this request was accepted before: its nonce is spent",
                way_out="sign again with a new nonce; a retry is a new request",
            )
        return Caller(principal, key_id=key_fingerprint(key.public_bytes_raw()))

    def _verify_signature(
        self,
        request: SignedRequest,
        fields: dict[str, str],
        claims: _Claims,
        key: Ed25519PublicKey,
    ) -> None:
        """Raise unless the key signed these claims for one of our addresses."""
        target = _target(request.url)
        verifier = _Verifier(claims.keyid, key)
        for prefix in self._prefixes:
            message = _Message(request.method, prefix + target, fields)
            result = verifier.find_result(message)
            # The two parsers must have read the same: what was judged is what was signed.
            if result is not None and _agrees(result, claims):
                return
        raise AuthenticationError(_NOT_PROVEN, way_out=_NOT_PROVEN_WAY_OUT)


@dataclass(frozen=True, slots=True)
class _Message:
    """The part of a request that the library reads."""

    method: str
    url: str
    headers: dict[str, str]


class _Verifier(HTTPMessageVerifier):
    """The library's verifier for one key, without its clock."""

    def __init__(self, keyid: str, key: Ed25519PublicKey) -> None:
        resolver = MappingKeyResolver(public_keys={keyid: key}, private_keys={})
        super().__init__(signature_algorithm=ED25519, key_resolver=resolver)

    def validate_created_and_expires(
        self, sig_input: object, max_age: timedelta | None = None
    ) -> None:
        """Nothing: `_check_time` has done it with our clock."""

    def find_result(self, message: _Message) -> VerifyResult | None:
        """The one verified signature, or None; the library's reason could be an oracle."""
        try:
            results = self.verify(
                message,
                max_age=None,
                expect_tag=TAG,
                expect_label=LABEL,
                require_components=COMPONENTS,
            )
        except HTTPMessageSignaturesException:
            return None
        return results[0] if len(results) == 1 else None


def key_fingerprint(key: bytes) -> str:
    """How events name a key: ``ed25519:`` and 16 hex digits of the raw public key's SHA-256."""
    return f"{ALGORITHM}:{hashlib.sha256(key).hexdigest()[:16]}"


def parse_signature_input(field: str) -> _Claims:
    """Untrusted text to claims: the profile's components and parameters, no more and no less.

    Raises:
        AuthenticationError: Anything else.
    """
    match = _INPUT.fullmatch(field)
    if match is None:
        raise _malformed(
            "Signature-Input", f"one signature labelled {LABEL}, as RFC 8941 writes it"
        )
    components = tuple(part[1:-1] for part in match["components"].split(" "))
    if sorted(components) != sorted(COMPONENTS):
        raise AuthenticationError(
            "the signature does not cover exactly what it must",
            way_out=f"cover {', '.join(COMPONENTS)}, each once, and nothing else",
        )
    return _claims(components, _PARAMETER.findall(match["parameters"]))


def _claims(components: tuple[str, ...], found: list[tuple[str, str, str]]) -> _Claims:
    names = sorted(name for name, _, _ in found)
    if set(names) - _OPTIONAL != _STRINGS | _INTEGERS - _OPTIONAL or len(set(names)) != len(names):
        raise AuthenticationError(
            "the signature's parameters are not those of this profile",
            way_out="send created, nonce, keyid, alg and tag, each once; expires is optional",
        )
    strings = {name: text[1:-1] for name, text, _ in found if text}
    integers = {name: int(digits) for name, _, digits in found if digits}
    if set(strings) != _STRINGS:
        raise AuthenticationError(
            "a parameter of the signature has the wrong type",
            way_out="created and expires are integers, the others are strings",
        )
    if strings["alg"] != ALGORITHM or strings["tag"] != TAG:
        raise AuthenticationError(
            "the signature is of another algorithm or for another purpose",
            way_out=f'sign with alg="{ALGORITHM}" and tag="{TAG}"',
        )
    return _Claims(
        components=components,
        parameters={**strings, **integers},
        keyid=strings["keyid"],
        nonce=_checked_nonce(strings["nonce"]),
        created=integers["created"],
        expires=integers.get("expires"),
    )


def _checked_nonce(nonce: str) -> str:
    # Base64url without padding has 4 characters for 3 bytes.
    size = len(nonce) * 3 // 4
    if not _NONCE.fullmatch(nonce) or not MIN_NONCE_BYTES <= size <= MAX_NONCE_BYTES:
        raise AuthenticationError(
            "the nonce is too short, too long or not base64url",
            way_out=f"send {MIN_NONCE_BYTES} random bytes as base64url without padding",
        )
    return nonce


def _check_time(claims: _Claims, now: datetime) -> None:
    age = now.timestamp() - claims.created
    if age > MAX_AGE.total_seconds():
        raise AuthenticationError(
            f"the request was signed {math.ceil(age)} s ago by our clock; "
            f"at most {MAX_AGE.total_seconds():.0f} s are allowed",
            way_out="send it when it is signed; if it was, set your clock forward by that much",
        )
    if -age > MAX_AHEAD.total_seconds():
        raise AuthenticationError(
            f"the request was signed {math.ceil(-age)} s in the future by our clock; "
            f"at most {MAX_AHEAD.total_seconds():.0f} s are allowed",
            way_out="set your clock back by that much",
        )
    late = 0.0 if claims.expires is None else now.timestamp() - claims.expires
    if late > 0:
        raise AuthenticationError(
            f"the signature expired {math.ceil(late)} s ago by our clock",
            way_out="sign again, or leave `expires` out",
        )


def _fields(request: SignedRequest) -> dict[str, str]:
    """The three fields that matter, each present once and short; headers as a whole are bounded."""
    if sum(len(name) + len(value) for name, value in request.headers.items()) > _MAX_HEADERS:
        raise AuthenticationError(
            f"the request's headers are longer than {_MAX_HEADERS} characters",
            way_out="send fewer or shorter ones",
        )
    return {name: _only(name, _values(request.headers, name)) for name in _FIELDS}


def _values(headers: Mapping[str, str], wanted: str) -> Iterator[str]:
    # A mapping may hold one name in two spellings; that is a field sent twice.
    return (value.strip(" \t") for name, value in headers.items() if name.lower() == wanted)


def _only(name: str, values: Iterator[str]) -> str:
    found = list(values)
    if not found:
        raise AuthenticationError(
            f"the request is not signed: it has no {name.title()} field",
            way_out="sign it as docs/authentication.md says; `callpoint` does so by itself",
        )
    if len(found) > 1 or len(found[0]) > _MAX_FIELD or not found[0].isascii():
        raise _malformed(name.title(), f"one field of at most {_MAX_FIELD} ASCII characters")
    return found[0]


def _malformed(field: str, expected: str) -> AuthenticationError:
    return AuthenticationError(
        f"{field} is malformed or there is more than one", way_out=f"send {expected}"
    )


def _target(url: str) -> str:
    """Path and query of the request, as they arrived."""
    if len(url) > _MAX_URL:
        raise AuthenticationError(
            f"the request's URL is longer than {_MAX_URL} characters", way_out="shorten it"
        )
    try:
        return split_url(url)[1]
    except RequestError as error:
        raise AuthenticationError(error.message, way_out=error.way_out) from error


def _prefix(origin: str) -> str:
    """A configured address in the spelling that is signed, without the last slash."""
    try:
        base, path = split_url(origin)
    except RequestError as error:
        raise ConfigError(f"public address: {error.message}", way_out=error.way_out) from error
    if not base.startswith(("http://", "https://")) or "?" in path:
        raise ConfigError(
            "a public address begins with http:// or https:// and has no query",
            way_out="write it as clients do, for instance https://callpoint.example",
        )
    return base + path.rstrip("/")


def _public_key(principal: Principal) -> Ed25519PublicKey | None:
    """The principal's key, or None when the configuration holds none that can be read.

    `callpoint check` refuses such a line; here it must not tell that the principal exists.
    """
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(principal.key, validate=True))
    except (binascii.Error, ValueError):
        return None


def _agrees(result: VerifyResult, claims: _Claims) -> bool:
    """Whether the library verified exactly what `parse_signature_input` read."""
    covered = {f'"{name}"' for name in claims.components} | {'"@signature-params"'}
    return set(result.covered_components) == covered and result.parameters == claims.parameters
