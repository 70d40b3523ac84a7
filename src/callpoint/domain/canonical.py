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
    return _plain(msgspec.to_builtins(value, builtin_types=(datetime,)))


def _plain(value: object) -> Plain:
    if type(value) is str or value is None:  # most of it is
        return value
    if type(value) is dict:
        return _plain_object(value)
    match value:
        case None | bool() | str():
            return value
        case datetime():
            return wire_time(value)
        case int():
            if abs(value) > _LIMIT:
                raise ValueError(f"integer {value} is beyond ±(2^53 - 1)")
            return value
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            raise ValueError(f"{type(value).__name__} has no canonical form")


def _plain_object(value: dict[str, Any]) -> Plain:
    """In place: `to_builtins` has made every container anew, so it is nobody else's."""
    if not _are_ascii(value):
        raise ValueError(f"a key of {[*value]!a} is not ASCII text")
    for key, item in value.items():
        if type(item) is not str and item is not None:
            value[key] = _plain(item)
    return value


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
