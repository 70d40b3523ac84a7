"""`callpoint review ID`: look at proven evidence, then say what it was (R6)."""

from collections.abc import Iterator
from pathlib import Path

import click

from callpoint.api.messages import ActivationView
from callpoint.audit.note import MalformedNoteError
from callpoint.audit.verify import Report, verify_bundle
from callpoint.cli.activation_text import asked
from callpoint.cli.evidence import keep, written
from callpoint.cli.evidence_text import checkpoint_line, events, must_agree, parse_evidence
from callpoint.cli.invocation import Invocation, verb
from callpoint.cli.trust import Known, known_installation
from callpoint.cli.verify import report_lines
from callpoint.domain.errors import RequestError, TamperError
from callpoint.domain.review import Judgement, ReviewVerdict


@verb("review")
@click.argument("activation", metavar="ID")
@click.option("--triage", is_flag=True, help="Record that you took a first look.")
@click.option(
    "--verdict",
    type=click.Choice([str(verdict) for verdict in ReviewVerdict]),
    help="Close the review with this verdict.",
)
@click.option("--finding", "findings", multiple=True, metavar="WORDS", help="What you saw.")
@click.option(
    "--follow-up", "follow_ups", multiple=True, metavar="WORDS", help="What is to be done."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep the evidence in this file: .json, or a page, .html or .md.",
)
@click.option(
    "--installation",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The installation's file; else the first contact counts.",
)
def review(
    run: Invocation,
    *,
    activation: str,
    verdict: str | None,
    findings: tuple[str, ...],
    follow_ups: tuple[str, ...],
    out: Path | None,
    installation: Path | None,
    triage: bool,
) -> None:
    """Verify the evidence of the activation ID on this machine and show it.

    What is listed as proven comes from the evidence, and from no answer of the server. Without
    --triage or --verdict nothing is recorded. A verdict names the checkpoint of the
    evidence that was verified here.
    """
    if triage and verdict:
        raise RequestError("a review is triaged first and closed later: give one of the two")
    if (findings or follow_ups) and not verdict:
        raise RequestError("findings and follow-ups belong to a verdict", way_out="add --verdict")
    checkpoint = _examine(run, activation, out, installation)
    if verdict:
        said = Judgement(ReviewVerdict(verdict), checkpoint, findings, follow_ups)
        _done(run, run.client.review(activation, said))
    elif triage:
        _done(run, run.client.triage(activation))


def _examine(run: Invocation, activation: str, out: Path | None, installation: Path | None) -> str:
    """Fetch the bundle, verify it, show what it proves; the ``<size> <root>`` it is under.

    Raises:
        TamperError: The evidence does not hold, or is about something else; nothing is recorded.
    """
    known, first = known_installation(run.client, run.state, installation)
    if first:
        run.note(first)
    content = run.client.bundle(activation)
    if out is not None:
        keep(out, written(content, out))
    report = _verified(content, known)
    if not report.ok:
        run.progress(*report_lines(report, "evidence"))
        raise TamperError(
            f"the evidence of {activation} does not hold: {report.findings[0].message}",
            way_out="record nothing; keep the bundle (--out FILE) and tell the governors",
        )
    bundle, view = parse_evidence(content), run.client.activation(activation)
    must_agree(bundle, view, known.id)
    run.progress(*asked(view), "", "proven:", *events(bundle), *report_lines(report, "evidence"))
    run.progress(f"{view.state}: {view.next}")
    return checkpoint_line(bundle)


def _verified(content: bytes, known: Known) -> Report:
    try:
        return verify_bundle(
            content, known.log_key, known.origin or None, former=known.former_log_keys
        )
    except MalformedNoteError as error:
        raise TamperError(f"the log's key is none: {error}") from error


def _done(run: Invocation, view: ActivationView) -> None:
    run.show(view, _told(view))


def _told(view: ActivationView) -> Iterator[str]:
    yield f"recorded; {view.state}: {view.next}"
