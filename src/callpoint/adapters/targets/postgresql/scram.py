"""The SCRAM-SHA-256 verifier that PostgreSQL stores (RFC 5803 form, keys as in RFC 7677).

We send this and never the password: a plaintext password in ``CREATE ROLE`` lands in the server's
log when ``log_statement`` is ``ddl`` or higher.
"""

import base64
import hashlib
import hmac

# PostgreSQL's own default. Our passwords are 192 random bits, so more rounds protect nothing.
ITERATIONS = 4096
SALT_SIZE = 16


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """``SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>``.

    Args:
        password: ASCII only: SASLprep leaves it as it is, so nothing is normalised here.
        salt: ``SALT_SIZE`` random bytes; the owner's functions accept no other size.
        iterations: At least 4096 (RFC 7677).

    Raises:
        ValueError: A password that SASLprep could change, or a weak salt or count.
    """
    if not password or not password.isascii() or not password.isprintable():
        raise ValueError("a generated password is printable ASCII")
    if len(salt) != SALT_SIZE or iterations < ITERATIONS:
        raise ValueError("salt or iteration count is below what RFC 7677 asks for")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_base64(salt)}${_base64(stored_key)}:{_base64(server_key)}"


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
