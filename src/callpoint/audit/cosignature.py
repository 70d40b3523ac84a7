"""C2SP tlog-cosignature v1 with Ed25519 (signature type 0x04): what a witness puts on a checkpoint.

A cosignature says: at this time, this was the largest consistent tree of that log that the witness
had seen. The signed message does not hold the witness's name, so a key belongs to one witness.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callpoint.audit.note import (
    PRIVATE,
    SIGNATURE_SIZE,
    BadSignatureError,
    MalformedNoteError,
    Note,
    Signature,
    check_key,
    check_name,
    key_id_of,
    parse_key,
    verify_ed25519,
)

KIND = b"\x04"
"""The signature type: a timestamped Ed25519 checkpoint cosignature."""

_TIME_SIZE = 8
_LATEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """A witness's public key with its name: `key` is 32 raw bytes."""

    name: str
    key: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        check_key(self.key)

    @property
    def key_id(self) -> bytes:
        """The 4 bytes by which signature lines name this key."""
        return key_id_of(self.name, KIND, self.key)

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Read ``name+hash+base64(0x04 || key)``.

        Raises:
            MalformedNoteError: It is no witness's key, or its hash is wrong.
        """
        name, key_id, key = parse_key(vkey, KIND)
        made = cls(name, key)
        if made.key_id != key_id:
            raise MalformedNoteError("the witness key's hash does not belong to it")
        return made

    def format(self) -> str:
        """The key as text."""
        return _format(self.name, self.key_id, self.key)


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A witness's private key with its name: `seed` is 32 raw bytes, and is never shown."""

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_name(self.name)
        check_key(self.seed)

    @property
    def public(self) -> WitnessKey:
        """The public half."""
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        return WitnessKey(self.name, private.public_key().public_bytes_raw())

    @classmethod
    def parse(cls, skey: str) -> Self:
        """Read ``PRIVATE+KEY+name+hash+base64(0x04 || seed)``.

        Raises:
            MalformedNoteError: It is none, is of another type, or its hash is wrong.
        """
        if not skey.startswith(PRIVATE):
            raise MalformedNoteError("a private key starts with PRIVATE+KEY+")
        name, key_id, seed = parse_key(skey.removeprefix(PRIVATE), KIND)
        made = cls(name, seed)
        if made.public.key_id != key_id:
            raise MalformedNoteError("the private key's hash does not belong to it")
        return made

    def format(self) -> str:
        """The key as text: a secret."""
        return PRIVATE + _format(self.name, self.public.key_id, self.seed)

    def cosign(self, text: str, time: int) -> Signature:
        """Cosign the text of a checkpoint, as of a POSIX time in whole seconds.

        Whoever calls answers for its being the largest consistent tree that was seen.
        """
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        stamp = time.to_bytes(_TIME_SIZE, "big")
        return Signature(self.name, self.public.key_id, stamp + private.sign(_message(text, time)))


@dataclass(frozen=True, slots=True)
class Seen:
    """A verified cosignature: which witness saw the checkpoint, and when (POSIX seconds)."""

    witness: WitnessKey
    time: int


def verify_cosignature(text: str, signature: Signature, witness: WitnessKey) -> Seen:
    """Check one signature line as that witness's over the text of a checkpoint.

    Raises:
        BadSignatureError: It is not, or it has no time.
    """
    if (signature.name, signature.key_id) != (witness.name, witness.key_id):
        raise BadSignatureError(f"the cosignature is not by the key of {witness.name}")
    if len(signature.signature) != _TIME_SIZE + SIGNATURE_SIZE:
        raise BadSignatureError("a cosignature is a time and an Ed25519 signature, 72 bytes")
    time = signed_at(signature)
    if not 0 < time <= _LATEST:
        raise BadSignatureError("the cosignature has no time")
    verify_ed25519(witness.key, signature.signature[_TIME_SIZE:], _message(text, time))
    return Seen(witness, time)


def signed_at(signature: Signature) -> int:
    """The POSIX time that a cosignature states, **unverified**."""
    return int.from_bytes(signature.signature[:_TIME_SIZE], "big")


def cosigned(note: Note, witnesses: Iterable[WitnessKey]) -> tuple[Seen, ...]:
    """The witnesses that cosigned a note, each once, with their newest time.

    Signatures of other keys are ignored. Whether the log signed it is `note.verify_note`'s work.

    Raises:
        BadSignatureError: A known witness's signature does not verify: the note is refused.
    """
    known = {(witness.name, witness.key_id): witness for witness in witnesses}
    found: dict[bytes, Seen] = {}
    for signature in note.signatures:
        witness = known.get((signature.name, signature.key_id))
        if witness is not None:
            seen = verify_cosignature(note.text, signature, witness)
            # By key, not by name: one witness under two names must not count twice.
            held = found.get(witness.key)
            if held is None or held.time < seen.time:
                found[witness.key] = seen
    return tuple(found.values())


def _message(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _format(name: str, key_id: bytes, key: bytes) -> str:
    return f"{name}+{key_id.hex()}+{base64.b64encode(KIND + key).decode()}"
