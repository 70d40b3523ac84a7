"""Requests by keys: HTTP Message Signatures (RFC 9421), in the one profile that we accept.

The profile is ``domain.request_signature``, specified in ``docs/authentication.md``. Everything
that can be refused without a key is refused first, by a parser that accepts only the serialised
form. The signature base (RFC 9421, 2.5) is then three lines and that very text: there is no second
reading of it that could differ from what was judged. `http_message_signatures`, with which clients
sign, is the oracle in the tests.

Not here: what the caller may do (the PDP), and how a body becomes a command (the API).
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from callpoint.adapters.identity.signatures.claims import (
    SIGNATURE,
    Claims,
    check_time,
    malformed,
    parse_signature_input,
    read_fields,
)
from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import AuthenticationError, ConfigError, RequestError
from callpoint.domain.nonce import spent_before
from callpoint.domain.principal import Principal
from callpoint.domain.request_signature import (
    ALGORITHM,
    LABEL,
    content_digest,
    split_url,
)
from callpoint.ports.clock import Clock
from callpoint.ports.identity import Caller, NonceBook, Recognised, SignedRequest

_MAX_URL = 8 * 1024
_MAX_ORIGINS = 8  # each costs one signature check

# An order in a tombstone is data of a disk: with a line break in its method, one line of the
# signature base would read as two (RFC 9421, 2.5).
_METHOD = re.compile(r"[A-Z-]{1,32}")

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
        since: Nonces that were spent before are not all known, so nothing that was signed before
            counts.

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
        since: datetime | None = None,
    ) -> None:
        if not 1 <= len(origins) <= _MAX_ORIGINS:
            raise ConfigError(
                f"{len(origins)} public addresses are configured",
                way_out=f"configure 1 to {_MAX_ORIGINS}, as clients write them",
            )
        self._configuration = configuration
        self._nonces = nonces
        self._clock = clock
        self._since = since
        self._prefixes = tuple(_prefix(origin) for origin in origins)

    async def authenticate(self, request: SignedRequest) -> Caller:
        """See the port. The nonce is spent last: only the key's holder can spend one."""
        found = self.recognise(request)
        if not await self._nonces.spend(found.caller.principal.id, found.nonce):
            raise spent_before()
        return found.caller

    def recognise(self, request: SignedRequest) -> Recognised:
        """See the port."""
        return self.judge(request, self._clock.now())

    def judge(self, request: SignedRequest, now: datetime) -> Recognised:
        """Who signed it, if that was within a minute of ``now``; its nonce is not looked at.

        Raises:
            AuthenticationError: Nobody did.
        """
        fields = read_fields(request)
        claims = parse_signature_input(fields["signature-input"])
        if not SIGNATURE.fullmatch(fields["signature"]):
            raise malformed("Signature", f"one Ed25519 signature labelled {LABEL}")
        check_time(claims, now, self._since)
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
        caller = Caller(principal, key_id=key_fingerprint(key.public_bytes_raw()))
        return Recognised(caller, claims.nonce, datetime.fromtimestamp(claims.created, UTC))

    def _verify_signature(
        self,
        request: SignedRequest,
        fields: dict[str, str],
        claims: Claims,
        key: Ed25519PublicKey,
    ) -> None:
        """Raise unless the key signed these claims for one of our addresses."""
        if not _METHOD.fullmatch(request.method):
            raise malformed("The method", "one word in capital letters")
        target = _target(request.url)
        # After the label and "=": the inner list with its parameters, as it was serialised.
        judged = fields["signature-input"][len(LABEL) + 1 :]
        signature = base64.b64decode(fields["signature"][len(LABEL) + 2 : -1])
        values = {"@method": request.method, "content-digest": fields["content-digest"]}
        for prefix in self._prefixes:
            values["@target-uri"] = prefix + target
            lines = [f'"{name}": {values[name]}' for name in claims.components]
            base = "\n".join((*lines, f'"@signature-params": {judged}'))
            if _is_signed(key, signature, base.encode()):
                return
        raise AuthenticationError(_NOT_PROVEN, way_out=_NOT_PROVEN_WAY_OUT)


def _is_signed(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def key_fingerprint(key: bytes) -> str:
    """How events name a key: ``ed25519:`` and 16 hex digits of the raw public key's SHA-256."""
    return f"{ALGORITHM}:{hashlib.sha256(key).hexdigest()[:16]}"


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
