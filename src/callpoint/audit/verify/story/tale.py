"""What a story is made of, before anything is written: facts, figures, steps."""

from dataclasses import dataclass
from datetime import datetime

VERSION = "callpoint-story/v1"
"""Of the words and their order. Other words are another version: a page states it."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A label and what stands beside it; ``is_quote`` for words that a person wrote."""

    label: str
    text: str
    is_quote: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One event.

    Attributes:
        index: Its place in the log.
        at: When, in words.
        after: How long after the event before it, in words; empty for the first.
        title: What happened.
        kind: The entry's type.
        facts: What it says.
        is_loud: A reader must not pass it over: a finding, a failure, a refusal.
    """

    index: int
    at: str
    after: str
    title: str
    kind: str
    facts: tuple[Fact, ...] = ()
    is_loud: bool = False


@dataclass(frozen=True, slots=True)
class Tale:
    """The whole.

    Attributes:
        activation: Whose it is.
        installation: Where.
        headline: One sentence.
        summary: Who, what, why.
        figures: How long each part took.
        steps: In the order of the log.
        rules: Under which configuration, and which installation's log it is.
        checkpoint: What all of it is under.
    """

    activation: str
    installation: str
    headline: str
    summary: tuple[Fact, ...]
    figures: tuple[Fact, ...]
    steps: tuple[Step, ...]
    rules: tuple[Step, ...]
    checkpoint: tuple[Fact, ...]


@dataclass(slots=True)
class Marks:
    """Moments that figures are made of; the first of a kind counts, or the last where it says."""

    asked: datetime | None = None
    approved: datetime | None = None
    issued: datetime | None = None
    revealed: datetime | None = None
    ended: datetime | None = None
    dead: datetime | None = None
    reviewed: datetime | None = None
    begun: int = 0
    buried: int = 0
    attested: int = 0
    reveals: int = 0
    allowed: int = 0
    refused: int = 0
    rows: int = 0
    alone: int = 0
    uncovered: int = 0
    last: str = ""
