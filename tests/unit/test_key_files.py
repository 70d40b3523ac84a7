"""Key files: created whole or not at all, never readable by others, replaced in two steps."""

import base64
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callpoint.adapters.keys.files import (
    AgeSealer,
    Ed25519Verifier,
    FileLogSigner,
    FileTokenSigner,
    FileVault,
    KeyUse,
    create_keys,
    promote_key,
    public_keys,
    stage_key,
    staged_key,
)
from callpoint.audit import note
from callpoint.domain.errors import ConfigError, ConflictError, RequestError, UnavailableError


@pytest.fixture
def folder(tmp_path):
    where = tmp_path / "keys"
    create_keys(where, log_name="callpoint/abc123")
    return where


def test_created_files_are_closed_to_others(folder):
    """Key files are 0600 in a folder of 0700, and nothing else is left behind."""
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {p.name: stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == {
        "log.key": 0o600,
        "token.key": 0o600,
        "seal.key": 0o600,
    }
    assert [p.name for p in folder.parent.iterdir()] == ["keys"]


def test_existing_keys_are_never_replaced(folder):
    """Creating keys where keys are raises ConflictError and leaves every byte as it was."""
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(ConflictError, match="not empty"):
        create_keys(folder, log_name="callpoint/abc123")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in folder.parent.iterdir()] == ["keys"]


def test_an_empty_folder_may_be_filled(tmp_path):
    """An empty folder, as a package or an operator makes it, receives the keys."""
    (tmp_path / "keys").mkdir()
    made = create_keys(tmp_path / "keys", log_name="callpoint/abc123")
    assert public_keys(tmp_path / "keys") == made


def test_a_file_in_the_way_is_a_conflict(tmp_path):
    """A plain file where the folder should be is named as the conflict and kept."""
    (tmp_path / "keys").write_text("mine")
    with pytest.raises(ConflictError):
        create_keys(tmp_path / "keys", log_name="callpoint/abc123")
    assert (tmp_path / "keys").read_text() == "mine"


def test_log_signer_signs_notes_of_its_name(folder):
    """A signed checkpoint text verifies under the verifier key that the signer names."""
    signer = FileLogSigner(folder)
    signed = note.parse_note(signer.sign("callpoint/abc123\n0\nx\n").encode())
    verifier = note.Verifier.parse(signer.verifier_key)
    assert note.verify_note(signed, [verifier]) == (verifier,)
    assert verifier.name == "callpoint/abc123"


def test_a_text_that_is_no_note_is_not_signed(folder):
    """What cannot be a note's text raises LogUnavailableError instead of a bare ValueError."""
    with pytest.raises(UnavailableError, match="cannot be signed"):
        FileLogSigner(folder).sign("no newline")


def test_sealed_opens_only_with_its_key(folder, tmp_path):
    """A sealed secret opens with the vault of its recipient and with no other."""
    create_keys(tmp_path / "other", log_name="callpoint/other0")
    vault = FileVault(folder)
    box = AgeSealer().seal(b"secret", vault.recipient)
    assert vault.open(box) == b"secret"
    for broken in (box[:-1] + bytes([box[-1] ^ 1]), b"", b"age"):
        with pytest.raises(UnavailableError):
            vault.open(broken)
    with pytest.raises(UnavailableError):
        FileVault(tmp_path / "other").open(box)


def test_recipients_are_told_from_other_text(folder):
    """Only an age X25519 recipient is one; sealing to anything else is the caller's error."""
    assert AgeSealer().is_recipient(FileVault(folder).recipient)
    assert not AgeSealer().is_recipient("age1nonsense")
    with pytest.raises(RequestError):
        AgeSealer().seal(b"x", "age1nonsense")


def test_verifier_accepts_only_the_right_signature(folder):
    """Ed25519 signatures verify; another message, key, signature or malformed text does not."""
    key = FileTokenSigner(folder)
    signature = key.sign(b"message")
    check = Ed25519Verifier().is_valid
    stranger = base64.b64encode(
        Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    ).decode()
    assert check(key.public_key, b"message", signature)
    assert not check(key.public_key, b"other", signature)
    assert not check(stranger, b"message", signature)
    assert not check(key.public_key, b"message", base64.b64encode(bytes(64)).decode())
    for malformed in ("", "?", "AAAA", "ü"):
        assert not check(malformed, b"message", signature)
        assert not check(key.public_key, b"message", malformed)


def test_a_file_that_others_can_read_is_refused(folder):
    """A key file with rights for others is not used, and the error says what to do."""
    (folder / "log.key").chmod(0o640)
    with pytest.raises(ConfigError, match="other accounts") as caught:
        FileLogSigner(folder)
    assert "chmod 600" in caught.value.way_out


def test_a_missing_file_says_what_to_do(folder):
    """A missing key names its file and the way out."""
    (folder / "seal.key").unlink()
    with pytest.raises(ConfigError, match="missing") as caught:
        FileVault(folder)
    assert caught.value.file.endswith("seal.key")
    assert "backup" in caught.value.way_out


@pytest.mark.parametrize("text", ["", "nonsense\n", "ÿ", "AAAA\n"])
def test_malformed_files_never_show_their_text(folder, text):
    """A malformed key of each kind raises ConfigError without quoting the file (I14)."""
    holders = {KeyUse.LOG: FileLogSigner, KeyUse.TOKEN: FileTokenSigner, KeyUse.SEAL: FileVault}
    for use, holder in holders.items():
        (folder / f"{use}.key").write_text(text)
        with pytest.raises(ConfigError) as caught:
            holder(folder)
        assert "nonsense" not in str(caught.value)


def test_a_changed_log_key_is_not_quoted(folder):
    """A log key whose hash is wrong is refused without its seed in the message or the cause."""
    seed = (folder / "log.key").read_text().strip().rsplit("+", 1)[1]
    (folder / "log.key").write_text(f"PRIVATE+KEY+callpoint/other+00000000+{seed}\n")
    with pytest.raises(ConfigError) as caught:
        FileLogSigner(folder)
    assert seed not in str(caught.value)
    assert caught.value.__cause__ is None


def test_secrets_are_in_no_repr(folder):
    """Neither a holder nor what it holds shows its secret (I14)."""
    for use, holder in (
        (KeyUse.LOG, FileLogSigner(folder)),
        (KeyUse.TOKEN, FileTokenSigner(folder)),
    ):
        text = (folder / f"{use}.key").read_text().strip()
        # Base64 has pluses of its own.
        secret = text.split("+", 4)[-1] if text.startswith("PRIVATE+KEY+") else text
        assert len(secret) > 40
        assert secret not in f"{holder!r} {vars(holder)!r}"


@pytest.mark.parametrize("use", list(KeyUse))
def test_a_key_is_staged_then_promoted(folder, use):
    """Staging changes nothing in use; promoting puts exactly the staged key into use."""
    before = public_keys(folder)
    staged = stage_key(folder, use)
    assert public_keys(folder) == before
    assert staged_key(folder, use) == staged
    assert promote_key(folder, use) == staged
    after = public_keys(folder)
    assert staged in (after.log_key, after.token_key, after.seal_recipient)
    assert after != before
    assert staged_key(folder, use) is None


def test_only_one_key_is_staged(folder):
    """A second staging is refused, since governors may be signing the first."""
    first = stage_key(folder, KeyUse.LOG)
    with pytest.raises(ConflictError):
        stage_key(folder, KeyUse.LOG)
    assert staged_key(folder, KeyUse.LOG) == first


def test_nothing_staged_cannot_be_promoted(folder):
    """Promoting without staging raises and changes nothing."""
    before = public_keys(folder)
    with pytest.raises(ConflictError):
        promote_key(folder, KeyUse.SEAL)
    assert public_keys(folder) == before


def test_former_sealing_keys_still_open(folder):
    """What was sealed before two rotations opens after them, and new boxes use the newest key."""
    boxes = [AgeSealer().seal(b"0", FileVault(folder).recipient)]
    for n in (b"1", b"2"):
        stage_key(folder, KeyUse.SEAL)
        promote_key(folder, KeyUse.SEAL)
        boxes.append(AgeSealer().seal(n, FileVault(folder).recipient))
    assert [FileVault(folder).open(box) for box in boxes] == [b"0", b"1", b"2"]


def test_a_promotion_that_died_half_way_is_finished(folder):
    """Promoted but not yet unlinked: promoting again does not list the sealing key twice."""
    stage_key(folder, KeyUse.SEAL)
    staged = (folder / "seal.next.key").read_text()
    promote_key(folder, KeyUse.SEAL)
    whole = (folder / "seal.key").read_text()
    again = folder / "seal.next.key"
    again.write_text(staged)
    again.chmod(0o600)
    promote_key(folder, KeyUse.SEAL)
    assert (folder / "seal.key").read_text() == whole


def test_log_key_keeps_its_name_when_replaced(folder):
    """A new log key has the old one's name, so that notes still name the log, and another id."""
    old = note.Verifier.parse(public_keys(folder).log_key)
    new = note.Verifier.parse(stage_key(folder, KeyUse.LOG))
    assert new.name == old.name
    assert new.key_id != old.key_id


def test_unwritable_place_is_unavailable(tmp_path):
    """A parent that cannot be a folder is reported as unavailable, not as a bare OSError."""
    (tmp_path / "file").write_text("")
    with pytest.raises((UnavailableError, ConflictError)):
        create_keys(Path(tmp_path / "file" / "keys"), log_name="callpoint/abc123")
