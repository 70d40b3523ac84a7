"""The SCRAM-SHA-256 verifier as PostgreSQL stores it (RFC 5803 form).

We send this and never the password: a plaintext password in ``CREATE ROLE`` lands in the server's
log when ``log_statement`` is ``ddl`` or higher.
"""

import base64

from callpoint.domain import scram

ITERATIONS = scram.ITERATIONS  # PostgreSQL's own default, too
SALT_SIZE = scram.SALT_SIZE  # the owner's functions accept no other size


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """``SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>``.

    Arguments and errors are those of ``domain.scram.verifier``.
    """
    made = scram.verifier(password, salt, iterations)
    return (
        f"SCRAM-SHA-256${made.iterations}:{_base64(made.salt)}"
        f"${_base64(made.stored_key)}:{_base64(made.server_key)}"
    )


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
