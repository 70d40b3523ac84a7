"""Members of an entry's data, which may be anything."""

from collections.abc import Iterator, Mapping

from callpoint.audit.verify.story.tale import Fact
from callpoint.audit.verify.story.words import plain

Data = Mapping[str, object]
Facts = Iterator[Fact]


def text_of(data: Data, name: str) -> str:
    """A member as one line, empty without it."""
    return plain(data.get(name))


def inner(data: Data, name: str) -> Data:
    """A member that is an object; an empty one when it is something else."""
    value = data.get(name)
    return value if isinstance(value, dict) else {}
