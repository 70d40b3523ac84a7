"""`callpoint policy replay`: what was decided, decided again, from a log that is verified first."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from callpoint.cli.exit_codes import ExitCode
from callpoint.cli.invocation import Invocation, verb
from callpoint.domain.errors import ConfigError, RequestError, TamperError

if TYPE_CHECKING:  # these take half a second to import, which `--help` need not pay
    from callpoint.audit.verify import Report
    from callpoint.audit.verify.report import Findings
    from callpoint.cli.trust import Known
    from callpoint.domain.event import BundlePublished
    from callpoint.domain.governance import Bundle
    from callpoint.policy.replay.replaying import Outcome, Replay, Rules

_FILE = click.Path(path_type=Path, dir_okay=False)
_DIRECTORY = click.Path(file_okay=False, exists=True, path_type=Path)


@dataclass(frozen=True)
class Window:
    """Which moments count: from ``since`` to ``until``, both included."""

    since: datetime
    until: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.since <= moment <= self.until


@verb("replay")
@click.option("--since", default="90d", show_default=True, metavar="WHEN", help="From when on.")
@click.option("--until", metavar="WHEN", help="Up to when.  [default: now]")
@click.option("--with", "proposal", type=_DIRECTORY, metavar="DIR", help="What is proposed.")
@click.option("--log", "export", type=_DIRECTORY, metavar="DIR", help="An export, not the server.")
@click.option("--log-key", metavar="VKEY", help="With --log: the log's verifier key.")
@click.option("--installation", type=_FILE, help="The file to trust; it holds the log's key.")
def replay(
    run: Invocation,
    *,
    since: str,
    until: str | None,
    proposal: Path | None,
    export: Path | None,
    log_key: str | None,
    installation: Path | None,
) -> int:
    """Decide again what was decided, from the log: would it come out the same?

    By the policy that was in force then, and with --with by the configuration directory DIR too. A
    WHEN is a span back from now (90d) or a time (2026-03-01, 2026-03-01T03:00:00Z). Nothing is
    shown before the whole log is verified. Exit status: 0 all comes out the same, 4 the proposal
    changes a decision, 6 a decision that is on record could not be decided again, 7 the log does
    not hold, the policy of the time now says something else, or it was no longer in force.
    """
    from callpoint.cli.replay_text import facts, lines
    from callpoint.cli.verify import report_lines
    from callpoint.policy.replay.replaying import Replay

    now = run.machine.now()
    window = Window(_moment(since, now), _moment(until, now) if until else now)
    if window.until < window.since:
        raise RequestError(f"nothing lies between {window.since} and {window.until}")
    proposed = _proposed(proposal) if proposal else None
    log: _Source
    if export is not None:
        log = _Export(export, log_key, installation)
    elif log_key is not None:
        raise RequestError("--log-key belongs to --log; for a server give --installation FILE")
    else:
        log = _Server(run, installation)
    replaying = Replay(log.bundle, window, proposed)
    report = _passed(log, replaying)
    if not report.ok:
        failed = {
            "ok": False,
            "findings": [_finding(report, n) for n in range(len(report.findings))],
        }
        run.show(failed, [*report_lines(report, "log"), "nothing is told of a log like this"])
        return ExitCode.TAMPER
    outcome = replaying.outcome
    run.show(
        facts(outcome, window.since, window.until, report.size, is_proposed=proposed is not None),
        lines(outcome, window.since, window.until, report.size, is_proposed=proposed is not None),
    )
    return _exit_code(outcome)


def _exit_code(outcome: "Outcome") -> ExitCode:
    if outcome.differing or outcome.outdated:
        return ExitCode.TAMPER
    if outcome.changing:
        return ExitCode.CONFLICT
    return ExitCode.UNAVAILABLE if outcome.unknown else ExitCode.OK


def _finding(report: "Report", number: int) -> dict[str, object]:
    finding = report.findings[number]
    return {"code": finding.code, "message": finding.message, "index": finding.index}


def _moment(text: str, now: datetime) -> datetime:
    """A span back from now, or a time."""
    from callpoint.domain.span import parse_span

    try:
        return now - parse_span(text)
    except (ValueError, OverflowError):
        return _time(text)


def _time(text: str) -> datetime:
    """Without a zone it is in UTC, as everything that is shown."""
    try:
        read = datetime.fromisoformat(text)
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise RequestError(
            f"{text[:80]!r} is no time", way_out="write 90d, 2026-03-01 or 2026-03-01T03:00:00Z"
        ) from error


def _proposed(directory: Path) -> "Rules":
    """What is proposed must be sound: else nobody could publish it."""
    from callpoint.config.default_policies import default_pack
    from callpoint.config.files import load_directory
    from callpoint.policy.pap import decider
    from callpoint.policy.replay.replaying import Rules

    sources = load_directory(directory, default_pack())
    return Rules(sources.configuration, decider(sources.policies, sources.configuration))


class _Source(Protocol):
    """Where the log and the configurations come from, and whose log it must be."""

    trusted: "Known"
    checkpoint: bytes

    def leaves(self, findings: "Findings") -> Iterator[bytes]:
        """Every leaf, in order; a line that is none goes to the findings."""
        ...

    def bundle(self, event: "BundlePublished") -> "Bundle":
        """The configuration of a publication, or NotFoundError."""
        ...


class _Server:
    """The log of the server, which must be the installation that this machine knows."""

    def __init__(self, run: Invocation, installation: Path | None) -> None:
        from callpoint.cli.trust import known_installation
        from callpoint.cli.whole_log import WholeLog

        self._client = run.client
        self.trusted, first = known_installation(run.client, run.state, installation)
        run.note(*((first,) if first else ()))
        self._log = WholeLog(run.client)
        self.checkpoint = self._log.checkpoint

    def leaves(self, findings: "Findings") -> Iterator[bytes]:  # noqa: ARG002 -- a page has no lines that could be unreadable
        return (entry.leaf for entry in self._log.entries())

    def bundle(self, event: "BundlePublished") -> "Bundle":
        from callpoint.cli.bundle_files import fetched

        return fetched(self._client, event)


class _Export:
    """A folder of `callpoint log export`."""

    def __init__(self, folder: Path, log_key: str | None, installation: Path | None) -> None:
        from callpoint.cli.verify import CHECKPOINT_FILE, trusted_log

        self._folder = folder
        self.trusted = trusted_log(log_key, installation)
        path = folder / CHECKPOINT_FILE
        try:
            self.checkpoint = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"it cannot be read: {error.strerror}", file=str(path)) from error

    def leaves(self, findings: "Findings") -> Iterator[bytes]:
        from callpoint.audit.verify.export import read_export

        return read_export(self._folder, findings)

    def bundle(self, event: "BundlePublished") -> "Bundle":
        from callpoint.cli.bundle_files import stored

        return stored(self._folder, event)


def _passed(log: _Source, replaying: "Replay") -> "Report":
    """One pass: each leaf is decided again on its way to the verification."""
    from dataclasses import replace

    from callpoint.audit.note import MalformedNoteError
    from callpoint.audit.verify import verify_log
    from callpoint.audit.verify.report import Findings

    findings, trusted, watch = Findings(), log.trusted, _Watch(replaying)
    try:
        report = verify_log(
            watch.over(log.leaves(findings)),
            log.checkpoint,
            trusted.log_key,
            None,
            trusted.origin or None,
            former=trusted.former_log_keys,
        )
    except MalformedNoteError as error:
        raise RequestError(f"the log's key cannot be read: {error}") from error
    except OSError as error:
        raise ConfigError(f"the log cannot be read: {error}", file="entries") from error
    report = replace(report, findings=findings.report(0).findings + report.findings)
    if report.ok and watch.alarm is not None:
        raise watch.alarm
    return report


class _Watch:
    """Decides again what passes by on its way to the verification.

    Attributes:
        alarm: A configuration is not the one that the log names. Which of the two was changed is
            known only when the log is verified, so until then nothing is said of it.
    """

    def __init__(self, replaying: "Replay") -> None:
        self.alarm: TamperError | None = None
        self._replaying = replaying

    def over(self, leaves: Iterator[bytes]) -> Iterator[bytes]:
        """The same leaves."""
        from callpoint.cli.bundle_files import PUBLISHED, kind_of
        from callpoint.policy.replay.recorded import KINDS

        wanted = KINDS | {PUBLISHED}
        for leaf in leaves:
            if self.alarm is None and (kind := kind_of(leaf)) in wanted:
                try:
                    self._take(leaf, kind)
                except TamperError as error:
                    self.alarm = error
            yield leaf

    def _take(self, leaf: bytes, kind: str) -> None:
        from callpoint.audit.entry import EntryError, parse_entry, parse_time
        from callpoint.domain import event as ev

        try:
            entry = parse_entry(leaf)
            at = parse_time(entry.at)
        except EntryError:
            return  # the verification says what is wrong with it
        try:
            event = ev.parse(entry.type, entry.data)
        except ValueError:
            self._replaying.miss(f"this version cannot read the log's {kind}", at)
            return
        self._replaying.take(event, at)
