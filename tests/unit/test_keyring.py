"""The client's keys: files that only their owner reads, and boxes that open until the end."""

import base64
import json
import os
import stat

import pyrage
import pytest

from callpoint.cli.keyring import (
    Keyring,
    load_principal_key,
    save_principal_key,
    state_directory,
)
from callpoint.domain.errors import ConfigError, ConflictError, NotFoundError, RequestError

SEED = bytes(range(32))


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_principal_key_is_saved_and_loaded(tmp_path):
    """What keygen writes is what every command reads: private from its first moment."""
    path = tmp_path / "ana.key"
    before = os.umask(0)
    saved = save_principal_key(path, "ana-laptop", SEED)
    os.umask(before)
    assert mode(path) == 0o600
    assert json.loads(path.read_text()) == {
        "principal": "ana-laptop",
        "key": base64.b64encode(SEED).decode(),
    }
    loaded = load_principal_key(path)
    assert loaded.principal == "ana-laptop"
    assert loaded.key.private_bytes_raw() == SEED
    assert loaded.public_key == saved.public_key == "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
    assert base64.b64encode(SEED).decode() not in repr(loaded)


def test_a_key_is_never_overwritten(tmp_path):
    """Saving over an existing file is refused and leaves it as it was."""
    path = tmp_path / "ana.key"
    path.write_text("precious")
    with pytest.raises(RequestError, match="never overwritten"):
        save_principal_key(path, "ana-laptop", SEED)
    assert path.read_text() == "precious"
    with pytest.raises(RequestError, match="cannot be written"):
        save_principal_key(tmp_path / "absent" / "ana.key", "ana-laptop", SEED)


@pytest.mark.parametrize("open_to", [0o640, 0o604, 0o620, 0o601, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path, open_to):
    """A key file that is open to anybody else is refused, with the command that closes it."""
    path = tmp_path / "ana.key"
    save_principal_key(path, "ana-laptop", SEED)
    path.chmod(open_to)
    with pytest.raises(ConfigError, match=f"mode {open_to:04o}") as refusal:
        load_principal_key(path)
    assert f"chmod 600 {path}" in refusal.value.way_out


def test_a_link_is_judged_by_the_file_that_it_names(tmp_path):
    """A link to a private file is read, a link to an open one is refused."""
    path, link = tmp_path / "ana.key", tmp_path / "link"
    save_principal_key(path, "ana-laptop", SEED)
    link.symlink_to(path)
    assert load_principal_key(link).principal == "ana-laptop"
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="others may read"):
        load_principal_key(link)


def test_a_missing_key_names_the_command_that_makes_one(tmp_path):
    """Without a key file the error says which file and how to make it."""
    with pytest.raises(ConfigError, match="no key file") as refusal:
        load_principal_key(tmp_path / "ana.key")
    assert refusal.value.file.endswith("ana.key")
    assert "callpoint keygen" in refusal.value.way_out


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"\xff\xfe",
        b'{"principal":"ana"}',
        b'{"principal":"ana","key":"c2VjcmV0LXNlZWQ="}',
        b'{"principal":"ana","key":"secret-seed"}',
        b'{"principal":"","key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}',
        b'{"principal":"ana","key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","x":1}',
        b"-----BEGIN OPENSSH PRIVATE KEY-----",
        b" " * 5000,
    ],
)
def test_a_damaged_key_file_is_refused_without_quoting_it(tmp_path, content):
    """Another content is refused, and no part of it appears in the error or its cause."""
    path = tmp_path / "ana.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError) as refusal:
        load_principal_key(path)
    assert "secret-seed" not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    """A directory or a pipe in place of a key file is refused at once."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ConfigError, match="no key file"):
            load_principal_key(path)


def test_the_state_directory_is_named_or_at_home():
    """$CALLPOINT_STATE names it; else, or when it is empty, it is ~/.callpoint."""
    assert str(state_directory({"CALLPOINT_STATE": "/srv/state"})) == "/srv/state"
    for environment in ({}, {"CALLPOINT_STATE": ""}):
        assert state_directory(environment).name == ".callpoint"
        assert state_directory(environment).is_absolute()


def test_a_box_opens_as_often_as_wanted_until_the_key_is_forgotten(tmp_path):
    """The secret sealed to a one-time key opens twice, under its new name, and never after."""
    keyring = Keyring(tmp_path / "state")
    recipient = keyring.create("nonce-1")
    box = pyrage.encrypt(b"s3cret", [pyrage.x25519.Recipient.from_str(recipient)])
    keyring.rename("nonce-1", "act-7")
    again = Keyring(tmp_path / "state")  # another process
    assert again.open_box("act-7", box) == b"s3cret"
    assert again.open_box("act-7", box) == b"s3cret"
    assert again.names() == ("act-7",)
    again.forget("act-7")
    again.forget("act-7")
    assert again.names() == ()
    with pytest.raises(NotFoundError, match="no one-time key"):
        again.open_box("act-7", box)


def test_one_time_keys_are_private(tmp_path):
    """Key and directories are made for their owner alone, and an opened key is refused."""
    keyring = Keyring(tmp_path / "state")
    box = pyrage.encrypt(b"x", [pyrage.x25519.Recipient.from_str(keyring.create("n"))])
    path = tmp_path / "state" / "keys" / "n.age"
    assert mode(path) == 0o600
    assert mode(path.parent) == mode(path.parent.parent) == 0o700
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="others may read"):
        keyring.open_box("n", box)


def test_a_key_of_the_same_name_is_not_replaced(tmp_path):
    """A second key of one name is refused; the first still opens its box."""
    keyring = Keyring(tmp_path)
    box = pyrage.encrypt(b"x", [pyrage.x25519.Recipient.from_str(keyring.create("n"))])
    with pytest.raises(ConflictError):
        keyring.create("n")
    assert keyring.open_box("n", box) == b"x"


def test_renaming_is_safe_to_repeat(tmp_path):
    """A rename that was interrupted or already done succeeds; it never replaces another key."""
    keyring = Keyring(tmp_path)
    keyring.create("n")
    os.link(tmp_path / "keys" / "n.age", tmp_path / "keys" / "a.age")  # died between the two steps
    keyring.rename("n", "a")
    keyring.rename("n", "a")
    assert keyring.names() == ("a",)
    keyring.create("m")
    with pytest.raises(ConflictError):
        keyring.rename("m", "a")
    with pytest.raises(NotFoundError):
        keyring.rename("absent", "b")


def test_a_foreign_box_does_not_open(tmp_path):
    """A box for another key, a damaged box and a damaged key are three clear errors."""
    keyring = Keyring(tmp_path)
    box = pyrage.encrypt(b"x", [pyrage.x25519.Recipient.from_str(keyring.create("one"))])
    keyring.create("two")
    with pytest.raises(RequestError, match="does not open"):
        keyring.open_box("two", box)
    with pytest.raises(RequestError, match="does not open"):
        keyring.open_box("one", box[:-1])
    with pytest.raises(RequestError, match="does not open"):
        keyring.open_box("one", b"no box")
    (tmp_path / "keys" / "one.age").write_text("AGE-SECRET-KEY-1XX")
    with pytest.raises(ConfigError, match="no age identity"):
        keyring.open_box("one", box)


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a.b", "-x", "ä", "x" * 200, "a\x00"])
def test_a_name_stays_in_its_directory(tmp_path, name):
    """A name with anything but letters, digits, - and _ is refused everywhere."""
    keyring = Keyring(tmp_path)
    for use in (keyring.create, keyring.forget, lambda n: keyring.open_box(n, b"")):
        with pytest.raises(RequestError, match="letters, digits"):
            use(name)


def test_a_state_directory_that_cannot_be_made_is_said(tmp_path):
    """A file where the state directory should be is an error with a way out."""
    (tmp_path / "state").write_text("")
    with pytest.raises(ConfigError) as refusal:
        Keyring(tmp_path / "state").create("n")
    assert "CALLPOINT_STATE" in refusal.value.way_out
