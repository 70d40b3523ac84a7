"""Events survive being written and read, whichever they are, and replaying them is a function."""

from datetime import UTC, datetime, timedelta
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callpoint.audit import log
from callpoint.domain import event as ev
from callpoint.domain.activation import fold
from callpoint.domain.errors import TamperError
from callpoint.domain.event_form import data, name
from callpoint.domain.event_form import private as private_of

CLASSES = sorted(get_args(ev.AnyEvent), key=lambda kind: kind.__name__)
LIMIT = 2**53 - 1
AT = datetime(2026, 3, 1, tzinfo=UTC)

texts = st.text(max_size=8)


def of(kind: Any) -> st.SearchStrategy[Any]:
    """A strategy for an annotation: every type that events are made of."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        told = [part for part in arguments if part is not msgspec.UnsetType]
        return st.one_of(*(of(part) for part in told))
    if origin is tuple:
        return st.lists(of(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        keys = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
        return st.dictionaries(keys, of(arguments[1]), max_size=2)
    if issubclass(kind, msgspec.Struct):
        fields = {f.name: of(f.type) for f in msgspec.structs.fields(kind)}
        return st.builds(kind, **fields)
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    return SIMPLE[kind]


SIMPLE: dict[type, st.SearchStrategy[Any]] = {
    str: texts,
    bool: st.booleans(),
    int: st.integers(-LIMIT, LIMIT),
    bytes: st.binary(min_size=16, max_size=16),
    datetime: st.datetimes(timezones=st.just(UTC)),
    timedelta: st.timedeltas(timedelta(0), timedelta(days=400)),
    NoneType: st.none(),
    msgspec.UnsetType: st.just(msgspec.UNSET),
}
events = st.one_of(*(of(kind) for kind in CLASSES))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(st.data())
def test_an_event_is_read_as_it_was_written(kind, data):
    """Parsing the data of an event gives the event, without what is personal in it."""
    event = data.draw(of(kind))
    read = ev.parse(name(event), ev.data(event))
    public = msgspec.structs.replace(event, private={}) if hasattr(event, "private") else event
    assert read == public


@given(events)
def test_an_event_becomes_an_entry_that_says_the_same(event):
    """Drafted and numbered, an event's leaf holds its data and no personal value."""
    draft = log.draft("installation", event, AT)
    assert draft.data == data(event)
    assert draft.closes == event.CLOSES
    assert draft.private == private_of(event)


@given(st.lists(st.tuples(events, st.just(AT)), max_size=6))
def test_replaying_is_a_function_of_the_events_or_an_impossible_life(history):
    """Any list of events replays to one activation, twice the same, or is called tampered."""
    try:
        first = fold(history)
    except TamperError as error:
        with pytest.raises(TamperError, match=error.message[:10].replace("(", r"\(")):
            fold(history)
        return
    assert fold(history) == first


def test_names_are_unique_and_say_what_about():
    """Each event has one stable name, ``thing:happened``."""
    names = [kind.__struct_config__.tag for kind in CLASSES]
    assert len(set(names)) == len(names)
    assert all(tag.count(":") == 1 and tag == tag.lower() for tag in names)


def test_an_unknown_event_is_not_guessed():
    """A name or a type of field that this version does not know is an error, never a default."""
    with pytest.raises(ValueError, match="lease:reborn"):
        ev.parse("lease:reborn", {})
    with pytest.raises(ValueError, match="lease:probed"):
        ev.parse("lease:probed", {"lease": 7, "control": "accepted"})
