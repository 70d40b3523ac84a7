"""Reads a body as I-JSON (RFC 7493), which AuthZEN asks for.

Two readers must not understand one body differently, so what JSON leaves open is refused: a member
that is there twice, bytes that are not UTF-8, half a surrogate pair, a number beyond a double.
"""

import json
import math
from typing import Any, NoReturn, TypeAlias

from callpoint.domain.errors import RequestError
from callpoint.domain.untrusted import printable

Object: TypeAlias = dict[str, Any]

MAX_DEPTH = 32
"""Objects and arrays in each other; whatever means something here lies at most five deep."""


def read_object(body: bytes) -> Object:
    """The object that the body is.

    Raises:
        RequestError: It is not I-JSON, not an object, or nested too deeply.
    """
    try:
        found = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise RequestError("the body is not UTF-8") from error
    except RecursionError as error:
        raise RequestError("the body is nested too deeply") from error
    except ValueError as error:
        # Of a syntax error: where it is. Of an integer too long to be read: that.
        raise RequestError(f"the body is not JSON: {printable(str(error))}") from error
    if not isinstance(found, dict):
        raise RequestError("the body is not a JSON object")
    _must_be_plain(found)
    return found


def _unique(pairs: list[tuple[str, Any]]) -> Object:
    found: Object = {}
    for name, value in pairs:
        if name in found:
            raise RequestError(f"member {printable(name)!r} is there twice")
        found[name] = value
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _must_be_plain(value: Any) -> None:  # noqa: ANN401 -- any JSON value
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        found, depth = waiting.pop()
        if depth > MAX_DEPTH and isinstance(found, dict | list):
            raise RequestError("the body is nested too deeply")
        match found:
            case dict():
                waiting += [(part, depth + 1) for pair in found.items() for part in pair]
            case list():
                waiting += [(part, depth + 1) for part in found]
            case str():
                _must_be_text(found)
            case float() if not math.isfinite(found):
                raise RequestError("a number is beyond what a double holds")
            case _:
                pass


def _must_be_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RequestError("a string holds half a surrogate pair") from error
