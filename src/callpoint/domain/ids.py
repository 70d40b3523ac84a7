"""Identifiers: short, readable, and safe to put into an account name on any target.

* installation: 6 characters ``[a-z0-9]``
* activation: 12 characters ``[a-z0-9]``
* handle: installation + activation + two characters for n: 20 of the 24 that a target must take
* stream: ``kind:name``, where evidence about one thing is kept in order
"""

import re

from callpoint.domain.errors import RequestError

INSTALLATION_LENGTH = 6
ACTIVATION_LENGTH = 12
HANDLE_LIMIT = 24
LEASES_PER_ACTIVATION = 36 * 36

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_INSTALLATION = re.compile(r"[a-z][a-z0-9]{5}")
_ACTIVATION = re.compile(r"[a-z][a-z0-9]{11}")

INSTALLATION_STREAM = "installation"
REFUSALS_STREAM = "refusals"
DECISIONS_STREAM = "decisions"


def handle(installation: str, activation: str, n: int) -> str:
    """Name of the n-th credential of an activation, unique over all installations of a target."""
    if not 0 <= n < LEASES_PER_ACTIVATION:
        raise RequestError(f"an activation has at most {LEASES_PER_ACTIVATION} leases")
    return f"{installation}{activation}{_DIGITS[n // 36]}{_DIGITS[n % 36]}"


def activation_of(handle_: str) -> str:
    """The activation inside a handle."""
    return handle_[INSTALLATION_LENGTH : INSTALLATION_LENGTH + ACTIVATION_LENGTH]


def parse_name(text: str, what: str) -> str:
    """A configured name: lower case, digits, ``. _ -``, at most 64.

    Raises:
        RequestError: It is something else; the message names ``what`` it should have been.
    """
    if not _NAME.fullmatch(text):
        raise RequestError(
            f"{what} {text[:80]!r} is not a name",
            way_out="use lower-case letters, digits, '.', '_' and '-', at most 64",
        )
    return text


def parse_activation(text: str) -> str:
    """An activation id as a person types it.

    Raises:
        RequestError: It has another form.
    """
    if not _ACTIVATION.fullmatch(text):
        raise RequestError(
            f"{text[:80]!r} is not an activation id", way_out="run `callpoint status` for the list"
        )
    return text


def is_installation(text: str) -> bool:
    """Whether ``text`` has the form of an installation id."""
    return _INSTALLATION.fullmatch(text) is not None


def activation_stream(activation: str) -> str:
    """Where an activation's evidence is kept."""
    return f"activation:{activation}"


def incident_stream(incident: str) -> str:
    """Where an incident's evidence is kept."""
    return f"incident:{incident}"


def session_stream(session: str) -> str:
    """Where what was done in a session is kept."""
    return f"session:{session}"


def offline_stream(session: str) -> str:
    """Where what was done in a session without the authority is kept."""
    return f"offline:{session}"


def target_stream(target: str) -> str:
    """Where findings about a target itself are kept (reconciliation)."""
    return f"target:{target}"
