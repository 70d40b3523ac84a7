"""`callpoint verify bundle | proof | log`: offline, with nothing but files and public keys."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import click
import msgspec

from callpoint.audit.note import MalformedNoteError
from callpoint.audit.proof_file import MAX_PROOF_SIZE
from callpoint.audit.verify import Report, verify_document, verify_log, verify_proof
from callpoint.audit.verify.export import read_export
from callpoint.audit.verify.readable import checkpoint_of
from callpoint.audit.verify.report import Findings
from callpoint.audit.verify.story.document import MAX_DOCUMENT_SIZE
from callpoint.audit.verify.timestamp import TimestampError, read_certificates
from callpoint.audit.verify.witnessed import (
    WitnessPolicy,
    require_witnesses,
    witness_policy,
)
from callpoint.cli.exit_codes import ExitCode
from callpoint.cli.group import VerbGroup
from callpoint.cli.invocation import Invocation, verb
from callpoint.cli.trust import Known, read_installation
from callpoint.domain.counted import plural
from callpoint.domain.errors import ConfigError, RequestError

CHECKPOINT_FILE = "checkpoint"
"""What `callpoint log export` calls the checkpoint in the folder of its export."""

_MAX_SMALL_FILE = 2_000_000
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group("verify", cls=VerbGroup)
def verify() -> None:
    """Check evidence offline. Nothing is asked of a server, and nobody is trusted.

    Exit status: 0 nothing was found, 7 something was, 2 a file or option is wrong. The same
    checks without the rest of Callpoint: `python -m callpoint.audit.verify`.
    """


@verb("bundle", verify, offline=True)
@click.argument("bundle", type=_FILE)
@click.option("--log-key", metavar="VKEY", help="The log's verifier key.")
@click.option("--installation", type=_FILE, help="Or the installation's file, which holds it.")
@click.option("--former-key", "former", multiple=True, metavar="VKEY", help="One before it.")
@click.option("--origin", help="The log's name.  [default: its key's name]")
@click.option("--witness", "witnesses", multiple=True, metavar="VKEY", help="A witness's key.")
@click.option("--need", type=int, metavar="N", help="So many of them signed.  [default: all]")
@click.option("--expect-closed", is_flag=True, help="Fail while the activation is still open.")
@click.option("--timestamp-authority", type=_FILE, metavar="PEM", help="Ask for its time stamp.")
@click.option("--data-only", is_flag=True, help="Do not compare a page with its machine part.")
def bundle_(
    run: Invocation,
    *,
    bundle: Path,
    log_key: str | None,
    installation: Path | None,
    former: tuple[str, ...],
    origin: str | None,
    witnesses: tuple[str, ...],
    need: int | None,
    expect_closed: bool,
    timestamp_authority: Path | None,
    data_only: bool,
) -> int:
    """Check the evidence of one activation: a .json bundle, or an .html or .md page with it inside.

    A page is computed again from its machine part; one that was edited is found.
    """
    trusted = trusted_log(log_key, installation, former, origin)
    content = _read(bundle, MAX_DOCUMENT_SIZE + 1)
    policy = _policy(witnesses, need)
    authority = _authority(timestamp_authority)
    report = _checked(
        content, trusted, expect_closed=expect_closed, data_only=data_only, authority=authority
    )
    return _say(run, require_witnesses(report, checkpoint_of(content), policy), "bundle")


@verb("proof", verify, offline=True)
@click.argument("proof", type=_FILE)
@click.option("--entry", type=_FILE, help="The entry itself, alone in a file.")
@click.option("--log-key", metavar="VKEY", help="The log's verifier key.")
@click.option("--installation", type=_FILE, help="Or the installation's file, which holds it.")
@click.option("--former-key", "former", multiple=True, metavar="VKEY", help="One before it.")
@click.option("--origin", help="The log's name.  [default: its key's name]")
@click.option("--witness", "witnesses", multiple=True, metavar="VKEY", help="A witness's key.")
@click.option("--need", type=int, metavar="N", help="So many of them signed.  [default: all]")
def proof_(
    run: Invocation,
    *,
    proof: Path,
    entry: Path | None,
    log_key: str | None,
    installation: Path | None,
    former: tuple[str, ...],
    origin: str | None,
    witnesses: tuple[str, ...],
    need: int | None,
) -> int:
    """Check a tlog-proof, as `callpoint log proof` writes it: that one entry is in the log."""
    trusted = trusted_log(log_key, installation, former, origin)
    policy = _policy(witnesses, need)
    content = _read(proof, MAX_PROOF_SIZE + 1)
    leaf = None if entry is None else _read(entry, _MAX_SMALL_FILE).removesuffix(b"\n")
    try:
        report = verify_proof(
            content,
            trusted.log_key,
            trusted.origin or None,
            entry=leaf,
            former=trusted.former_log_keys,
            policy=policy,
        )
    except MalformedNoteError as error:
        raise _no_key(error) from error
    return _say(run, report, "proof")


@verb("log", verify, offline=True)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--log-key", metavar="VKEY", help="The log's verifier key.")
@click.option("--installation", type=_FILE, help="Or the installation's file, which holds it.")
@click.option("--former-key", "former", multiple=True, metavar="VKEY", help="One before it.")
@click.option("--origin", help="The log's name.  [default: its key's name]")
@click.option("--witness", "witnesses", multiple=True, metavar="VKEY", help="A witness's key.")
@click.option("--need", type=int, metavar="N", help="So many of them signed.  [default: all]")
@click.option(
    "--checkpoint", type=_FILE, help="Newest checkpoint.  [default: DIRECTORY/checkpoint]"
)
@click.option("--earlier", type=_FILE, help="A checkpoint that you kept from before.")
def log(
    run: Invocation,
    *,
    directory: Path,
    log_key: str | None,
    installation: Path | None,
    former: tuple[str, ...],
    origin: str | None,
    witnesses: tuple[str, ...],
    need: int | None,
    checkpoint: Path | None,
    earlier: Path | None,
) -> int:
    """Check a whole exported log: a folder of `callpoint log export`, or one .jsonl file."""
    trusted = trusted_log(log_key, installation, former, origin)
    policy = _policy(witnesses, need)
    newest = _read(checkpoint or directory / CHECKPOINT_FILE, _MAX_SMALL_FILE)
    before = None if earlier is None else _read(earlier, _MAX_SMALL_FILE)
    findings = Findings()
    try:
        report = verify_log(
            read_export(directory, findings),
            newest,
            trusted.log_key,
            before,
            trusted.origin or None,
            former=trusted.former_log_keys,
        )
    except MalformedNoteError as error:
        raise _no_key(error) from error
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error}", file=str(directory)) from error
    whole = replace(report, findings=findings.report(0).findings + report.findings)
    return _say(run, require_witnesses(whole, newest, policy), "log")


def _checked(
    content: bytes,
    trusted: Known,
    *,
    expect_closed: bool,
    data_only: bool,
    authority: bytes | None,
) -> Report:
    try:
        return verify_document(
            content,
            trusted.log_key,
            trusted.origin or None,
            expect_closed=expect_closed,
            former=trusted.former_log_keys,
            data_only=data_only,
            authority=authority,
        )
    except MalformedNoteError as error:
        raise _no_key(error) from error


def _policy(witnesses: tuple[str, ...], need: int | None) -> WitnessPolicy:
    """The reader's witnesses: given, as the log's key is."""
    try:
        return witness_policy(witnesses, need)
    except MalformedNoteError as error:
        raise RequestError(
            f"the witnesses cannot be used: {error}",
            way_out="--witness takes NAME+HEX+BASE64 of type 0x04, once each; --need at most as"
            " many as are named",
        ) from error


def _no_key(error: MalformedNoteError) -> RequestError:
    return RequestError(
        f"the log's key cannot be read: {error}", way_out="it reads NAME+HEX+BASE64, on one line"
    )


def trusted_log(
    log_key: str | None,
    installation: Path | None,
    former: tuple[str, ...] = (),
    origin: str | None = None,
) -> Known:
    """Whose log it must be: given, never asked of whoever made the evidence."""
    if (log_key is None) == (installation is None):
        raise RequestError(
            "say whose log it must be: --log-key VKEY or --installation FILE, one of them",
            way_out="the installation's file is public; get it from the governors, not with the"
            " evidence",
        )
    if log_key is not None:
        return Known("", log_key, origin or "", former)
    known = read_installation(installation or Path())
    return Known(
        known.id,
        known.log_key,
        known.origin if origin is None else origin,
        (*known.former_log_keys, *former),
    )


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}", file=str(path)) from error


def _authority(path: Path | None) -> bytes | None:
    """The certificates that the reader trusts for time stamps, seen to be some."""
    if path is None:
        return None
    way_out = (
        "--timestamp-authority takes the time-stamping authority's certificates as one PEM file,"
        " its self-signed root among them; get them from the authority"
    )
    try:
        content = _read(path, _MAX_SMALL_FILE)
        read_certificates(content)
    except ConfigError as error:
        raise ConfigError(error.message, file=str(path), way_out=way_out) from error
    except TimestampError as error:
        raise ConfigError(str(error), file=str(path), way_out=way_out) from error
    return content


def _say(run: Invocation, report: Report, what: str) -> int:
    run.show({"ok": report.ok, **msgspec.to_builtins(asdict(report))}, report_lines(report, what))
    return ExitCode.OK if report.ok else ExitCode.TAMPER


def report_lines(report: Report, what: str) -> Iterator[str]:
    """A report for a person; also what a reviewer sees."""
    yield f"{what}: {plural(report.size, 'entry', 'entries')} read"
    for finding in report.findings:
        where = "" if finding.index is None else f" at index {finding.index}"
        yield f"  {finding.code}{where}: {finding.message}"
    for note in report.notes:
        yield f"  note: {note}"
    yield "verify: " + ("ok" if report.ok else f"FAILED, {plural(len(report.findings), 'finding')}")
