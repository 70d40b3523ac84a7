"""Tests of signed notes: what is read, what is refused, whose signature counts."""

import base64

import pytest

from callpoint.audit.note import (
    MAX_NOTE_SIZE,
    BadSignatureError,
    MalformedNoteError,
    Note,
    Signature,
    Signer,
    UnknownKeyError,
    Verifier,
    parse_note,
    sign_note,
    verify_ed25519,
    verify_note,
)

LOG = Signer("log.example/4f2c", bytes(range(32)))
WITNESS = Signer("witness.example", bytes(range(1, 33)))
TEXT = "one\n\nthree\n"


def test_a_signed_note_is_read_back_and_verified():
    """What two keys signed is read back from bytes and verified with either or both."""
    note = parse_note(sign_note(TEXT, [LOG, WITNESS]).format())
    assert note.text == TEXT
    assert verify_note(note, [LOG.verifier]) == (LOG.verifier,)
    assert verify_note(note, [WITNESS.verifier, LOG.verifier]) == (LOG.verifier, WITNESS.verifier)


def test_signatures_of_unknown_keys_are_ignored():
    """A signature of an unknown key neither helps nor hurts, whatever it holds."""
    stranger = Signature("stranger.example", b"abcd", b"anything")
    same_id = Signature("stranger.example", LOG.verifier.key_id, b"anything")
    same_name = Signature(LOG.name, b"abcd", b"anything")
    note = sign_note(TEXT, [LOG])
    padded = Note(note.text, (stranger, same_id, *note.signatures, same_name))
    assert verify_note(parse_note(padded.format()), [LOG.verifier]) == (LOG.verifier,)


def test_a_note_without_a_known_signature_is_refused():
    """A note that only strangers signed is refused, even by a key with the known name."""
    impostor = Signer(LOG.name, bytes(32))
    with pytest.raises(UnknownKeyError):
        verify_note(sign_note(TEXT, [WITNESS, impostor]), [LOG.verifier])
    with pytest.raises(UnknownKeyError):
        verify_note(sign_note(TEXT, [LOG]), [])


def test_a_known_key_with_a_bad_signature_spoils_the_note():
    """A bad signature of one known key refuses the note although another known one is good."""
    good = sign_note(TEXT, [WITNESS])
    bad = Signature(LOG.name, LOG.verifier.key_id, bytes(64))
    with pytest.raises(BadSignatureError):
        verify_note(Note(TEXT, (*good.signatures, bad)), [LOG.verifier, WITNESS.verifier])


def test_a_changed_text_is_refused():
    """A note whose text changed after signing is refused."""
    note = sign_note(TEXT, [LOG])
    with pytest.raises(BadSignatureError):
        verify_note(Note("two\n\nthree\n", note.signatures), [LOG.verifier])


def test_keys_are_read_back_as_written():
    """Verifier and signer keys survive writing and reading, and a signer never shows its seed."""
    assert Verifier.parse(LOG.verifier.format()) == LOG.verifier
    assert Signer.parse(LOG.format()) == LOG
    assert "seed" not in repr(LOG)


def _key(name: str = "n", key_id: str | None = None, raw: bytes | None = None) -> str:
    verifier = Verifier(name, bytes(32)) if name == "n" else LOG.verifier
    body = base64.b64encode(b"\x01" + bytes(32) if raw is None else raw).decode()
    return f"{name}+{key_id or verifier.key_id.hex()}+{body}"


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "n+00000000",
        _key(key_id="00000000"),
        _key(key_id="0000000"),
        _key(key_id="ABCDEF01"),
        _key(name=""),
        _key(name="a b"),
        _key(raw=b"\x01" + bytes(31)),
        _key(raw=b"\x02" + bytes(32)),
        _key(raw=b""),
        _key() + "=",
        _key() + "\n",
        _key("x" * 300),
    ],
)
def test_malformed_keys_are_refused(vkey):
    """A verifier key with a wrong hash, type, length, name or encoding is refused."""
    assert Verifier.parse(_key()).key == bytes(32)
    with pytest.raises(MalformedNoteError):
        Verifier.parse(vkey)


def test_a_signer_key_must_be_one():
    """A verifier key is no signer key, and a signer key with another's hash is refused."""
    with pytest.raises(MalformedNoteError, match="PRIVATE"):
        Signer.parse(LOG.verifier.format())
    forged = WITNESS.format().replace(WITNESS.verifier.key_id.hex(), "00000000")
    with pytest.raises(MalformedNoteError, match="hash"):
        Signer.parse(forged)


GOOD = sign_note("text\n", [LOG]).format()
LINE = GOOD.removeprefix(b"text\n\n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"text\n",
        b"text\n\n",
        b"text\n" + LINE,
        GOOD.rstrip(b"\n"),
        GOOD + b"\n",
        GOOD + b"no signature\n",
        GOOD.replace(b"text", b"te\txt"),
        GOOD.replace(b"text", b"te\rxt"),
        GOOD.replace(b"text", b"te\xffxt"),
        GOOD.replace("\u2014".encode(), b"-"),
        GOOD.replace(b"log.example", b"log+example"),
        GOOD.replace(b"log.example", "log\u00a0example".encode()),
        GOOD.replace(b"=\n", b"\n"),
        b"text\n\n" + "\u2014 n YWJj\n".encode(),
        b"text\n\n" + "\u2014 n YWJjZA==\n".encode(),
        b"text\n\n" + "\u2014 n YWJjZGV=\n".encode(),
        b"text\n\n" + "\u2014  YWJjZGU=\n".encode(),
        b"text\n\n" + LINE * 101,
        b"x" * MAX_NOTE_SIZE + GOOD,
    ],
)
def test_malformed_notes_are_refused(data):
    """Bytes that are not exactly a note, or exceed a limit, are refused as malformed."""
    assert parse_note(GOOD).format() == GOOD
    with pytest.raises(MalformedNoteError):
        parse_note(data)


@pytest.mark.parametrize("text", ["", "no newline", "tab\t\n", "\ud800\n", "x" * 600_000 + "\n"])
def test_texts_no_note_can_carry_are_not_signed(text):
    """A text without final newline, with controls or lone surrogates, or too long is not signed."""
    with pytest.raises(MalformedNoteError):
        sign_note(text, [LOG])


@pytest.mark.parametrize("count", [0, 101])
def test_the_number_of_signatures_is_bounded(count):
    """A note is signed by at least one key and by no more than readers accept."""
    with pytest.raises(MalformedNoteError):
        sign_note(TEXT, [LOG] * count)


def test_sixteen_signatures_are_accepted():
    """A note with sixteen signatures is read, as the specification demands."""
    signers = [Signer(f"key{n}", bytes([n]) * 32) for n in range(16)]
    note = parse_note(sign_note(TEXT, signers).format())
    assert len(verify_note(note, [signer.verifier for signer in signers])) == 16


@pytest.mark.parametrize("key, signature", [(b"", bytes(64)), (bytes(32), b"")])
def test_a_bare_signature_of_the_wrong_shape_is_a_bad_one(key, signature):
    """A key or signature of the wrong length counts as a bad signature, not as a crash."""
    with pytest.raises(BadSignatureError):
        verify_ed25519(key, signature, b"message")
