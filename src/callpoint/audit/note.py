"""C2SP signed notes v1 with Ed25519 (signature type 0x01): text that carries its signatures.

Only the plain Ed25519 type is implemented here. Signatures of other types are signatures of unknown
keys to this module: kept, and not relied upon; those of witnesses are in ``cosignature``. Keys are
written as C2SP writes them: ``name+hash+base64`` for a verifier, ``PRIVATE+KEY+name+hash+base64``
for a signer.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_NOTE_SIZE = 1_000_000
"""Largest note, in bytes; the same limit as the Go implementation's."""

MAX_SIGNATURES = 100
"""Most signatures on one note; the specification asks for at least 16."""

MAX_NAME_SIZE = 255
"""Longest key name, in characters."""

KEY_SIZE = 32
"""Length of an Ed25519 public key and of a private seed, in bytes."""

SIGNATURE_SIZE = 64
"""Length of an Ed25519 signature, in bytes."""

_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ED25519 = b"\x01"
_ID_SIZE = 4
_DASH = "\N{EM DASH} "
PRIVATE = "PRIVATE+KEY+"
"""What the text of a private key begins with."""


class NoteError(ValueError):
    """A note or a key is malformed, or its signature is not good: nothing in it may be believed.

    The one error of this module; the subclasses say which of three it is.
    """


class MalformedNoteError(NoteError):
    """The bytes are no signed note, or the text is no key."""


class UnknownKeyError(NoteError):
    """No known key signed the note."""


class BadSignatureError(NoteError):
    """A signature that claims to be from a known key is not."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: the key's name, its 4-byte id, and the raw signature."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        """As it stands below a note, with its newline."""
        return f"{_DASH}{self.name} {_base64(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note. The text ends in a newline. **Parsed is not verified**: see `verify`."""

    text: str
    signatures: tuple[Signature, ...]

    def format(self) -> bytes:
        """The note as bytes."""
        lines = "".join(signature.line() for signature in self.signatures)
        return f"{self.text}\n{lines}".encode()


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public Ed25519 key with its name: `key` is 32 raw bytes."""

    name: str
    key: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        check_key(self.key)

    @property
    def key_id(self) -> bytes:
        """The 4 bytes by which signature lines name this key."""
        return key_id_of(self.name, _ED25519, self.key)

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Read a verifier key: ``name+hash+base64(0x01 || key)``.

        Raises:
            MalformedNoteError: It is none, is of another type, or its hash is wrong.
        """
        name, key_id, key = parse_key(vkey, _ED25519)
        verifier = cls(name, key)
        if verifier.key_id != key_id:
            raise MalformedNoteError("the verifier key's hash does not belong to it")
        return verifier

    def format(self) -> str:
        """The verifier key as text."""
        return f"{self.name}+{self.key_id.hex()}+{_base64(_ED25519 + self.key)}"


@dataclass(frozen=True, slots=True)
class Signer:
    """A private Ed25519 key with its name: `seed` is 32 raw bytes, and is never shown.

    Attributes:
        verifier: The public half.
    """

    name: str
    seed: bytes = field(repr=False)
    verifier: Verifier = field(init=False, repr=False, compare=False)
    _key: Ed25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_name(self.name)
        check_key(self.seed)
        # Both are made once: to derive them costs more than the signature.
        key = Ed25519PrivateKey.from_private_bytes(self.seed)
        object.__setattr__(self, "_key", key)
        verifier = Verifier(self.name, key.public_key().public_bytes_raw())
        object.__setattr__(self, "verifier", verifier)

    def sign(self, text: str) -> Signature:
        """Its signature line for a note's text; see `sign_note`."""
        return Signature(self.name, self.verifier.key_id, self._key.sign(text.encode()))

    @classmethod
    def parse(cls, skey: str) -> Self:
        """Read a signer key: ``PRIVATE+KEY+name+hash+base64(0x01 || seed)``.

        Raises:
            MalformedNoteError: It is none, is of another type, or its hash is wrong.
        """
        if not skey.startswith(PRIVATE):
            raise MalformedNoteError("a signer key starts with PRIVATE+KEY+")
        name, key_id, seed = parse_key(skey.removeprefix(PRIVATE), _ED25519)
        signer = cls(name, seed)
        if signer.verifier.key_id != key_id:
            raise MalformedNoteError("the signer key's hash does not belong to it")
        return signer

    def format(self) -> str:
        """The signer key as text: a secret."""
        key_id = self.verifier.key_id.hex()
        return f"{PRIVATE}{self.name}+{key_id}+{_base64(_ED25519 + self.seed)}"


def parse_note(data: bytes) -> Note:
    """Read a note strictly; its signatures are not checked.

    Raises:
        MalformedNoteError: The bytes are not exactly what `Note.format` would write.
    """
    if len(data) > MAX_NOTE_SIZE:
        raise MalformedNoteError(f"a note has at most {MAX_NOTE_SIZE} bytes, not {len(data)}")
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise MalformedNoteError("the note is not UTF-8") from error
    _check_characters(whole)
    body, separator, tail = whole.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise MalformedNoteError("the note has no block of signatures")
    lines = tail.split("\n")[:-1]
    if len(lines) > MAX_SIGNATURES:
        raise MalformedNoteError(f"a note has at most {MAX_SIGNATURES} signatures")
    return Note(f"{body}\n", tuple(parse_signature(line) for line in lines))


def sign_note(text: str, signers: Sequence[Signer]) -> Note:
    """Sign a text, which must end in a newline, with each of the keys, in order.

    Raises:
        MalformedNoteError: The text cannot be a note's, or there is no signer.
    """
    if not 1 <= len(signers) <= MAX_SIGNATURES:
        raise MalformedNoteError(f"a note has 1 to {MAX_SIGNATURES} signatures")
    return Note(_checked_text(text), tuple(signer.sign(text) for signer in signers))


def verify_note(note: Note, verifiers: Iterable[Verifier]) -> tuple[Verifier, ...]:
    """Check the signatures of the known keys and ignore all others.

    Returns:
        The keys that signed, each once, in the order of the note.

    Raises:
        BadSignatureError: A known key's signature does not verify: the whole note is refused.
        UnknownKeyError: None of the signatures is by a known key.
    """
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    signed: dict[Verifier, None] = {}
    for signature in note.signatures:
        verifier = known.get((signature.name, signature.key_id))
        if verifier is not None:
            verify_ed25519(verifier.key, signature.signature, note.text.encode())
            signed[verifier] = None
    if not signed:
        raise UnknownKeyError("the note is not signed by a known key")
    return tuple(signed)


def verify_ed25519(key: bytes, signature: bytes, message: bytes) -> None:
    """Check one bare Ed25519 signature (RFC 8032) by a raw 32-byte public key.

    Raises:
        BadSignatureError: It is not that key's signature over the message.
    """
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise BadSignatureError("the Ed25519 signature does not verify") from error


def parse_signature(line: str) -> Signature:
    """Read one signature line, without its newline.

    Raises:
        MalformedNoteError: It is none.
    """
    name, separator, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not separator:
        raise MalformedNoteError("a signature line is: em dash, space, name, space, base64")
    check_name(name)
    raw = _parse_base64(encoded)
    if len(raw) <= _ID_SIZE:
        raise MalformedNoteError("a signature is a 4-byte key id and at least one byte")
    return Signature(name, raw[:_ID_SIZE], raw[_ID_SIZE:])


def parse_key(text: str, kind: bytes) -> tuple[str, bytes, bytes]:
    """Split ``name+hash+base64`` into name, id and what stands behind the type, which is `kind`.

    Raises:
        MalformedNoteError: It is no key, or one of another type.
    """
    parts = text.split("+", 2)
    if len(parts) != len(("name", "hash", "key")):
        raise MalformedNoteError("a key is written name+hash+base64")
    name, key_id, encoded = parts
    if len(key_id) != 2 * _ID_SIZE or not set(key_id) <= set("0123456789abcdef"):
        raise MalformedNoteError("a key's hash is 8 lower-case hexadecimal digits")
    raw = _parse_base64(encoded)
    if raw[:1] != kind:
        raise MalformedNoteError(f"the key is not of type 0x{kind.hex()}")
    return name, bytes.fromhex(key_id), raw[1:]


def key_id_of(name: str, kind: bytes, key: bytes) -> bytes:
    """The id of a public key of a type: ``SHA-256(name || 0x0A || type || key)[:4]``."""
    return hashlib.sha256(name.encode() + b"\n" + kind + key).digest()[:_ID_SIZE]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _parse_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedNoteError("that is not base64") from error
    # The decoder accepts stray bits in the last character, so that one signature could be written
    # in several ways.
    if _base64(data) != text:
        raise MalformedNoteError("that is not canonical base64")
    return data


def _checked_text(text: str) -> str:
    if not text.endswith("\n"):
        raise MalformedNoteError("a note's text ends in a newline")
    _check_characters(text)
    if len(text.encode()) > MAX_NOTE_SIZE // 2:
        raise MalformedNoteError(f"a note's text has at most {MAX_NOTE_SIZE // 2} bytes")
    return text


def _check_characters(text: str) -> None:
    if _CONTROL.search(text):
        raise MalformedNoteError("a note has no control characters but newlines")
    if _SURROGATE.search(text):
        raise MalformedNoteError("a note is valid Unicode")


def check_name(name: str) -> None:
    """MalformedNoteError for what cannot be a key's name."""
    if not name or len(name) > MAX_NAME_SIZE or "+" in name:
        raise MalformedNoteError(f"a key name has 1 to {MAX_NAME_SIZE} characters and no plus")
    if any(character.isspace() for character in name):
        raise MalformedNoteError("a key name has no spaces")
    _check_characters(name)


def check_key(key: bytes) -> None:
    """MalformedNoteError for what cannot be an Ed25519 key or seed."""
    if len(key) != KEY_SIZE:
        raise MalformedNoteError(f"an Ed25519 key has {KEY_SIZE} bytes, not {len(key)}")
