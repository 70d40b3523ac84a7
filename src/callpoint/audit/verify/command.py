"""The command line of the verifier: files in, a verdict out, no network and no configuration."""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TextIO

from callpoint.audit.note import MalformedNoteError
from callpoint.audit.proof_file import MAX_PROOF_SIZE
from callpoint.audit.verify.export import read_export, read_leaf
from callpoint.audit.verify.proof import verify_proof
from callpoint.audit.verify.readable import checkpoint_of, verify_document
from callpoint.audit.verify.report import Findings, Report, printable
from callpoint.audit.verify.story.document import MAX_DOCUMENT_SIZE
from callpoint.audit.verify.whole_log import verify_log
from callpoint.audit.verify.witnessed import require_witnesses, witness_policy

_MAX_SMALL_FILE = 2_000_000

EXIT_OK = 0
EXIT_FINDINGS = 1
EXIT_USAGE = 2


def main(argv: list[str], out: TextIO, err: TextIO) -> int:
    """Verify what the arguments name.

    Returns:
        0 when nothing was found, 1 when something was, 2 when the arguments are wrong or a file
        cannot be read.
    """
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as error:
        return EXIT_OK if error.code in (0, None) else EXIT_USAGE
    try:
        report = _verify(arguments)
    except (OSError, MalformedNoteError, UnicodeDecodeError) as error:
        err.write(f"verify: {printable(str(error))}\n")
        return EXIT_USAGE
    out.write(_as_json(report) if arguments.json else _as_text(report, arguments.what))
    return EXIT_OK if report.ok else EXIT_FINDINGS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="callpoint verify", description="Verify Callpoint's evidence, offline."
    )
    commands = parser.add_subparsers(dest="what", required=True)
    log = commands.add_parser("log", help="a whole exported log")
    log.add_argument("entries", type=Path, help="export: a .jsonl file, or a folder of them")
    log.add_argument("--checkpoint", type=Path, required=True, help="newest signed checkpoint")
    log.add_argument("--earlier", type=Path, help="a checkpoint that you kept from before")
    bundle = commands.add_parser("bundle", help="the evidence of one activation")
    bundle.add_argument("bundle", type=Path, help="bundle: a .json, .html or .md file")
    bundle.add_argument(
        "--expect-closed", action="store_true", help="fail while the activation is still open"
    )
    bundle.add_argument(
        "--timestamp-authority", type=Path, metavar="PEM", help="ask for this authority's stamp"
    )
    bundle.add_argument(
        "--data-only", action="store_true", help="do not compare the page with its machine part"
    )
    proof = commands.add_parser("proof", help="that one entry is in the log: a tlog-proof")
    proof.add_argument("proof", type=Path, help="proof: a .tlog-proof file")
    proof.add_argument("--entry", type=Path, help="file with the entry's leaf")
    for command in (log, bundle, proof):
        command.add_argument("--vkey", type=Path, required=True, help="file with the log's key")
        command.add_argument(
            "--former-vkey", type=Path, action="append", default=[], help="file with a former key"
        )
        command.add_argument(
            "--witness", action="append", default=[], metavar="VKEY", help="a witness's key"
        )
        command.add_argument(
            "--need", type=int, metavar="N", help="witnesses that must have cosigned (default: all)"
        )
        command.add_argument("--origin", help="the log's name (default: its key's name)")
        command.add_argument("--json", action="store_true", help="machine-readable output")
    return parser


def _verify(arguments: argparse.Namespace) -> Report:
    vkey = _read(arguments.vkey, _MAX_SMALL_FILE).decode().strip()
    former = [_read(path, _MAX_SMALL_FILE).decode().strip() for path in arguments.former_vkey]
    policy = witness_policy(arguments.witness, arguments.need)
    if arguments.what == "proof":
        return verify_proof(
            _read(arguments.proof, MAX_PROOF_SIZE + 1),
            vkey,
            arguments.origin,
            entry=None if arguments.entry is None else read_leaf(arguments.entry),
            former=former,
            policy=policy,
        )
    if arguments.what == "bundle":
        content = _read(arguments.bundle, MAX_DOCUMENT_SIZE + 1)
        report = verify_document(
            content,
            vkey,
            arguments.origin,
            expect_closed=arguments.expect_closed,
            former=former,
            data_only=arguments.data_only,
            authority=_authority(arguments.timestamp_authority),
        )
        return require_witnesses(report, checkpoint_of(content), policy)
    earlier = None
    if arguments.earlier is not None:
        earlier = _read(arguments.earlier, _MAX_SMALL_FILE)
    findings = Findings()
    newest = _read(arguments.checkpoint, _MAX_SMALL_FILE)
    report = verify_log(
        read_export(arguments.entries, findings),
        newest,
        vkey,
        earlier,
        arguments.origin,
        former=former,
    )
    whole = replace(report, findings=findings.report(0).findings + report.findings)
    return require_witnesses(whole, newest, policy)


def _authority(path: Path | None) -> bytes | None:
    return None if path is None else _read(path, _MAX_SMALL_FILE)


def _read(path: Path, limit: int) -> bytes:
    """The file's bytes, at most `limit` of them: the parser refuses what is longer."""
    with path.open("rb") as stream:
        return stream.read(limit)


def _as_text(report: Report, what: str) -> str:
    lines = [f"{what}: {_counted(report.size, 'entry', 'entries')} read"]
    for finding in report.findings:
        where = "" if finding.index is None else f" at index {finding.index}"
        lines.append(f"  {finding.code}{where}: {finding.message}")
    lines += [f"  note: {note}" for note in report.notes]
    verdict = (
        "ok" if report.ok else f"FAILED, {_counted(len(report.findings), 'finding', 'findings')}"
    )
    return "\n".join([*lines, f"verify: {verdict}", ""])


def _as_json(report: Report) -> str:
    return json.dumps({"ok": report.ok, **asdict(report)}, indent=2) + "\n"


def _counted(count: int, one: str, many: str) -> str:
    """As ``domain.counted`` has it, which the verifier, standing alone, does not load."""
    return f"{count} {one if count == 1 else many}"
