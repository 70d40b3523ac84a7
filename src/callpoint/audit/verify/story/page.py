"""The story as one HTML page: no script, nothing from outside, everything escaped, printable."""

import base64
import hashlib
from collections.abc import Iterable, Iterator

from callpoint.audit.verify.story.tale import VERSION, Fact, Step, Tale

HEAD = b"<!DOCTYPE html>"
OPENS = b'<pre id="callpoint-bundle">\n'
CLOSES = b"\n</pre>"

_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "`": "&#96;"}
)

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --loud: #b3261e; --dim: #767676; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 54rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; }
h2 { font-size: 1.15rem; margin-top: 2rem; }
.note { border: 1px solid var(--line); border-radius: .4rem; padding: .6rem .9rem; }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .1rem 1rem; }
dl { margin: .3rem 0; }
dt { color: var(--dim); }
dd { margin: 0; overflow-wrap: anywhere; }
q { quotes: none; border-left: 3px solid var(--line); padding-left: .5rem; display: inline-block; }
ol { list-style: none; margin: 0; padding: 0; }
li { border-left: 3px solid var(--line); padding: .1rem 0 .9rem 1rem; }
li.loud { border-left-color: var(--loud); }
li.loud > .title { color: var(--loud); }
.title { font-weight: 600; overflow-wrap: anywhere; }
.when, .kind { color: var(--dim); font-size: .87rem; }
.kind { font-family: ui-monospace, monospace; }
pre { overflow: auto; max-height: 20rem; font-size: .7rem; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
@media print {
  body { margin: 0; max-width: none; font-size: 11pt; }
  li { break-inside: avoid; }
  details { display: none; }
}
"""

_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'"
)

_NOTE = """\
This page was computed from the machine part at its end, and proves nothing by itself. To check
both: <code>callpoint verify bundle FILE --installation FILE</code>, or
<code>python -m callpoint.audit.verify bundle FILE --vkey FILE</code>. It verifies the machine part,
computes the page again and compares every byte. Take the installation's file from its governors,
not from whoever gave you this page."""


def page(tale: Tale, machine_part: str) -> str:
    """The file's text; ``machine_part`` is base64 in lines."""
    return "\n".join([*_head(tale), *_body(tale), *_foot(machine_part)]) + "\n"


def _safe(text: str) -> str:
    """As text, or inside a quoted attribute. `clean` has taken what is invisible out before."""
    return text.translate(_ESCAPES)


def _head(tale: Tale) -> Iterator[str]:
    yield HEAD.decode()
    yield '<html lang="en">'
    yield "<head>"
    yield '<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield f'<meta name="generator" content="{VERSION}">'
    yield '<meta name="referrer" content="no-referrer">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>Evidence of activation {_safe(tale.activation)}</title>"
    yield f"<style>{_STYLE}</style>"
    yield "</head>"


def _body(tale: Tale) -> Iterator[str]:
    yield "<body>"
    yield f"<h1>Evidence of activation <bdi>{_safe(tale.activation)}</bdi></h1>"
    where = f"<bdi>{_safe(tale.installation)}</bdi>"
    yield f'<p class="when">installation {where}; all times are UTC</p>'
    yield f"<p><strong>{_safe(tale.headline)}</strong></p>"
    yield f'<p class="note">{_NOTE}</p>'
    yield from _section("In short", tale.summary)
    yield from _section("How long it took", tale.figures)
    yield "<h2>Step by step</h2>"
    yield from _steps(tale.steps)
    yield "<h2>Whose log, and under which rules</h2>"
    yield from _steps(tale.rules)
    yield from _section("The signed checkpoint that all of it is under", tale.checkpoint)


def _section(title: str, facts: Iterable[Fact]) -> Iterator[str]:
    yield f"<h2>{title}</h2>"
    yield from _facts(facts)


def _facts(facts: Iterable[Fact]) -> Iterator[str]:
    yield "<dl>"
    for fact in facts:
        text = f"<bdi>{_safe(fact.text)}</bdi>"
        shown = f"<q>{text}</q>" if fact.is_quote else text
        yield f"<dt><bdi>{_safe(fact.label)}</bdi></dt><dd>{shown}</dd>"
    yield "</dl>"


def _steps(steps: Iterable[Step]) -> Iterator[str]:
    yield "<ol>"
    for step in steps:
        yield '<li class="loud">' if step.is_loud else "<li>"
        after = f" &middot; {_safe(step.after)} later" if step.after else ""
        yield f'<div class="when">{_safe(step.at)}{after}</div>'
        yield f'<div class="title"><bdi>{_safe(step.title)}</bdi></div>'
        if step.facts:
            yield from _facts(step.facts)
        yield f'<div class="kind">{_safe(step.kind)}, entry {step.index}</div>'
        yield "</li>"
    yield "</ol>"


def _foot(machine_part: str) -> Iterator[str]:
    yield "<details>"
    yield "<summary>The machine part: the evidence bundle, JSON, in base64</summary>"
    yield OPENS.decode() + machine_part + CLOSES.decode()
    yield "</details>"
    yield "</body>"
    yield "</html>"
