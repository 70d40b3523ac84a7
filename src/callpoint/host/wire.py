"""What broker and host say to each other: one JSON object each way, over a forced command. Pure.

The broker writes one line and closes; the host answers one line. Both sides refuse what is too
long, of another version, or has a field too many.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

VERSION = 1
REQUEST_LIMIT = 16_384
ANSWER_LIMIT = 4_194_304
"""Bytes. The largest answers are snapshots and the inventory; both are bounded on the host."""

PREFIX = "cp-"
_INSTALLATION = re.compile(r"[a-z][a-z0-9]{5}")
_REST = re.compile(r"[a-z0-9]{1,18}")
_CERTIFICATE = re.compile(r"ssh-ed25519-cert-v01@openssh\.com [A-Za-z0-9+/]{40,8000}={0,2}")
_MOST_SECONDS = 1 << 40

FIELDS = {
    "hello": (),
    "enrol": ("handle", "account", "serial", "not_after"),
    "withdraw": ("handle",),
    "end": ("handle",),
    "remove": ("handle",),
    "verify": ("handle", "certificate"),
    "list": (),
    "snapshot": ("account",),
    "status": (),
    "accounts": (),
}
"""Each verb, and exactly the fields that it takes."""


class WireError(Exception):
    """The other side said something that is not in the protocol, or said no.

    Args:
        code: One word that a program can act on.
        message: For a person; it quotes nothing that the other side sent.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def name_of(handle: str) -> str:
    """The account, principal and key id of a handle."""
    return PREFIX + handle


def serial_of(handle: str) -> int:
    """The certificate's serial: 63 bits, never 0 (which means "none" in a revocation list)."""
    digest = hashlib.sha256(b"callpoint ssh serial " + handle.encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 1) or 1


def is_installation(text: str) -> bool:
    """Whether it is an installation's id."""
    return _INSTALLATION.fullmatch(text) is not None


def is_own(handle: str, installation: str) -> bool:
    """Whether the handle is one of this installation's."""
    return handle.startswith(installation) and bool(_REST.fullmatch(handle[len(installation) :]))


def request(verb: str, installation: str, **fields: Any) -> bytes:  # noqa: ANN401 - JSON values
    """One request, as it goes over the wire."""
    body = {"version": VERSION, "installation": installation, "verb": verb, **fields}
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def read_request(raw: bytes, installation: str, accounts: tuple[str, ...]) -> dict[str, Any]:
    """A request that may be acted on.

    Raises:
        WireError: It is malformed, for another installation, or names an account that is not open.
    """
    if len(raw) > REQUEST_LIMIT:
        raise WireError("request", "the request is too long")
    body = _object(raw)
    verb = body.get("verb")
    if body.get("version") != VERSION:
        raise WireError("version", f"this host speaks version {VERSION}")
    if not isinstance(verb, str) or verb not in FIELDS:
        raise WireError("request", "there is no such verb")
    if set(body) != {"version", "installation", "verb", *FIELDS[verb]}:
        raise WireError("request", f"{verb} has other fields")
    if body["installation"] != installation:
        raise WireError("foreign", "this host belongs to another installation")
    for field in FIELDS[verb]:
        _check(field, body[field], installation, accounts)
    return body


def _check(field: str, value: object, installation: str, accounts: tuple[str, ...]) -> None:
    if field == "handle":
        if not (isinstance(value, str) and is_own(value, installation)):
            raise WireError("foreign", "the handle is not one of this installation")
    elif field == "account":
        if not (isinstance(value, str) and value in accounts):
            raise WireError("account", "the account is not one that the owner opened")
    elif field == "certificate":
        if not (isinstance(value, str) and _CERTIFICATE.fullmatch(value)):
            raise WireError("request", "the certificate has another form")
    elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise WireError("request", f"{field} is no positive number")
    elif value >= (1 << 63 if field == "serial" else _MOST_SECONDS):
        raise WireError("request", f"{field} is too large")


def answer(clock: float, **fields: Any) -> bytes:  # noqa: ANN401 - JSON values
    """What the host says when it did as asked."""
    body = {"version": VERSION, "ok": True, "clock": clock, **fields}
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def refusal(code: str, message: str) -> bytes:
    """What the host says when it did not."""
    body = {"version": VERSION, "ok": False, "code": code, "message": message}
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def read_answer(raw: bytes) -> dict[str, Any]:
    """What the host did.

    Raises:
        WireError: The host refused (its own code), or this is no answer of a host (``garbled``).
    """
    if len(raw) > ANSWER_LIMIT:
        raise WireError("garbled", "the answer is too long")
    try:
        body = _object(raw)
    except WireError as error:
        raise WireError("garbled", "the answer is not one of the host side") from error
    if body.get("version") != VERSION or not isinstance(body.get("ok"), bool):
        raise WireError("garbled", "the answer is not one of the host side")
    if not body["ok"]:
        raise WireError(str(body.get("code", ""))[:40], str(body.get("message", ""))[:300])
    return body


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WireError("request", "the request is not JSON") from error
    if not isinstance(body, dict):
        raise WireError("request", "the request is not an object")
    return body
