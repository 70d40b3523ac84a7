"""`callpoint verify bundle | log`: offline, with nothing but files and the log's public key."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import click
import msgspec

from callpoint.audit.note import MalformedNoteError
from callpoint.audit.verify import Report, verify_document, verify_log
from callpoint.audit.verify.export import read_export
from callpoint.audit.verify.report import Findings
from callpoint.audit.verify.story.document import MAX_DOCUMENT_SIZE
from callpoint.cli.exit_codes import ExitCode
from callpoint.cli.invocation import Invocation, verb
from callpoint.cli.trust import Known, read_installation
from callpoint.cli.words import plural
from callpoint.domain.errors import ConfigError, RequestError

CHECKPOINT_FILE = "checkpoint"
"""What `callpoint log export` calls the checkpoint in the folder of its export."""

_MAX_SMALL_FILE = 2_000_000
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group("verify")
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
@click.option("--expect-closed", is_flag=True, help="Fail while the activation is still open.")
@click.option("--data-only", is_flag=True, help="Do not compare a page with its machine part.")
def bundle_(
    run: Invocation,
    bundle: Path,
    log_key: str | None,
    installation: Path | None,
    former: tuple[str, ...],
    origin: str | None,
    *,
    expect_closed: bool,
    data_only: bool,
) -> int:
    """Check the evidence of one activation: a .json bundle, or an .html or .md page with it inside.

    A page is computed again from its machine part; one that was edited is found.
    """
    trusted = _trusted(log_key, installation, former, origin)
    content = _read(bundle, MAX_DOCUMENT_SIZE + 1)
    report = _checked(content, trusted, expect_closed=expect_closed, data_only=data_only)
    return _say(run, report, "bundle")


@verb("log", verify, offline=True)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--log-key", metavar="VKEY", help="The log's verifier key.")
@click.option("--installation", type=_FILE, help="Or the installation's file, which holds it.")
@click.option("--former-key", "former", multiple=True, metavar="VKEY", help="One before it.")
@click.option("--origin", help="The log's name.  [default: its key's name]")
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
    checkpoint: Path | None,
    earlier: Path | None,
) -> int:
    """Check a whole exported log: a folder of `callpoint log export`, or one .jsonl file."""
    trusted = _trusted(log_key, installation, former, origin)
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
    return _say(run, replace(report, findings=findings.report(0).findings + report.findings), "log")


def _checked(content: bytes, trusted: Known, *, expect_closed: bool, data_only: bool) -> Report:
    try:
        return verify_document(
            content,
            trusted.log_key,
            trusted.origin or None,
            expect_closed=expect_closed,
            former=trusted.former_log_keys,
            data_only=data_only,
        )
    except MalformedNoteError as error:
        raise _no_key(error) from error


def _no_key(error: MalformedNoteError) -> RequestError:
    return RequestError(
        f"the log's key cannot be read: {error}", way_out="it reads NAME+HEX+BASE64, on one line"
    )


def _trusted(
    log_key: str | None, installation: Path | None, former: tuple[str, ...], origin: str | None
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
