"""From a bundle to the tale: order, gaps and figures."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from callpoint.audit.entry import Entry, EntryError, parse_entry, parse_time
from callpoint.audit.verify.bundle import Bundle, BundleEntry
from callpoint.audit.verify.story.members import inner, text_of
from callpoint.audit.verify.story.numbers import Numbers
from callpoint.audit.verify.story.tale import Fact, Marks, Step, Tale
from callpoint.audit.verify.story.telling import NOT_SHOWN, is_attested, step, unreadable
from callpoint.audit.verify.story.words import between, clean, moment

_Read = tuple[BundleEntry, Entry | None, str]

_STATES = {
    "activation:requested": "waiting for approval",
    "activation:approved": "approved, not taken up",
    "activation:activated": "active",
    "activation:denied": "denied",
    "activation:lapsed": "lapsed",
    "activation:withdrawn": "taken back",
    "activation:ended": "ended, not reviewed",
    "activation:reviewed": "reviewed",
}


def tell(bundle: Bundle) -> Tale:
    """The story of a bundle, whatever is in it: what cannot be read is said in its place."""
    own = [_read(item) for item in bundle.entries]
    related = [_read(item) for item in bundle.related]
    acted = [_read(item) for item in bundle.sessions]
    incident = [r for r in related if r[1] is None or r[1].stream.startswith("incident:")]
    rules = [r for r in related if r not in incident]
    marks = Marks()
    for _, entry, _ in (*own, *acted):
        if entry is not None:
            _mark(marks, entry)
    timeline = sorted([*own, *incident, *acted], key=lambda found: found[0].index)
    return Tale(
        activation=clean(bundle.activation),
        installation=clean(bundle.installation),
        headline=_headline(marks),
        summary=tuple(fact for fact in _summary(own) if fact.text),
        figures=tuple(fact for fact in _figures(marks) if fact.text),
        steps=tuple(_steps(timeline)),
        rules=tuple(_steps(rules)),
        checkpoint=tuple(_checkpoint(bundle)),
    )


def _read(item: BundleEntry) -> _Read:
    try:
        return item, parse_entry(item.leaf), ""
    except EntryError as error:
        return item, None, str(error)


def _steps(found: Sequence[_Read]) -> Iterator[Step]:
    before: datetime | None = None
    numbers = Numbers()
    for item, entry, error in found:
        if entry is None:
            yield unreadable(item, error)
            continue
        at = _time(entry)
        gap = numbers.missing_before(item.index, entry)
        if gap is not None:
            yield gap
        yield step(item, entry, between(before, at))
        before = at or before


def _time(entry: Entry) -> datetime | None:
    try:
        return parse_time(entry.at)
    except ValueError:
        return None


def _mark(marks: Marks, entry: Entry) -> None:
    at = _time(entry)
    marks.last = _STATES.get(entry.type, marks.last)
    match entry.type:
        case "activation:requested":
            marks.asked = marks.asked or at
        case "activation:approved":
            marks.approved = marks.approved or at
        case "lease:issued":
            marks.issued = marks.issued or at
            marks.begun += 1
        case "credential:revealed" | "connection:offered":
            marks.revealed = marks.revealed or at
            marks.reveals += 1
        case "activation:ended":
            marks.ended = marks.ended or at
        case "lease:ended":
            marks.dead = at or marks.dead
            marks.buried += 1
            marks.attested += is_attested(entry.data)
        case "activation:reviewed":
            marks.reviewed = at
        case _:
            _count(marks, entry)


def _count(marks: Marks, entry: Entry) -> None:
    """Of what was done through gateways."""
    match entry.type:
        case "action:decided":
            marks.allowed += entry.data.get("allowed") is True
            marks.refused += entry.data.get("allowed") is not True
        case "action:finished":
            rows = entry.data.get("rows")
            marks.rows += rows if type(rows) is int else 0
        case "action:offline":
            marks.alone += entry.data.get("allowed") is True
            marks.uncovered += bool(entry.data.get("trouble"))
        case "action:finished-offline":
            rows = entry.data.get("rows")
            marks.rows += rows if type(rows) is int else 0
        case _:
            pass


def _headline(marks: Marks) -> str:
    state = marks.last or "not begun"
    alive = marks.begun - marks.buried
    if alive > 0 and marks.ended is not None:
        return f"This activation is {state}; {alive} of its credentials are not proven dead."
    if marks.attested:
        word = f"{marks.attested} of its credentials were closed on governors' word, without proof"
        return f"This activation is {state}; {word}."
    if marks.begun and alive <= 0:
        return f"This activation is {state}; every credential of it is proven dead."
    return f"This activation is {state}."


def _figures(marks: Marks) -> Iterator[Fact]:
    yield Fact("from the request to the quorum", between(marks.asked, marks.approved))
    yield Fact("time to access (request to credential)", between(marks.asked, marks.issued))
    yield Fact("from the credential to its first fetch", between(marks.issued, marks.revealed))
    yield Fact("access lasted", between(marks.issued, marks.ended))
    if marks.buried >= marks.begun and not marks.attested:
        yield Fact(
            "time to revoke (end to the last proof of death)", between(marks.ended, marks.dead)
        )
    yield Fact("from the end to the verdict", between(marks.ended, marks.reviewed))
    yield Fact("credentials made", str(marks.begun))
    yield Fact("credentials proven dead", str(marks.buried - marks.attested))
    yield Fact("closed without proof", str(marks.attested) if marks.attested else "")
    yield Fact("times fetched", str(marks.reveals))
    if marks.allowed or marks.refused:
        yield Fact("actions through a gateway that were allowed", str(marks.allowed))
        yield Fact("actions that were refused", str(marks.refused))
        yield Fact("rows that were let through", str(marks.rows))
    if marks.alone or marks.uncovered:
        yield Fact("actions that a gateway allowed without the authority", str(marks.alone))
        yield Fact("of them or the refused ones, covered by no grant", str(marks.uncovered))


def _summary(own: Sequence[_Read]) -> Iterator[Fact]:
    """Who asked for what and why, who approved, what the review said."""
    for item, entry, _ in own:
        if entry is None:
            continue
        match entry.type:
            case "activation:requested":
                yield from _asked(item, entry)
            case "approval:recorded":
                said = text_of(entry.data, "verdict")
                yield Fact(f"vote ({said})", text_of(entry.data, "person"))
            case "activation:ended":
                yield Fact("ended because", text_of(entry.data, "reason"))
            case "activation:reviewed":
                verdict = text_of(entry.data, "verdict")
                yield Fact("verdict", f"{verdict}, by {text_of(entry.data, 'person')}")
            case _:
                pass


def _asked(item: BundleEntry, entry: Entry) -> Iterator[Fact]:
    asked = inner(entry.data, "request")
    why = item.personal.get("justification")
    yield Fact("who", text_of(asked, "principal"))
    yield Fact("answering persons", text_of(asked, "persons"))
    yield Fact("what", text_of(asked, "opens"))
    yield Fact("why", clean(why.value) if why else NOT_SHOWN, is_quote=why is not None)
    yield Fact("incident", text_of(asked, "incident"))
    yield Fact("asked at", moment(entry.at))


def _checkpoint(bundle: Bundle) -> Iterator[Fact]:
    """The head that all entries are proven to be under; its signature is for the verifier."""
    names = ("log", "entries", "root hash")
    for name, line in zip(names, bundle.checkpoint.split("\n"), strict=False):
        yield Fact(name, clean(line))
    if bundle.timestamp is not None:
        size = bundle.timestamp.checkpoint.split("\n")[1:2]
        seen = f"its first {clean(''.join(size))} entries at {moment(bundle.timestamp.at)}"
        yield Fact("stamped by an outside authority (to be checked with its certificates)", seen)
