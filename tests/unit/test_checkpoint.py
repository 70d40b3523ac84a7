"""Tests of checkpoints: one form only, and believed only when signed for the right log."""

import pytest

from callpoint.audit.checkpoint import (
    Checkpoint,
    CheckpointError,
    WrongOriginError,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from callpoint.audit.merkle import EMPTY_ROOT
from callpoint.audit.note import BadSignatureError, Signer, UnknownKeyError, sign_note

LOG = Signer("log.example/4f2c", bytes(range(32)))
CHECKPOINT = Checkpoint(LOG.name, 20852163, bytes(range(32)))
TEXT = "log.example/4f2c\n20852163\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"


def test_the_text_is_that_of_the_specification():
    """A checkpoint is written as origin, size and root, a line each, and read back the same."""
    assert CHECKPOINT.format() == TEXT
    assert parse_checkpoint(TEXT) == CHECKPOINT


def test_extension_lines_are_kept():
    """Extension lines survive being written and read."""
    extended = Checkpoint("o", 0, EMPTY_ROOT, ("one", "two 2"))
    assert parse_checkpoint(extended.format()) == extended


def test_a_signed_checkpoint_opens_with_its_key_and_origin():
    """A signed checkpoint opens with the log's key for the log's origin."""
    data = sign_checkpoint(CHECKPOINT, [LOG]).format()
    assert open_checkpoint(data, [LOG.verifier], LOG.name) == CHECKPOINT


def test_another_logs_checkpoint_is_refused():
    """A checkpoint with a good signature but of another log is refused by name."""
    data = sign_checkpoint(CHECKPOINT, [LOG]).format()
    with pytest.raises(WrongOriginError, match=r"log\.example/4f2c"):
        open_checkpoint(data, [LOG.verifier], "other.example")


def test_another_key_does_not_open_it():
    """A checkpoint that only an unknown key signed is refused."""
    data = sign_checkpoint(CHECKPOINT, [Signer(LOG.name, bytes(32))]).format()
    with pytest.raises(UnknownKeyError):
        open_checkpoint(data, [LOG.verifier], LOG.name)


def test_a_changed_size_is_refused():
    """A checkpoint whose size was changed after signing is refused."""
    data = sign_checkpoint(CHECKPOINT, [LOG]).format().replace(b"20852163", b"20852164")
    with pytest.raises(BadSignatureError):
        open_checkpoint(data, [LOG.verifier], LOG.name)


def test_a_signed_text_that_is_no_checkpoint_is_refused():
    """A good signature over something else makes no checkpoint."""
    with pytest.raises(CheckpointError):
        open_checkpoint(sign_note("hello\n", [LOG]).format(), [LOG.verifier], LOG.name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT.rstrip("\n"),
        TEXT + "\n",
        TEXT.replace("log.example/4f2c", ""),
        TEXT.replace("20852163", "020852163"),
        TEXT.replace("20852163", "+1"),
        TEXT.replace("20852163", "-1"),
        TEXT.replace("20852163", "\u0661"),
        TEXT.replace("20852163", "9" * 16),
        TEXT.replace("20852163", "9" * 5000),
        TEXT.replace("AAEC", "AAE"),
        TEXT.replace("AAEC", "A*EC"),
        TEXT.replace("8=", "9="),
        TEXT.replace("AAEC", "\u00e9AEC"),
        "o\n0\nAAAA\n",
        TEXT.replace("log", "l\tog"),
        TEXT + "x\n" * 17,
        TEXT + "x\r\n",
    ],
)
def test_malformed_checkpoints_are_refused(text):
    """A text that is not exactly a checkpoint's is refused."""
    with pytest.raises(CheckpointError):
        parse_checkpoint(text)
