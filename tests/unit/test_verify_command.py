"""Tests of the verifier as a program: files in, verdict and exit status out."""

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import callpoint
from callpoint.audit.verify.command import main
from tests.fakes.sample_log import VKEY, packed, sample_log

LOG = sample_log()


def lines(leaves: list[bytes], start: int = 0) -> bytes:
    """An export of these leaves."""
    return b"".join(
        json.dumps({"index": n, "leaf": base64.b64encode(leaf).decode()}).encode() + b"\n"
        for n, leaf in enumerate(leaves, start)
    )


@pytest.fixture(name="folder")
def exported(tmp_path: Path) -> Path:
    """A folder with an export, both checkpoints, a bundle and the key."""
    (tmp_path / "log.jsonl").write_bytes(lines(LOG.leaves))
    (tmp_path / "checkpoint").write_bytes(LOG.checkpoint())
    (tmp_path / "earlier").write_bytes(LOG.checkpoint(5))
    (tmp_path / "bundle.json").write_bytes(packed(LOG.bundle()))
    (tmp_path / "vkey").write_text(VKEY + "\n")
    return tmp_path


def run(folder: Path, *words: str) -> tuple[int, str, str]:
    """Exit status, output and errors; a word with a dot in front is a file of the folder."""
    out, err = io.StringIO(), io.StringIO()
    argv = [str(folder / word[2:]) if word.startswith("./") else word for word in words]
    return main(argv, out, err), out.getvalue(), err.getvalue()


LOG_WORDS = ("log", "./log.jsonl", "--checkpoint", "./checkpoint", "--vkey", "./vkey")


def test_a_good_log_exits_zero(folder):
    """An honest export verifies, with an earlier checkpoint too, and says ok."""
    status, out, _ = run(folder, *LOG_WORDS, "--earlier", "./earlier")
    assert status == 0
    assert out.startswith("log: 17 entries read\n")
    assert out.endswith("verify: ok\n")


def test_a_folder_is_read_in_the_order_of_its_files(folder):
    """An export in several files is read in the order of their names."""
    (folder / "parts").mkdir()
    (folder / "parts" / "000.jsonl").write_bytes(lines(LOG.leaves[:9]))
    (folder / "parts" / "001.jsonl").write_bytes(lines(LOG.leaves[9:], 9))
    assert run(folder, "log", "./parts", *LOG_WORDS[2:])[0] == 0


def test_findings_exit_one_and_are_readable(folder):
    """A tampered export exits 1 and names what was found, in text and in JSON."""
    (folder / "log.jsonl").write_bytes(lines([*LOG.leaves[:4], b"{}", *LOG.leaves[5:]]))
    status, out, _ = run(folder, *LOG_WORDS)
    assert status == 1
    assert "entry-malformed at index 4" in out
    assert "FAILED" in out
    status, out, _ = run(folder, *LOG_WORDS, "--json")
    report = json.loads(out)
    assert status == 1
    assert report["ok"] is False
    assert {"code": "entry-malformed", "index": 4} in [
        {"code": f["code"], "index": f["index"]} for f in report["findings"]
    ]


@pytest.mark.parametrize(
    "tamper, code",
    [
        (lambda all_lines: all_lines[:4] + all_lines[5:], "entry-removed at index 4"),
        (
            lambda all_lines: [all_lines[1], all_lines[0], *all_lines[2:]],
            "says index 0, which has passed",
        ),
        (lambda all_lines: [*all_lines[:4], b"nonsense\n", *all_lines[5:]], "cannot be read"),
        (lambda all_lines: [*all_lines, b"x" * 250_000], "cannot be read"),
        (lambda all_lines: [*all_lines, b'{"x":' + b"[" * 5000 + b"\n"], "cannot be read"),
    ],
)
def test_a_tampered_export_is_named_by_its_lines(folder, tamper, code):
    """A line that is missing, out of place or unreadable is named."""
    damaged = tamper(lines(LOG.leaves).splitlines(keepends=True))
    (folder / "log.jsonl").write_bytes(b"".join(damaged))
    status, out, _ = run(folder, *LOG_WORDS)
    assert status == 1
    assert code in out


def test_a_bundle_is_verified(folder):
    """An honest bundle exits 0, also when it must be closed; a damaged one exits 1."""
    words = ("bundle", "./bundle.json", "--vkey", "./vkey")
    assert run(folder, *words, "--expect-closed")[0] == 0
    (folder / "bundle.json").write_bytes(packed(LOG.bundle(16) | {"related": []}))
    status, out, _ = run(folder, *words)
    assert status == 1
    assert "related-missing" in out


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("log",),
        ("nonsense",),
        ("log", "./absent", *LOG_WORDS[2:]),
        ("log", "./empty", *LOG_WORDS[2:]),
        ("bundle", "./bundle.json", "--vkey", "./checkpoint"),
        ("bundle", "./absent", "--vkey", "./vkey"),
    ],
)
def test_what_cannot_be_read_exits_two(folder, words, capsys):
    """Wrong arguments, files that are not there and a key that is none exit 2, and say why."""
    (folder / "empty").mkdir()
    status, out, err = run(folder, *words)
    assert status == 2
    assert out == ""
    assert err + capsys.readouterr().err


def test_help_exits_zero(folder, capsys):
    """Asking for help is no failure."""
    assert run(folder, "--help")[0] == 0
    assert "bundle" in capsys.readouterr().out


def test_the_origin_is_an_argument(folder):
    """A reader who expects another log is told that this is not it."""
    status, out, _ = run(folder, *LOG_WORDS, "--origin", "other.example")
    assert status == 1
    assert "wrong-origin" in out


def test_it_runs_as_a_module_and_loads_nothing_else(folder):
    """As a program it verifies, and no other part of Callpoint is loaded."""
    program = (
        "import sys, runpy\n"
        "sys.argv = ['verify', *sys.argv[1:]]\n"
        "try:\n"
        "    runpy.run_module('callpoint.audit.verify', run_name='__main__')\n"
        "except SystemExit as error:\n"
        "    names = sorted(m for m in sys.modules if m.startswith('callpoint'))\n"
        "    print(error.code, *names)\n"
    )
    bundle, vkey = str(folder / "bundle.json"), str(folder / "vkey")
    # A fresh interpreter finds the package also where it is not installed.
    source = str(Path(callpoint.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program, "bundle", bundle, "--vkey", vkey],
        env=os.environ | {"PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=True,
    )
    status, *modules = done.stdout.splitlines()[-1].split()
    assert status == "0"
    notes = ("note", "checkpoint", "cosignature", "kept_file", "proof_file")
    alone = ("entry", "merkle", *notes, "verify")
    assert all(
        name in ("callpoint", "callpoint.audit") or name.split(".")[2] in alone for name in modules
    )
