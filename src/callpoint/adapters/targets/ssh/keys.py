"""Keys and certificates, made in process; the twin that proves an end is made here, too."""

import shlex
from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncssh
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callpoint.domain.undo_plan import UndoPlan
from callpoint.host.wire import serial_of

SEED_SIZE = 32
BACK_DATED = timedelta(seconds=60)
"""A host whose clock is behind ours takes a new certificate all the same."""

_TWIN_COMMAND = "/bin/true"


class Pair(msgspec.Struct, frozen=True):
    """A private key and the certificate for it. Its ``repr`` hides the key."""

    private: str
    certificate: str

    def __repr__(self) -> str:
        return "Pair(private=<hidden>)"


def new_private(seed: bytes) -> str:
    """An Ed25519 private key from 32 unpredictable bytes, as OpenSSH writes it."""
    return (
        Ed25519PrivateKey.from_private_bytes(seed)
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        .decode("ascii")
    )


def read_private(text: str) -> asyncssh.SSHKey | None:
    """A private key; None when it is none, or needs a passphrase."""
    try:
        return asyncssh.import_private_key(text)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError):
        return None


def read_public(text: str) -> asyncssh.SSHKey | None:
    """A public key line; None when it is none."""
    try:
        return asyncssh.import_public_key(text)
    except (asyncssh.KeyImportError, ValueError):
        return None


def public_line(key: asyncssh.SSHKey) -> str:
    """``type base64``, without a comment."""
    return " ".join(key.export_public_key("openssh").decode("ascii").split()[:2])


def actors(ca: asyncssh.SSHKey, plan: UndoPlan, private: str, now: datetime, program: str) -> Pair:
    """What the actor gets: as the plan says, and nothing permitted that it does not name."""
    words = [program, "session", plan.account, str(end_of(plan))]
    if command := plan.details.get("command", ""):
        # "--": no argument of the role's is taken for one of the wrapper's.
        words += ["--", *command.split()]
    return _signed(
        ca,
        plan,
        private,
        now,
        command=shlex.join(words),
        sources=[s for s in plan.details.get("sources", "").split(",") if s],
        permit=plan.details.get("permit", "").split(","),
    )


def twin(
    ca: asyncssh.SSHKey, plan: UndoPlan, private: str, now: datetime, sources: Sequence[str]
) -> Pair:
    """The same serial, key id and principal for a key of the broker's, which can do nothing."""
    return _signed(ca, plan, private, now, command=_TWIN_COMMAND, sources=sources, permit=())


def end_of(plan: UndoPlan) -> int:
    """Epoch seconds; never later than the plan's moment."""
    return int(plan.not_after.timestamp())


def _signed(
    ca: asyncssh.SSHKey,
    plan: UndoPlan,
    private: str,
    now: datetime,
    *,
    command: str,
    sources: Sequence[str],
    permit: Sequence[str],
) -> Pair:
    end = end_of(plan)
    begin = min(int(now.timestamp()), end) - int(BACK_DATED.total_seconds())
    key = asyncssh.import_private_key(private)
    made = ca.generate_user_certificate(
        key.convert_to_public(),
        key_id=plan.account,
        serial=serial_of(plan.handle),
        principals=[plan.account],
        valid_after=begin,
        valid_before=end,
        force_command=command,
        source_address=list(sources) or None,
        # All of these are on unless they are switched off.
        permit_x11_forwarding=False,
        permit_agent_forwarding=False,
        permit_port_forwarding="port-forwarding" in permit,
        permit_pty="pty" in permit,
        permit_user_rc=False,
        comment=None,
    )
    return Pair(private, " ".join(made.export_certificate("openssh").decode("ascii").split()[:2]))
