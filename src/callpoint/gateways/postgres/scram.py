"""SCRAM-SHA-256 and -PLUS, both sides (RFC 5802, RFC 7677, RFC 5929 for the certificate).

Neither side sees the other's secret. The client proves that it knows the secret that the verifier
was made of; the server proves that it knows the verifier, so whoever pretends to be the target is
found out before the first statement. With -PLUS both speak about the same TLS connection.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cryptography import x509

from callpoint.domain.errors import AuthenticationError, RequestError
from callpoint.domain.scram import ITERATIONS
from callpoint.ports.authority import Greeting

PLAIN = "SCRAM-SHA-256"
BOUND = "SCRAM-SHA-256-PLUS"
NONCE_SIZE = 18
"""Random bytes of our part of a nonce, as many as PostgreSQL takes."""

_MOST_ITERATIONS = 1_000_000
"""A server that asks for more would keep this process busy, not us safe."""

_CLIENT_FIRST = re.compile(
    r"(?P<gs2>(?P<flag>n|y|p=tls-server-end-point),(?:a=[^,]*)?,)(?P<bare>n=[^,]*,r=(?P<nonce>[!-+\--~]+)(?:,.*)?)",
    re.DOTALL,
)
_CLIENT_FINAL = re.compile(
    r"(?P<unproved>c=(?P<binding>[^,]+),r=(?P<nonce>[^,]+)(?:,[a-oq-z]=[^,]*)*),p=(?P<proof>[^,]+)"
)
_SERVER_FIRST = re.compile(
    r"r=(?P<nonce>[!-+\--~]+),s=(?P<salt>[^,]+),i=(?P<count>\d{1,7})(?:,.*)?"
)
_SERVER_FINAL = re.compile(r"v=(?P<signature>[^,]+)(?:,.*)?")

Flag: TypeAlias = Literal["n", "y", "p"]


def end_point(certificate: bytes) -> bytes:
    """``tls-server-end-point``: the certificate's hash by its own signature's function.

    Args:
        certificate: DER.
    """
    signed = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    name = signed.name if signed else "sha256"
    return hashlib.new("sha256" if name in ("md5", "sha1") else name, certificate).digest()


@dataclass(slots=True)
class ServerSide:
    """One login, seen from the server.

    Attributes:
        greeting: The verifier.
        nonce: Our part.
        mechanism: What the client chose.
        bound_to: ``end_point`` of our certificate; empty without TLS.
    """

    greeting: Greeting
    nonce: str
    mechanism: str
    bound_to: bytes
    _gs2: str = ""
    _nonce: str = ""
    _said: str = ""

    def first(self, client_first: bytes) -> bytes:
        """The answer to the client's first message.

        Raises:
            RequestError: It is none, or speaks of a binding that does not fit the mechanism.
            AuthenticationError: The client believes that we cannot bind, though we offered it:
                somebody between took the offer away.
        """
        found = _CLIENT_FIRST.fullmatch(_ascii(client_first))
        if found is None:
            raise _malformed()
        flag = found["flag"][0]
        if (flag == "p") != (self.mechanism == BOUND):
            raise _malformed()
        if flag == "y" and self.bound_to:
            raise AuthenticationError(
                "the client was told that this gateway cannot bind the login to TLS: it can",
                way_out="look for somebody between client and gateway",
            )
        self._gs2 = found["gs2"]
        self._nonce = found["nonce"] + self.nonce
        greeting = self.greeting
        first = f"r={self._nonce},s={_base64(greeting.salt)},i={greeting.iterations}"
        self._said = f"{found['bare']},{first}"
        return first.encode()

    def final(self, client_final: bytes) -> bytes:
        """The answer to the client's proof: our own.

        Raises:
            RequestError: It is no such message.
            AuthenticationError: The proof does not fit.
        """
        found = _CLIENT_FINAL.fullmatch(_ascii(client_final))
        if found is None:
            raise _malformed()
        binding = self._gs2.encode() + (self.bound_to if self._gs2.startswith("p") else b"")
        same_binding = hmac.compare_digest(_decoded(found["binding"]), binding)
        same_nonce = hmac.compare_digest(found["nonce"], self._nonce)
        said = f"{self._said},{found['unproved']}".encode()
        signature = hmac.digest(self.greeting.stored_key, said, "sha256")
        key = _xor(_decoded(found["proof"]), signature)
        is_known = hmac.compare_digest(hashlib.sha256(key).digest(), self.greeting.stored_key)
        if not (same_binding and same_nonce and is_known):
            raise AuthenticationError("the connection secret is not the right one, or is spent")
        return f"v={_base64(hmac.digest(self.greeting.server_key, said, 'sha256'))}".encode()


@dataclass(slots=True)
class ClientSide:
    """One login, seen from the client; the user's name travels in the startup message.

    Attributes:
        secret: Printable ASCII, which SASLprep leaves alone.
        nonce: Our part.
        flag: ``p`` with ``bound_to``; ``y`` if we could bind and were not offered it.
        bound_to: ``end_point`` of the server's certificate.
    """

    secret: str
    nonce: str
    flag: Flag
    bound_to: bytes = b""
    _signature: bytes = b""

    @property
    def _gs2(self) -> str:
        return "p=tls-server-end-point,," if self.flag == "p" else f"{self.flag},,"

    def first(self) -> bytes:
        """Our first message."""
        return f"{self._gs2}n=,r={self.nonce}".encode()

    def final(self, server_first: bytes) -> bytes:
        """Our proof.

        Raises:
            AuthenticationError: The server's message is none, or not an answer to ours.
        """
        text = _ascii(server_first)
        found = _SERVER_FIRST.fullmatch(text)
        if found is None or not found["nonce"].startswith(self.nonce):
            raise _not_the_target()
        iterations = int(found["count"])
        if found["nonce"] == self.nonce or not ITERATIONS <= iterations <= _MOST_ITERATIONS:
            raise _not_the_target()
        salted = hashlib.pbkdf2_hmac(
            "sha256", self.secret.encode(), _decoded(found["salt"]), iterations
        )
        binding = self._gs2.encode() + (self.bound_to if self.flag == "p" else b"")
        unproved = f"c={_base64(binding)},r={found['nonce']}"
        said = f"n=,r={self.nonce},{text},{unproved}".encode()
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        stored_key = hashlib.sha256(client_key).digest()
        proof = _xor(client_key, hmac.digest(stored_key, said, "sha256"))
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self._signature = hmac.digest(server_key, said, "sha256")
        return f"{unproved},p={_base64(proof)}".encode()

    def check(self, server_final: bytes) -> None:
        """The server's proof.

        Raises:
            AuthenticationError: It does not know the verifier of our secret.
        """
        found = _SERVER_FINAL.fullmatch(_ascii(server_final))
        if found is None or not self._signature:
            raise _not_the_target()
        if not hmac.compare_digest(_decoded(found["signature"]), self._signature):
            raise _not_the_target()


def _xor(left: bytes, right: bytes) -> bytes:
    if len(left) != len(right):
        raise _malformed()
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed() from error


def _ascii(raw: bytes) -> str:
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError as error:
        raise _malformed() from error


def _malformed() -> RequestError:
    return RequestError("this is no message of SCRAM-SHA-256 that fits what was said before")


def _not_the_target() -> AuthenticationError:
    return AuthenticationError(
        "the target did not prove that it knows the account: it may be somebody else",
        way_out="check the target's address and what is between",
    )
