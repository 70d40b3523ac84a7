"""`callpoint evidence | verify | review | log`: evidence is kept whole and judged here."""

import base64
import io
import json
import stat
from pathlib import Path

import pytest

from callpoint.api.messages import InstallationView, LogEntries, LogEntry
from callpoint.audit.verify.command import main
from callpoint.cli.evidence_text import events, parse_evidence
from callpoint.domain.errors import DeniedError
from tests.fakes.canned_api import CannedApi, refusal, view
from tests.fakes.machine import Shell
from tests.fakes.sample_log import (
    ACTIVATION,
    INCIDENT,
    INSTALLATION,
    SIGNER,
    STREAM,
    VKEY,
    SampleLog,
    packed,
    sample_log,
)

LOG = sample_log()
ID = "abcdefghij01"
BUNDLE = f"GET /v1/activations/{ID}/bundle"
TRIAGE = f"POST /v1/activations/{ID}/triage"
REVIEW = f"POST /v1/activations/{ID}/review"
ENTRIES = "GET /v1/log/entries"


@pytest.fixture
def api() -> CannedApi:
    """A server that is the installation of the sample log."""
    api = CannedApi()
    says = InstallationView(INSTALLATION, SIGNER.name, VKEY, trial=False, version="0")
    api.lay("GET /v1/installation", says)
    api.lay(f"GET /v1/activations/{ID}", view("ended"))
    api.lay(TRIAGE, view("ended"))
    api.lay(REVIEW, view("reviewed"))
    return api


@pytest.fixture
def erin(tmp_path: Path, api: CannedApi) -> Shell:
    return Shell(tmp_path, "erin", api)


# -- evidence and verify ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "content, says",
    [(None, "No such file"), ("a root", "cannot be read"), ("", "cannot be read")],
    ids=["missing", "no PEM", "empty"],
)
def test_an_authority_without_certificates_is_a_wrong_file(
    erin: Shell, api: CannedApi, tmp_path: Path, content: str | None, says: str
):
    """What cannot be the authority's certificates is the caller's to correct, and no finding."""
    api.lay(BUNDLE, packed(LOG.bundle()))
    page, pem = tmp_path / "incident.html", tmp_path / "tsa.pem"
    erin.run("evidence", ID, "--file", page)
    if content is not None:
        pem.write_text(content)
    told = erin.run("verify", "bundle", page, "--log-key", VKEY, "--timestamp-authority", pem)
    assert told.exit_code == 2
    assert str(pem) in told.stderr
    assert says in told.stderr
    assert "certificates as one PEM file" in told.stderr


@pytest.mark.parametrize("suffix", ["html", "md"])
def test_evidence_as_a_page_is_verified_as_it_is(
    erin: Shell, api: CannedApi, tmp_path: Path, suffix: str
):
    """One file is read by a person, by `callpoint verify` and by the verifier that stands alone."""
    api.lay(BUNDLE, packed(LOG.bundle()))
    path = tmp_path / f"incident.{suffix}"
    assert erin.run("evidence", ID, "--file", path).exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    told = erin.run("verify", "bundle", path, "--log-key", VKEY)
    assert (told.exit_code, "the same" in told.stdout) == (0, True)
    (tmp_path / "vkey").write_text(VKEY)
    out, argv = io.StringIO(), ["bundle", str(path), "--vkey", str(tmp_path / "vkey")]
    assert (main(argv, out, out), "verify: ok" in out.getvalue()) == (0, True)
    path.write_text(path.read_text().replace("quorum is met", "quorum is not met"))
    told = erin.run("verify", "bundle", path, "--log-key", VKEY)
    assert (told.exit_code, "story-altered" in told.stdout) == (7, True)
    assert main(argv, out, out) == 1
    for program in (
        erin.run("verify", "bundle", path, "--log-key", VKEY, "--data-only").exit_code,
        main([*argv, "--data-only"], out, out),
    ):
        assert program == 0


def test_no_evidence_becomes_no_page(erin: Shell, api: CannedApi, tmp_path: Path):
    """What a server sends that is no evidence becomes no page."""
    api.lay(BUNDLE, b"{}")
    told = erin.run("evidence", ID, "--file", tmp_path / "x.html")
    assert (told.exit_code, "something else than evidence" in told.stderr) == (6, True)
    assert not (tmp_path / "x.html").exists()


def test_evidence_is_kept_byte_for_byte(erin: Shell, api: CannedApi, tmp_path: Path):
    """The file is what the server sent, private, and never written over."""
    content = packed(LOG.bundle())
    api.lay(BUNDLE, content)
    path = tmp_path / "kept.json"
    assert erin.run("evidence", ID, "--out", path).exit_code == 0
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (content, 0o600)
    assert erin.run("evidence", ID, "--out", path).exit_code == 2
    assert erin.run("evidence", ID, "--out", tmp_path / "no" / "x").exit_code == 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export with its checkpoint, a bundle, a kept checkpoint and the installation's file."""
    made = tmp_path / "export"
    made.mkdir()
    lines = [
        json.dumps({"index": n, "leaf": base64.b64encode(leaf).decode()})
        for n, leaf in enumerate(LOG.leaves)
    ]
    (made / "entries.jsonl").write_text("\n".join(lines) + "\n")
    (made / "checkpoint").write_bytes(LOG.checkpoint())
    (tmp_path / "earlier").write_bytes(LOG.checkpoint(5))
    (tmp_path / "bundle.json").write_bytes(packed(LOG.bundle()))
    facts = {"id": INSTALLATION, "log_key": VKEY, "origin": SIGNER.name, "quorum": 2}
    (tmp_path / "installation.json").write_text(json.dumps(facts))
    return tmp_path


def test_a_good_bundle(erin: Shell, folder: Path, api: CannedApi):
    """Code 0, without a word to any server."""
    told = erin.run("verify", "bundle", folder / "bundle.json", "--log-key", VKEY)
    assert (told.exit_code, told.stdout.splitlines()[-1], api.asked) == (0, "verify: ok", [])


def test_a_bad_bundle(erin: Shell, folder: Path):
    """Each finding is named, with the code of tampering, in both formats."""
    (folder / "bundle.json").write_bytes(packed(LOG.bundle() | {"related": []}))
    given = ("verify", "bundle", folder / "bundle.json", "--installation", _file(folder))
    told = erin.run(*given)
    assert (told.exit_code, "related-missing" in told.stdout) == (7, True)
    found = json.loads(erin.run(*given, "-o", "json").stdout)
    assert (found["ok"], found["findings"][0]["code"]) == (False, "related-missing")


def _file(folder: Path) -> Path:
    return folder / "installation.json"


def test_a_good_log(erin: Shell, folder: Path):
    """The folder that an export makes, and an earlier checkpoint."""
    given = ("verify", "log", folder / "export", "--installation", _file(folder))
    assert erin.run(*given, "--earlier", folder / "earlier").exit_code == 0
    assert erin.run(*given, "--origin", "another").exit_code == 7


def test_a_log_with_an_entry_removed(erin: Shell, folder: Path):
    """What is missing is found and named."""
    file = folder / "export" / "entries.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:6] + lines[7:]))
    told = erin.run("verify", "log", folder / "export", "--installation", _file(folder))
    assert (told.exit_code, "entry-removed" in told.stdout) == (7, True)


@pytest.mark.parametrize(
    "words",
    [
        ("bundle", "bundle.json"),
        ("bundle", "bundle.json", "--log-key", VKEY, "--installation", "installation.json"),
        ("bundle", "bundle.json", "--log-key", "nonsense"),
        ("bundle", "absent", "--log-key", VKEY),
        ("log", "export", "--log-key", "nonsense"),
        ("log", "absent", "--log-key", VKEY),
        ("log", "absent", "--log-key", VKEY, "--checkpoint", "earlier"),
        ("log", "export", "--log-key", VKEY, "--checkpoint", "absent"),
        ("log", "export", "--log-key", VKEY, "--earlier", "absent"),
    ],
)
def test_what_cannot_be_verified_at_all(
    erin: Shell, folder: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
):
    """A key that is missing, doubled or none, and files that are not there, are bad input."""
    monkeypatch.chdir(folder)
    told = erin.run("verify", *words)
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.startswith("error: ")


# -- review -----------------------------------------------------------------------------------


def bundle_of_this(**changes: object) -> bytes:
    """A bundle that names the activation ``ID``; its entries are of another one."""
    return packed(LOG.bundle() | {"activation": ID} | changes)


def test_a_review_verifies_first_and_records_nothing_else(erin: Shell, api: CannedApi):
    """Evidence with a finding stops the review, whatever was to be recorded."""
    api.lay(BUNDLE, bundle_of_this())
    for options in ((), ("--triage",), ("--verdict", "justified")):
        told = erin.run("review", ID, *options)
        assert (told.exit_code, "does not hold" in told.stderr) == (7, True)
    assert api.bodies(TRIAGE) == api.bodies(REVIEW) == []


def test_evidence_of_another_activation_is_refused(erin: Shell, api: CannedApi):
    """A good bundle about something else proves nothing about this."""
    assert ACTIVATION != ID
    api.lay(BUNDLE, packed(LOG.bundle()))
    told = erin.run("review", ID, "--triage")
    assert (told.exit_code, f"the evidence of {ACTIVATION}" in told.stderr) == (7, True)
    assert api.bodies(TRIAGE) == []


def test_a_review_keeps_the_evidence_that_it_saw(erin: Shell, api: CannedApi, tmp_path: Path):
    """--out keeps the bundle, also the one that does not hold."""
    api.lay(BUNDLE, bundle_of_this())
    path = tmp_path / "bad.json"
    assert erin.run("review", ID, "--out", path).exit_code == 7
    assert path.read_bytes() == bundle_of_this()


PLAN = {
    "connector": "postgresql",
    "target": "orders-db",
    "role": "repair",
    "handle": "h",
    "account": "cp_h",
    "not_after": "2026-11-24T05:09:13.000001Z",
}
SAID = [
    (
        "activation:activated",
        {"not_after": "2026-11-24T05:09:13.000001Z", "plans": [PLAN], "decisions": []},
        "activation:activated: not after 2026-11-24 05:09:13 UTC",
    ),
    (
        "lease:issued",
        {"lease": "l1", "target": "orders-db", "box_sha256": "0", "residual": "PT30.04S"},
        "lease:issued: lease l1; residual 30 s; target orders-db",
    ),
    ("activation:approved", {"persons": ["bo", "cy"]}, "activation:approved: persons bo, cy"),
    (
        "finding:raised",
        {"finding": {"kind": "residue", "text": "a table"}, "lease": "l1"},
        "finding:raised: finding residue: a table; lease l1",
    ),
    (
        "target:moved",
        {"actor": "ana", "at_rest": "PT3S", "steps": {"n": 1}, "tries": [2, "x"]},
        'target:moved by ana: at rest PT3S; steps {"n":1}; tries 2, x',
    ),
]


@pytest.mark.parametrize("kind, data, words", SAID, ids=[kind for kind, _, _ in SAID])
def test_what_is_proven_is_written_for_people(kind: str, data: dict[str, object], words: str):
    """Times, spans, lists and findings are words; what a newer version wrote stays as it is."""
    log = SampleLog()
    log.add("installation", "installation:created", {})
    log.add(INCIDENT, "incident:declared", {})
    log.add(STREAM, kind, data)
    (line,) = events(parse_evidence(packed(log.bundle())))
    assert line == f"  2026-11-24 04:09:13 UTC  {words}"


@pytest.mark.parametrize(
    "options", [("--triage", "--verdict", "drill"), ("--finding", "x"), ("--follow-up", "x")]
)
def test_what_does_not_belong_together(erin: Shell, api: CannedApi, options: tuple[str, ...]):
    """Triage is not a verdict, and findings belong to one."""
    assert (erin.run("review", ID, *options).exit_code, api.asked) == (2, [])


def test_a_log_key_that_is_none(erin: Shell, api: CannedApi):
    """A server whose log key cannot be read is refused."""
    says = InstallationView(INSTALLATION, SIGNER.name, "none", trial=False, version="0")
    api.lay("GET /v1/installation", says)
    api.lay(BUNDLE, bundle_of_this())
    assert erin.run("review", ID).exit_code == 7


# -- log --------------------------------------------------------------------------------------


def page(start: int, stop: int, size: int, total: int | None = None) -> LogEntries:
    entries = tuple(LogEntry(n, LOG.leaves[n]) for n in range(start, stop))
    return LogEntries(LOG.checkpoint(total or size).decode(), total or size, entries)


def test_an_export_is_of_one_size_while_the_log_grows(erin: Shell, api: CannedApi, folder: Path):
    """Pages that come under later checkpoints are cut at the first one's size, and verify."""
    api.lay(ENTRIES, page(0, 6, 12), page(6, 10, 12, 17), page(10, 17, 12, 17))
    out = folder / "out"
    assert erin.run("log", "export", out).exit_code == 0
    assert len((out / "entries.jsonl").read_text().splitlines()) == 12
    told = erin.run("verify", "log", out, "--log-key", VKEY, "--earlier", folder / "earlier")
    assert told.exit_code == 0, told.stdout


def test_an_export_overwrites_nothing(erin: Shell, api: CannedApi, folder: Path):
    """A folder that exists, or cannot be made, is refused before anything is fetched."""
    assert erin.run("log", "export", folder / "export").exit_code == 2
    assert erin.run("log", "export", folder / "bundle.json" / "x").exit_code == 2
    assert api.asked == []


@pytest.mark.parametrize(
    "pages,code", [((page(0, 6, 12), page(6, 6, 12)), 4), ((page(1, 6, 12),), 7)]
)
def test_an_export_with_a_hole_is_refused(
    erin: Shell, api: CannedApi, tmp_path: Path, pages: tuple[LogEntries, ...], code: int
):
    """A server that stops in the middle, or leaves an entry out, is no export."""
    api.lay(ENTRIES, *pages)
    assert erin.run("log", "export", tmp_path / "out").exit_code == code
    assert not (tmp_path / "out").exists()


def test_a_refused_export_leaves_nothing(erin: Shell, api: CannedApi, tmp_path: Path):
    """No empty folder is in the way of the next try."""
    api.lay(ENTRIES, refusal(DeniedError("no")))
    assert erin.run("log", "export", tmp_path / "out").exit_code == 3
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_can_be_kept(erin: Shell, api: CannedApi, tmp_path: Path):
    """Printed as it is, and kept in a new file."""
    note = LOG.checkpoint()
    api.lay("GET /v1/checkpoint", note)
    path = tmp_path / "checkpoint"
    told = erin.run("log", "checkpoint", "--out", path)
    assert (told.stdout, path.read_bytes()) == (note.decode(), note)
    assert erin.run("log", "checkpoint", "--out", path).exit_code == 2
    assert erin.run("log", "checkpoint", "--out", tmp_path / "no" / "x").exit_code == 2
    assert erin.run("log", "checkpoint").exit_code == 0
