"""A table with a closed list of keys: how it is read strictly, and how it is documented."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeAlias

from callpoint.config.document import Problems, closest
from callpoint.config.kinds import BAD, REQUIRED, Kind, type_name
from callpoint.config.positions import Path
from callpoint.domain.span import format_span

Values: TypeAlias = dict[str, Any]
"""Typed values by the name of the field that they go into."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table.

    Attributes:
        name: As it is written.
        kind: What may stand there.
        meaning: One sentence for the documents.
        default: Value when it is left out; REQUIRED for none, None for "without".
        into: The field that it goes into, where that has another name.
    """

    name: str
    kind: Kind
    meaning: str
    default: object = REQUIRED
    into: str = ""

    @property
    def field(self) -> str:
        """Where the value goes."""
        return self.into or self.name


Shape: TypeAlias = tuple[Key, ...]


def read_table(shape: Shape, raw: object, path: Path, problems: Problems) -> Values | None:
    """Read a table; None after noting what is missing or wrong.

    An unknown key is noted too, but what is known goes on to the later passes.
    """
    if not isinstance(raw, dict):
        words = ", ".join(key.name for key in shape)
        problems.add(path, f"is {type_name(raw)}", f"write a table with the keys {words}")
        return None
    refuse_unknown(shape, raw, path, problems)
    good = True
    values: Values = {}
    for key in shape:
        found = _read_key(key, raw, path, problems)
        if found is BAD:
            good = False
        elif found is not None:
            values[key.field] = found
    return values if good else None


def refuse_unknown(shape: Shape, raw: Mapping[str, object], path: Path, problems: Problems) -> None:
    """Note each key that the shape does not have."""
    known = {key.name for key in shape}
    for name in raw:
        if name not in known:
            problems.add((*path, name), "unknown key", closest(name, known))


def _read_key(key: Key, raw: Mapping[str, object], path: Path, problems: Problems) -> object:
    here = (*path, key.name)
    if key.name in raw:
        return key.kind.read(raw[key.name], here, problems)
    if key.default is REQUIRED:
        problems.add(here, "is missing", f"write {key.kind.says}")
        return BAD
    return key.default


def table(shape: Shape) -> Kind:
    """A table inside a table."""

    def read(value: object, path: Path, problems: Problems) -> object:
        found = read_table(shape, value, path, problems)
        return BAD if found is None else found

    words = ", ".join(key.name for key in shape)
    return Kind(f"a table with the keys {words}" if words else "a table", read)


def show_default(key: Key) -> str:
    """The default as it would be written, ``required``, or ``none``."""
    match key.default:
        case bool():
            return "true" if key.default else "false"
        case timedelta():
            return f'"{format_span(key.default)}"'
        case StrEnum() | str():
            return f'"{key.default}"' if key.default else "none"
        case tuple():
            return "[" + ", ".join(f'"{item}"' for item in key.default) + "]"
        case None:
            return "none"
        case int():
            return str(key.default)
        case _:
            return "required"
