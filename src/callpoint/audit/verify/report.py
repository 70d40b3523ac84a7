"""What a verification found: a named finding for every kind of tampering."""

from dataclasses import dataclass, field
from enum import StrEnum

MAX_FINDINGS = 200
"""Findings that a report keeps; one cut can displace a million entries, and nobody reads those."""


class Code(StrEnum):
    """The name of a kind of failure. Names are stable: scripts may depend on them."""

    BAD_SIGNATURE = "bad-signature"
    COMMITMENT_MISMATCH = "commitment-mismatch"
    ENTRY_AFTER_CLOSE = "entry-after-close"
    ENTRY_ALTERED = "entry-altered"
    ENTRY_FOREIGN = "entry-foreign"
    ENTRY_INSERTED = "entry-inserted"
    ENTRY_MALFORMED = "entry-malformed"
    ENTRY_REMOVED = "entry-removed"
    ENTRY_REORDERED = "entry-reordered"
    FORK = "fork"
    MALFORMED_BUNDLE = "malformed-bundle"
    MALFORMED_CHECKPOINT = "malformed-checkpoint"
    MALFORMED_PROOF = "malformed-proof"
    NOT_INCLUDED = "not-included"
    NOT_WITNESSED = "not-witnessed"
    QUORUM_NOT_MET = "quorum-not-met"
    RELATED_MISSING = "related-missing"
    REQUEST_MISMATCH = "request-mismatch"
    ROLLBACK = "rollback"
    ROOT_MISMATCH = "root-mismatch"
    STORY_ALTERED = "story-altered"
    STORY_UNKNOWN = "story-unknown"
    STREAM_LENGTH_WRONG = "stream-length-wrong"
    STREAM_OPEN = "stream-open"
    TIMESTAMP_INVALID = "timestamp-invalid"
    TIMESTAMP_MISSING = "timestamp-missing"
    TOO_MANY_FINDINGS = "too-many-findings"
    VOTE_INVALID = "vote-invalid"
    VOTE_NOT_INDEPENDENT = "vote-not-independent"
    VOTE_OTHER_REQUEST = "vote-other-request"
    WRONG_KEY = "wrong-key"
    WRONG_ORIGIN = "wrong-origin"


@dataclass(frozen=True, slots=True)
class Finding:
    """One failure.

    Attributes:
        code: Its name.
        message: What was found, for a person: ASCII, one line.
        index: The log index of the entry that it concerns, as far as can be known.
    """

    code: Code
    message: str
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a verification.

    Attributes:
        size: How many entries were read.
        findings: Every failure, by index; those that concern no single entry come first.
        notes: What a reader must know, and is no failure, such as a stream that is still open.
    """

    size: int
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


@dataclass(slots=True)
class Findings:
    """Collects findings and notes while a verification runs."""

    found: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    dropped: int = 0

    def add(self, code: Code, message: str, index: int | None = None) -> None:
        if len(self.found) < MAX_FINDINGS:
            self.found.append(Finding(code, printable(message), index))
        else:
            self.dropped += 1

    def note(self, message: str) -> None:
        self.notes.append(printable(message))

    def report(self, size: int) -> Report:
        found = sorted(self.found, key=lambda f: -1 if f.index is None else f.index)
        if self.dropped:
            message = f"{self.dropped} more findings are not listed"
            found.append(Finding(Code.TOO_MANY_FINDINGS, message))
        return Report(size, tuple(found), tuple(self.notes))


def printable(text: str) -> str:
    """The text without anything that could steer a terminal: it may quote tampered entries."""
    return "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in text)
