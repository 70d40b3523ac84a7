"""The story as Markdown: readable as it stands, and what strangers wrote is no markup in it."""

import re
from collections.abc import Iterable, Iterator

from callpoint.audit.verify.story.tale import VERSION, Fact, Step, Tale

HEAD = b"# Evidence of activation "
OPENS = b"```callpoint-bundle\n"
CLOSES = b"\n```"

# CommonMark 2.4: a backslash before any ASCII punctuation makes it text. No value stands at the
# beginning of a line, so what means something only there is left readable. The rest are the links,
# mentions and references that GitHub makes of plain words.
_MARKUP = re.compile(r"([\\`*_\[\]|~$@#]|:(?=//)|(?<=www)\.)", re.IGNORECASE)


def markdown(tale: Tale, machine_part: str) -> str:
    """The file's text; ``machine_part`` is base64 in lines."""
    lines = [*_head(tale), *_steps("Step by step", tale.steps)]
    lines += _steps("Whose log, and under which rules", tale.rules)
    lines += _section("The signed checkpoint that all of it is under", tale.checkpoint)
    lines += ["## The machine part: the evidence bundle, JSON, in base64", ""]
    return "\n".join(lines) + "\n" + OPENS.decode() + machine_part + CLOSES.decode() + "\n"


def _safe(text: str) -> str:
    """Text and nothing else, for renderers that take HTML too."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # The entities above hold no character of the set.
    return _MARKUP.sub(r"\\\1", plain)


def _head(tale: Tale) -> Iterator[str]:
    yield f"{HEAD.decode()}{_safe(tale.activation)}"
    yield ""
    yield f"Installation {_safe(tale.installation)}; all times are UTC; `{VERSION}`."
    yield ""
    yield f"**{_safe(tale.headline)}**"
    yield ""
    yield "> This page was computed from the machine part at its end, and proves nothing by itself."
    yield "> To check both: `callpoint verify bundle FILE --installation FILE`, or"
    yield "> `python -m callpoint.audit.verify bundle FILE --vkey FILE`. It verifies the machine"
    yield "> part, computes the page again and compares every byte. Take the installation's file"
    yield "> from its governors, not from whoever gave you this page."
    yield ""
    yield from _section("In short", tale.summary)
    yield from _section("How long it took", tale.figures)


def _section(title: str, facts: Iterable[Fact]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield from _facts(facts, "")
    yield ""


def _facts(facts: Iterable[Fact], indent: str) -> Iterator[str]:
    for fact in facts:
        text = f"“{_safe(fact.text)}”" if fact.is_quote else _safe(fact.text)
        yield f"{indent}- {_safe(fact.label)}: {text}"


def _steps(title: str, steps: Iterable[Step]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    for step in steps:
        after = f", {_safe(step.after)} later" if step.after else ""
        loud = "**!** " if step.is_loud else ""
        yield f"- {loud}{_safe(step.at)}{after}: **{_safe(step.title)}** (entry {step.index})"
        yield from _facts(step.facts, "  ")
    yield ""
