"""Verification of a file that a person can open: the machine part, and that the page says it."""

from collections.abc import Sequence

from callpoint.audit.verify.bundle import parse_bundle, verify_bundle
from callpoint.audit.verify.report import Code, Finding, Findings, Report
from callpoint.audit.verify.story.document import (
    Document,
    DocumentError,
    Form,
    document,
    open_document,
)


def verify_document(
    data: bytes,
    vkey: str,
    origin: str | None = None,
    *,
    expect_closed: bool = False,
    former: Sequence[str] = (),
    data_only: bool = False,
    authority: bytes | None = None,
) -> Report:
    """Check a bundle as it is, or in a page: then the page is computed again and compared.

    Args:
        data: The file: ``.json``, ``.html`` or ``.md``.
        vkey: The log's verifier key.
        origin: The log's name; by default the name of its key.
        expect_closed: Count it as a failure that the activation's stream is still open.
        former: Verifier keys that the log had before.
        data_only: Judge the machine part alone, for instance of a page in older words.
        authority: A time-stamping authority's certificates, PEM: there must be its stamp.

    Returns:
        The report; that a page was edited is in it and is never raised.

    Raises:
        note.MalformedNoteError: `vkey` or a former one is no verifier key.
    """
    same_lines = data.replace(b"\r\n", b"\n") if not data.startswith(b"{") else data
    try:
        found = open_document(same_lines)
    except DocumentError as error:
        findings = Findings()
        findings.add(Code.MALFORMED_BUNDLE, str(error))
        return findings.report(0)
    report = verify_bundle(
        found.bundle,
        vkey,
        origin,
        expect_closed=expect_closed,
        former=former,
        authority=authority,
    )
    if found.form is Form.JSON:
        return report
    return _compared(found, same_lines, report, data_only=data_only)


def checkpoint_of(data: bytes) -> bytes:
    """The signed checkpoint in a bundle or page; empty when there is none that can be read."""
    try:
        found = open_document(data.replace(b"\r\n", b"\n") if not data.startswith(b"{") else data)
        return parse_bundle(found.bundle).checkpoint.encode("utf-8", "surrogatepass")
    except (DocumentError, ValueError):
        return b""


def _compared(found: Document, data: bytes, report: Report, *, data_only: bool) -> Report:
    """The report, with what the comparison of the readable part says."""
    if data_only:
        words = "only the machine part was judged; what the page says was not compared with it"
        return Report(report.size, report.findings, (*report.notes, words))
    if not found.states_version:
        message = "the page is in words of another version, and cannot be compared (--data-only)"
        return _with(report, Code.STORY_UNKNOWN, message)
    try:
        again = document(found.bundle, found.form)
    except DocumentError:
        return report  # no bundle: it was found already
    if again == data:
        words = "the page says what the machine part says: it was computed again and is the same"
        return Report(report.size, report.findings, (*report.notes, words))
    line = _first_difference(again, data)
    message = (
        f"the page is not what its machine part says: it was edited, at line {line}; believe only"
        " a page that is computed again from the machine part"
    )
    return _with(report, Code.STORY_ALTERED, message)


def _with(report: Report, code: Code, message: str) -> Report:
    return Report(report.size, (Finding(code, message), *report.findings), report.notes)


def _first_difference(expected: bytes, given: bytes) -> int:
    """The number of the first line that differs, from 1."""
    left, right = expected.split(b"\n"), given.split(b"\n")
    for number, (one, other) in enumerate(zip(left, right, strict=False), 1):
        if one != other:
            return number
    return min(len(left), len(right)) + 1
