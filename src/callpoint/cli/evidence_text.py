"""A verified evidence bundle in words: the reviewer reads what was proven, not what a server says.

Only for a bundle that `callpoint.audit.verify` found nothing in.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec

from callpoint.api.messages import ActivationView
from callpoint.audit.entry import Entry, parse_entry, parse_time
from callpoint.audit.verify.bundle import Bundle, BundleEntry
from callpoint.cli.ballot import verify_words
from callpoint.cli.words import moment, span
from callpoint.domain.errors import TamperError
from callpoint.domain.event import AnyEvent, parse
from callpoint.domain.review import Finding

# What a machine needs and a person does not: bytes, and what stands in the request already.
_UNREAD = frozenset(
    {
        "actor",
        "statement",
        "signature",
        "key",
        "digest",
        "box_sha256",
        "stream_length",
        "request",
        "plans",
    }
    | {"decisions", "decision", "asked"}
)


def parse_evidence(content: bytes) -> Bundle:
    """The bundle that was verified."""
    return msgspec.json.decode(content, type=Bundle)


def must_agree(bundle: Bundle, view: ActivationView, installation: str) -> None:
    """The server's answer is about the very request that the evidence holds.

    Raises:
        TamperError: It is about something else, so none of its words can be believed.
    """
    first = parse_entry(bundle.entries[0].leaf)
    digest = view.request.digest()
    pairs = (
        (bundle.activation, view.id),
        (bundle.installation, installation),
        (first.data.get("digest"), digest),
        (view.digest, digest),
    )
    if any(proven != said for proven, said in pairs):
        raise TamperError(
            f"the server gave the evidence of {bundle.activation} of {bundle.installation}, and it"
            f" is not about {view.id} as the server shows it",
            way_out="record nothing; tell the governors",
        )
    verify_words(view)


def checkpoint_line(bundle: Bundle) -> str:
    """``<size> <root>`` of the checkpoint that all of it is under."""
    _, size, root = bundle.checkpoint.split("\n")[:3]
    return f"{size} {root}"


def events(bundle: Bundle) -> Iterator[str]:
    """One line for each event, with all that it says and every personal value that is revealed."""
    for item in bundle.entries:
        entry = parse_entry(item.leaf)
        actor = entry.data.get("actor")
        what = f"{entry.type} by {actor}" if actor else entry.type
        said = "; ".join([*_personal(item), *_facts(entry)])
        yield f"  {moment(parse_time(entry.at))}  {what}{': ' if said else ''}{said}"


def _facts(entry: Entry) -> Iterator[str]:
    event = _event(entry)
    for name, value in entry.data.items():
        if name in _UNREAD or value in ("", None, [], {}):
            continue
        yield f"{name.replace('_', ' ')} {_words(getattr(event, name, value))}"


def _event(entry: Entry) -> AnyEvent | None:
    """The entry as an event, whose times and spans are such; None when a newer version wrote it."""
    try:
        return parse(entry.type, entry.data)
    except ValueError:
        return None


def _words(value: object) -> str:
    match value:
        case datetime():
            return moment(value)
        case timedelta():
            return span(value)
        case str():
            return value
        case Finding():
            return f"{value.kind}: {value.text}"
        case list() | tuple():
            return ", ".join(map(_words, value))
        case _:
            return msgspec.json.encode(value).decode()


def _personal(item: BundleEntry) -> Iterator[str]:
    for name, revealed in item.personal.items():
        yield f"{name} {revealed.value!r}"
