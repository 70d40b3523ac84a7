"""SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677): they check a secret without containing it."""

import hashlib
import hmac

import msgspec

ITERATIONS = 4096
"""The fewest that RFC 7677 allows. Our secrets are 192 random bits: more protect nothing."""

SALT_SIZE = 16


class Verifier(msgspec.Struct, frozen=True):
    """What a server keeps of a secret.

    Attributes:
        salt: ``SALT_SIZE`` bytes.
        iterations: At least ``ITERATIONS``.
        stored_key: 32 bytes; the client's proof is checked against it.
        server_key: 32 bytes; the server proves itself with it.
    """

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


def verifier(secret: str, salt: bytes, iterations: int = ITERATIONS) -> Verifier:
    """The verifier of a generated secret.

    Args:
        secret: ASCII only: SASLprep leaves it as it is, so nothing is normalised here.
        salt: ``SALT_SIZE`` random bytes.
        iterations: At least ``ITERATIONS``.

    Raises:
        ValueError: A secret that SASLprep could change, or a weak salt or count.
    """
    if not secret or not secret.isascii() or not secret.isprintable():
        raise ValueError("a generated password is printable ASCII")
    if len(salt) != SALT_SIZE or iterations < ITERATIONS:
        raise ValueError("salt or iteration count is below what RFC 7677 asks for")
    salted = hashlib.pbkdf2_hmac("sha256", secret.encode("ascii"), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return Verifier(
        salt=salt,
        iterations=iterations,
        stored_key=hashlib.sha256(client_key).digest(),
        server_key=hmac.digest(salted, b"Server Key", "sha256"),
    )


def unfit(name: str, key: bytes) -> Verifier:
    """A verifier that no secret fits, always the same for a name (RFC 5802, section 9).

    Args:
        name: What the client calls itself.
        key: Random, and nobody else's: who has it can tell these from true ones.
    """
    return Verifier(
        salt=hmac.digest(key, b"salt:" + name.encode(), "sha256")[:SALT_SIZE],
        iterations=ITERATIONS,
        # No preimage of these is known to anybody, so no proof fits.
        stored_key=hmac.digest(key, b"stored:" + name.encode(), "sha256"),
        server_key=hmac.digest(key, b"server:" + name.encode(), "sha256"),
    )
