"""A credential in the clear, and what a target says when it is tried."""

from enum import StrEnum

import msgspec


class Credential(msgspec.Struct, frozen=True):
    """A dedicated credential in the clear. Its ``repr`` hides the secret.

    Attributes:
        username: The account on the target.
        secret: The password or key.
        endpoint: Where and how to connect: ``host``, ``port``, ``dbname``, ``options`` …
        hint: A command line that uses it without showing the secret.
    """

    username: str
    secret: str
    endpoint: dict[str, str] = {}
    hint: str = ""

    def __repr__(self) -> str:
        return f"Credential(username={self.username!r}, secret=<hidden>)"


class Attempt(StrEnum):
    """What the target said when the credential was tried."""

    ACCEPTED = "accepted"
    LOCKED = "locked"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class ProbeResult(msgspec.Struct, frozen=True):
    """Outcome of one login attempt; ``code`` is the target's own code (SQLSTATE …).

    ``refused`` means refused *for authentication*, by code. A time-out, a full server or a
    network error is ``unknown``. ``locked`` is said of checked-out accounts only: the secret is the
    right one, and the account lets nobody in.
    """

    attempt: Attempt
    code: str = ""
