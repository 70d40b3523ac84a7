"""One value, one byte string: the form that is signed, hashed and logged (RFC 8785 subset).

Keys are ASCII and sorted, there are no floats, integers stay within ±(2^53 - 1), times are UTC with
six digits, spans are ISO 8601 durations. Within these limits msgspec's sorted output equals
RFC 8785 (``rfc8785`` is the oracle in the tests) at a twentieth of the cost.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import msgspec

Plain: TypeAlias = "bool | int | str | list[Plain] | dict[str, Plain] | None"
"""What canonical JSON is made of."""

_LIMIT = 2**53 - 1
_encoder = msgspec.json.Encoder(order="sorted")


def wire_time(moment: datetime) -> str:
    """RFC 3339 in UTC with exactly six digits, so that text order is time order."""
    if moment.utcoffset() != timedelta(0):
        raise ValueError("times are UTC")
    # Not strftime: it writes the years before 1000 with fewer digits.
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def plain(value: object) -> Plain:
    """Turn structs, enums, times and spans into JSON builtins, and refuse what has two spellings.

    Raises:
        ValueError: A float, an integer beyond ±(2^53 - 1), or a key that is not ASCII text.
    """
    made = [msgspec.to_builtins(value, builtin_types=(datetime,))]
    todo: list[list[Any] | dict[Any, Any]] = [made]
    # In place: `to_builtins` has made every container anew, so it is nobody else's. No call for
    # each value: the log does this for each event.
    for container in todo:
        if type(container) is dict:
            if not _are_ascii(container):
                raise ValueError(f"a key of {[*container]!a} is not ASCII text")
            items: Iterable[tuple[Any, Any]] = container.items()
        else:
            items = enumerate(container)
        for place, item in items:
            kind = type(item)
            if kind is str or item is None or kind is bool:  # most of it is
                continue
            if kind is int:
                if not -_LIMIT <= item <= _LIMIT:
                    raise ValueError(f"integer {item} is beyond ±(2^53 - 1)")
            elif kind is dict or kind is list:
                todo.append(item)
            else:
                container[place] = _unusual(item, todo)
    plain_value: Plain = made[0]
    return plain_value


def _unusual(item: object, todo: list[list[Any] | dict[Any, Any]]) -> object:
    """What stands for it; a container is looked at later."""
    if isinstance(item, datetime):
        return wire_time(item)
    if isinstance(item, tuple):
        todo.append(made := list(item))
        return made
    raise ValueError(f"{type(item).__name__} has no canonical form")


def _are_ascii(keys: Iterable[object]) -> bool:
    try:
        return "".join(keys).isascii()  # type: ignore[arg-type]  # one call for all of them
    except TypeError:
        return False


def encode(value: object) -> bytes:
    """Canonical bytes of ``value``; see ``plain`` for what is refused."""
    return _encoder.encode(plain(value))


def digest(value: object) -> str:
    """SHA-256 of the canonical bytes, lower-case hex."""
    return hashlib.sha256(encode(value)).hexdigest()
