"""`callpoint check | keygen | sign` on local files."""

import base64
import json
import stat
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from callpoint.cli.governance import check, keygen, sign
from callpoint.cli.keyring import load_principal_key
from callpoint.cli.program import program
from callpoint.config.default_policies import default_pack
from callpoint.domain import canonical
from callpoint.domain.event import SignatureRecord
from callpoint.domain.governance import Bundle
from tests.fakes import orders


def run(command: click.Command, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


def directory(root: Path, *edits: tuple[str, str]) -> Path:
    root.mkdir(exist_ok=True)
    (root / "callpoint.toml").write_text(orders.changed(*edits))
    return root


def bundle_of(text: str, after: Bundle | None = None) -> Bundle:
    return Bundle(
        installation="a1b2c3",
        number=after.number + 1 if after else 1,
        previous=after.digest() if after else "",
        configuration=orders.read(text),
        policies=default_pack(),
    )


def bundle_file(path: Path, bundle: Bundle) -> Path:
    path.write_bytes(canonical.encode(bundle))
    return path


def test_check_says_that_it_is_sound():
    """A sound directory says what it holds, with code 0, in words and as JSON."""
    told = run(check, "--config", orders.DIRECTORY)
    assert (told.exit_code, told.stdout) == (
        0,
        "the configuration is sound: 3 eligibilities, 1 target, 8 principals, 7 persons\n",
    )
    assert json.loads(run(check, "--config", orders.DIRECTORY, "-o", "json").stdout)["sound"]


def test_check_prints_all_errors(tmp_path: Path):
    """Every wrong line is printed with its way out, and the code says bad input."""
    wrong = directory(tmp_path, ('idle = "10m"', "idle = 10"), ("quorum = 2 ", "quorum = 5 "))
    told = run(check, "--config", wrong)
    assert told.exit_code == 2
    assert told.stderr.count("error: callpoint.toml:") == 2
    assert told.stderr.count("  what to do: ") == 2
    told = run(check, "--config", wrong, "-o", "json")
    assert len(json.loads(told.stderr)["error"]["errors"]) == 2


def test_check_reads_the_policies_too(tmp_path: Path):
    """A policy that is no Cedar is told with its file."""
    wrong = directory(tmp_path)
    (wrong / "policies").mkdir()
    (wrong / "policies" / "mine.cedar").write_text("permit (")
    told = run(check, "--config", wrong)
    assert told.exit_code == 2
    assert "error: policies/mine.cedar:" in told.stderr


def test_check_says_what_widens(tmp_path: Path):
    """Against another directory each line is told, those that widen first, and who must sign."""
    new = directory(
        tmp_path, ('for = "30m"', 'for = "20m"'), ("quorum = 2, from", "quorum = 1, from")
    )
    told = run(check, "--config", new, "--against", orders.DIRECTORY)
    assert told.exit_code == 0
    assert told.stdout.splitlines()[1:] == [
        "WIDENS    eligibilities.orders-repair.approval.quorum: 2 -> 1",
        "tightens  eligibilities.orders-repair.for: 30m -> 20m",
        "2 governors must sign, of: dave, erin, frank",
    ]


def test_check_against_a_bundle_that_rules_alone(tmp_path: Path):
    """A bundle file is compared as well, and an installation for trying out says so."""
    alone = orders.changed(("quorum = 2 ", "quorum = 1 "))
    old = bundle_file(tmp_path / "old.json", bundle_of(alone))
    new = directory(tmp_path / "new", ("quorum = 2 ", "quorum = 1 "), ('"30m"', '"29m"'))
    told = run(check, "--config", new, "--against", old)
    assert told.stdout.splitlines()[2:] == [
        "1 governor must sign, of: dave, erin, frank (nothing widens access)",
        "TRIAL: one governor alone rules; name two or more before you depend on it",
    ]
    facts = json.loads(run(check, "--config", new, "--against", old, "-o", "json").stdout)
    assert (facts["widens"], facts["signatures"], facts["trial"]) == (False, 1, True)
    assert facts["changes"][0]["key"] == "eligibilities.orders-repair.for"


def test_check_without_a_change():
    """The same configuration needs nothing."""
    told = run(check, "--config", orders.DIRECTORY, "--against", orders.DIRECTORY)
    assert told.stdout.splitlines()[1:] == ["nothing changes"]


def test_keygen_makes_a_private_file(tmp_path: Path):
    """The key file is its owner's alone, never overwritten, and fits the printed line."""
    file = tmp_path / "dave.json"
    told = run(keygen, "dave", "--out", file)
    assert told.exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = load_principal_key(file)
    assert key.principal == "dave"
    assert f'key = "{key.public_key}"' in told.stdout
    assert f'dave = "{key.public_key}"' in told.stdout
    assert json.loads(file.read_text())["key"] not in told.stdout
    again = run(keygen, "dave", "--out", file)
    assert again.exit_code == 2
    assert "never overwritten" in again.stderr


def test_keygen_has_a_place_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without a file the key goes where every other command looks for it."""
    monkeypatch.setenv("CALLPOINT_STATE", str(tmp_path / "state"))
    told = run(keygen, "j.doe", "-o", "json")
    facts = json.loads(told.stdout)
    assert facts["file"] == str(tmp_path / "state" / "key.json")
    assert load_principal_key(Path(facts["file"])).public_key == facts["public_key"]
    assert run(keygen, "Not A Name", "--out", tmp_path / "x").exit_code == 2


def test_a_signature_fits_the_bundle(tmp_path: Path):
    """What is printed verifies under the governor's key, over the bundle's message."""
    run(keygen, "dave", "--out", tmp_path / "key.json")
    bundle = bundle_of(orders.text(), after=bundle_of(orders.text()))
    file = bundle_file(tmp_path / "bundle.json", bundle)
    told = run(sign, file, "--key", tmp_path / "key.json")
    assert told.exit_code == 0
    record = msgspec.json.decode(told.stdout, type=SignatureRecord)
    assert record.governor == "dave"
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(record.key))
    public.verify(base64.b64decode(record.signature), bundle.message())
    assert bundle.digest() in told.stderr
    one_line = run(sign, file, "--key", tmp_path / "key.json", "--as", "erin", "-o", "json").stdout
    assert msgspec.json.decode(one_line, type=SignatureRecord).governor == "erin"


def test_the_key_is_found_as_by_every_other_verb(tmp_path: Path):
    """`sign` takes the key of --key before or after it, of CALLPOINT_KEY, or the usual one."""
    run(keygen, "dave", "--out", tmp_path / "dave.json")
    run(keygen, "erin", "--out", tmp_path / "key.json")
    file = str(
        bundle_file(tmp_path / "bundle.json", bundle_of(orders.text(), bundle_of(orders.text())))
    )
    state = {"CALLPOINT_STATE": str(tmp_path), "CALLPOINT_KEY": ""}
    named = {**state, "CALLPOINT_KEY": str(tmp_path / "dave.json")}

    def who(*arguments: str, env: dict[str, str]) -> str:
        told = CliRunner().invoke(program, arguments, env=env)
        assert told.exit_code == 0, told.stderr
        return msgspec.json.decode(told.stdout, type=SignatureRecord).governor

    assert who("sign", file, env=named) == "dave"
    assert who("sign", file, env=state) == "erin"
    assert who("--key", named["CALLPOINT_KEY"], "sign", file, env=state) == "dave"
    assert who("sign", file, "--key", str(tmp_path / "key.json"), env=named) == "erin"
    (tmp_path / "key.json").unlink()
    lacking = CliRunner().invoke(program, ["sign", file], env=state)
    assert lacking.exit_code == 2
    assert "`callpoint keygen NAME`, or name yours: --key FILE or CALLPOINT_KEY" in lacking.stderr


def test_a_key_that_does_not_govern_is_refused(tmp_path: Path):
    """With --against a signature that would not count is not made."""
    run(keygen, "dave", "--out", tmp_path / "key.json")
    file = bundle_file(tmp_path / "bundle.json", bundle_of(orders.text()))
    command = (sign, file, "--key", tmp_path / "key.json", "--against", orders.DIRECTORY)
    told = run(*command)
    assert (told.exit_code, told.stdout) == (3, "")
    assert "dave governs with another key" in told.stderr
    assert "not a governor" in run(*command, "--as", "mallory").stderr


def test_the_first_bundle_is_signed_by_those_whom_it_names(tmp_path: Path):
    """Genesis counts only its own governors, so no other key signs the first bundle."""
    run(keygen, "dave", "--out", tmp_path / "key.json")
    file = bundle_file(tmp_path / "bundle.json", bundle_of(orders.text()))
    told = run(sign, file, "--key", tmp_path / "key.json")
    assert (told.exit_code, told.stdout) == (3, "")
    assert "dave governs with another key" in told.stderr


def test_a_governor_reads_what_is_signed(tmp_path: Path):
    """With --against the lines that the bundle changes are said before the signature."""
    run(keygen, "dave", "--out", tmp_path / "key.json")
    public = load_principal_key(tmp_path / "key.json").public_key
    mine = (orders.configuration().governance.governors["dave"], public)
    first = bundle_of(orders.changed(mine))
    old = bundle_file(tmp_path / "old.json", first)
    longer = bundle_of(orders.changed(mine, ('"30m"', '"40m"')), after=first)
    new = bundle_file(tmp_path / "new.json", longer)
    told = run(sign, new, "--key", tmp_path / "key.json", "--against", old)
    assert told.exit_code == 0
    assert "WIDENS    eligibilities.orders-repair.for: 30m -> 40m" in told.stderr
    assert msgspec.json.decode(told.stdout, type=SignatureRecord).key == public


def test_what_is_signed_moves_nothing_on_the_governors_terminal(tmp_path: Path):
    """Who proposes chose the words: they cannot write over the digest, and none is left out."""
    run(keygen, "dave", "--out", tmp_path / "key.json")
    first = bundle_of(orders.text())
    words = "x" * 5000 + "\x1b[2A\x1b[2Kdigest 00\r"
    spoof = msgspec.structs.replace(bundle_of(orders.text(), after=first), previous=words)
    told = run(sign, bundle_file(tmp_path / "bundle.json", spoof), "--key", tmp_path / "key.json")
    assert told.exit_code == 0
    assert told.stderr.replace("\n", "").isprintable()
    assert "x" * 5000 + "\\x1b[2A\\x1b[2Kdigest 00\\r" in told.stderr


def test_a_bundle_that_does_not_follow_is_not_signed(tmp_path: Path):
    """A proposal that was made before another one came into force is told as a conflict."""
    run(keygen, "dave", "--out", tmp_path / "key.json")
    file = bundle_file(tmp_path / "bundle.json", bundle_of(orders.text()))
    told = run(sign, file, "--key", tmp_path / "key.json", "--against", file)
    assert (told.exit_code, told.stdout) == (4, "")
    assert "bundle 1 does not follow bundle 1" in told.stderr


def test_an_unsound_bundle_is_not_signed(tmp_path: Path):
    """What the server would refuse is refused before a governor's key touches it."""
    run(keygen, "dave", "--out", tmp_path / "key.json")
    sound = orders.configuration()
    governance = msgspec.structs.replace(sound.governance, quorum=4)
    bent = msgspec.structs.replace(sound, governance=governance)
    bundle = msgspec.structs.replace(bundle_of(orders.text()), configuration=bent)
    file = bundle_file(tmp_path / "bundle.json", bundle)
    told = run(sign, file, "--key", tmp_path / "key.json")
    assert (told.exit_code, told.stdout) == (2, "")
    assert "4 governors must sign, and there are 3" in told.stderr


@pytest.mark.parametrize("content", [b"{}", b"\xff", b"not json", b'{"installation": 1}'])
def test_what_is_no_bundle(tmp_path: Path, content: bytes):
    """A file that is no bundle is refused as bad input."""
    file = tmp_path / "bundle.json"
    file.write_bytes(content)
    told = run(check, "--config", orders.DIRECTORY, "--against", file)
    assert told.exit_code == 2
    assert "this is no bundle" in told.stderr
