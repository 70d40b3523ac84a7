"""Kinds of value: how each is read, what it says of itself in messages and documents.

A reader never raises: it notes each problem with its place and answers ``BAD``. No message repeats
a value that could be a secret (I14).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum, StrEnum
from typing import Final

from callpoint.config.document import Problems, closest
from callpoint.config.positions import Path
from callpoint.domain.allowance import Rate
from callpoint.domain.configuration import GROUP
from callpoint.domain.eligibility import Opening, parse_opening
from callpoint.domain.errors import RequestError
from callpoint.domain.ids import parse_name
from callpoint.domain.public_key import weakness
from callpoint.domain.span import format_span, parse_span

_ENV = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_HEX = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[!-~]{1,100}")
_COUNT = re.compile(r"[1-9][0-9]{0,8}")
_SHOWN = 60
WILDCARDS = frozenset("*?%")


class _Mark(Enum):
    BAD = "bad"
    REQUIRED = "required"


BAD: Final = _Mark.BAD
"""What a reader answers when it noted a problem."""
REQUIRED: Final = _Mark.REQUIRED
"""The default of a key that must be written."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value.

    Attributes:
        says: In a sentence after "should be", with its limits.
        read: The typed value, or BAD after noting why.
    """

    says: str
    read: Callable[[object, Path, Problems], object]


def type_name(value: object) -> str:
    """What TOML calls it."""
    match value:
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int():
            return "an integer"
        case float():
            return "a float"
        case list():
            return "an array"
        case dict():
            return "a table"
        case datetime() | date() | time():
            return "a date or time"
        case _:
            return "something else"


def quoted(value: str) -> str:
    """A value for a message, shortened."""
    return repr(value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…")


def _of_text(says: str, parse: Callable[[str, Path, Problems], object]) -> Kind:
    def read(value: object, path: Path, problems: Problems) -> object:
        if not isinstance(value, str):
            problems.add(path, f"is {type_name(value)}", f"write {says}")
            return BAD
        return parse(value, path, problems)

    return Kind(says, read)


def matching(says: str, pattern: re.Pattern[str], *, secret: bool = False) -> Kind:
    """Text of one form; a ``secret`` one is never repeated."""

    def parse(value: str, path: Path, problems: Problems) -> object:
        if pattern.fullmatch(value):
            return value
        shown = "has another form" if secret else f"{quoted(value)} has another form"
        problems.add(path, shown, f"write {says}")
        return BAD

    return _of_text(says, parse)


def span(low: timedelta, high: timedelta) -> Kind:
    """A span within limits."""
    says = f"a span from {format_span(low)} to {format_span(high)}, such as {_example(low, high)}"

    def parse(value: str, path: Path, problems: Problems) -> object:
        try:
            found = parse_span(value)
        except ValueError as error:
            problems.add(path, str(error), f"write {says}")
            return BAD
        if low <= found <= high:
            return found
        problems.add(path, f"{value} is out of limits", f"write {says}")
        return BAD

    return _of_text(says, parse)


def _example(low: timedelta, high: timedelta) -> str:
    examples = (timedelta(minutes=30), timedelta(hours=24), timedelta(days=90), low)
    return f'"{format_span(next(e for e in examples if low <= e <= high))}"'


def integer(low: int, high: int) -> Kind:
    """A whole number within limits."""
    says = f"an integer from {low} to {high}"

    def read(value: object, path: Path, problems: Problems) -> object:
        if isinstance(value, bool) or not isinstance(value, int):
            problems.add(path, f"is {type_name(value)}", f"write {says}")
            return BAD
        if low <= value <= high:
            return value
        problems.add(path, f"{str(value)[:20]} is out of limits", f"write {says}")
        return BAD

    return Kind(says, read)


def _read_boolean(value: object, path: Path, problems: Problems) -> object:
    if isinstance(value, bool):
        return value
    problems.add(path, f"is {type_name(value)}", "write true or false")
    return BAD


BOOLEAN = Kind("true or false", _read_boolean)


def choice(options: type[StrEnum] | tuple[str, ...]) -> Kind:
    """One word of a closed list."""
    table = {str(o): o for o in options}
    says = "one of " + ", ".join(f'"{word}"' for word in table)

    def parse(value: str, path: Path, problems: Problems) -> object:
        if value in table:
            return table[value]
        problems.add(path, f"{quoted(value)} is not a choice", closest(value, table))
        return BAD

    return _of_text(says, parse)


def _parse_title(value: str, path: Path, problems: Problems) -> object:
    if 0 < len(value) <= 100 and value.isprintable():  # noqa: PLR2004 -- a line on a screen
        return value
    problems.add(path, "is empty, too long or not printable", "write 1 to 100 printable characters")
    return BAD


TITLE = _of_text("1 to 100 printable characters", _parse_title)


def read_name(text: str, path: Path, problems: Problems, what: str = "name") -> object:
    """A configured name, with its own words for a wildcard."""
    if WILDCARDS & set(text):
        problems.add(path, f"{quoted(text)} is a wildcard", "list each name: access is never open")
        return BAD
    try:
        return parse_name(text, what)
    except RequestError as error:
        problems.add(path, error.message, error.way_out)
        return BAD


NAME = _of_text("a name (a-z, 0-9, . _ -)", read_name)


def _parse_subject(value: str, path: Path, problems: Problems) -> object:
    bare = value.removeprefix(GROUP)
    return value if read_name(bare, path, problems, "group or principal") is not BAD else BAD


SUBJECT = _of_text('"group:NAME" or the name of a principal', _parse_subject)


def _parse_group(value: str, path: Path, problems: Problems) -> object:
    if not value.startswith(GROUP):
        problems.add(path, f"{quoted(value)} is not a group", 'write "group:NAME"')
        return BAD
    return _parse_subject(value, path, problems)


GROUP_NAME = _of_text('"group:NAME"', _parse_group)


def _parse_opening(value: str, path: Path, problems: Problems) -> object:
    if WILDCARDS & set(value):
        problems.add(path, f"{quoted(value)} is a wildcard", "list each target:role")
        return BAD
    try:
        found: Opening = parse_opening(value)
    except ValueError:
        problems.add(path, f"{quoted(value)} is not target:role", 'write "TARGET:ROLE"')
        return BAD
    return found


OPENING = _of_text('"TARGET:ROLE"', _parse_opening)


def _parse_key(value: str, path: Path, problems: Problems) -> object:
    if why := weakness(value):
        problems.add(
            path,
            f"is no Ed25519 public key: {why}",
            "run `callpoint keygen NAME` and paste the line that it prints",
        )
        return BAD
    return value


PUBLIC_KEY = _of_text("an Ed25519 public key in base64, from `callpoint keygen`", _parse_key)
SHA256 = matching("64 lower-case hex digits (`sha256sum` of the token)", _HEX, secret=True)
WORD = matching("1 to 100 visible ASCII characters", _WORD)
PATH = matching("an absolute path, at most 500 characters", re.compile(r"/[^\x00-\x1f\x7f]{0,499}"))
ADDRESS = matching(
    "an address such as https://callpoint.example, without query",
    re.compile(r"https?://[!-\"$-;=@-~]{1,200}"),
)


def _read_env(value: object, path: Path, problems: Problems) -> object:
    if isinstance(value, dict) and set(value) == {"env"}:
        name = value["env"]
        if isinstance(name, str) and _ENV.fullmatch(name):
            return name
        problems.add(
            (*path, "env"),
            "does not name an environment variable",
            "write its name in capitals, such as ORDERS_BROKER_DSN; the value stays outside",
        )
        return BAD
    if isinstance(value, dict):
        problems.add(path, "may only hold the key env", 'write { env = "NAME" }')
        return BAD
    problems.add(
        path,
        "a secret is written out here",
        'write { env = "NAME" } and set that variable for the server; '
        "change the secret if this file was shared",
    )
    return BAD


SECRET = Kind('{ env = "NAME" }: the environment variable that holds it', _read_env)


def _parse_rate(value: str, path: Path, problems: Problems) -> object:
    count, per, length = value.partition(" per ")
    try:
        found = Rate(int(count), parse_span(length)) if per and _COUNT.fullmatch(count) else None
    except ValueError:
        found = None
    if found is None or not timedelta(seconds=1) <= found.per <= timedelta(hours=24):
        problems.add(path, f"{quoted(value)} is no rate", f"write {RATE.says}")
        return BAD
    return found


RATE = _of_text('a rate such as "60 per 1m", within at most 1d', _parse_rate)


def array(of: Kind, *, empty: str = "", most: int = 200) -> Kind:
    """A list without repetition; ``empty`` is what to do when there is nothing in it."""
    says = f"a list; each {of.says}"

    def read(value: object, path: Path, problems: Problems) -> object:
        if not isinstance(value, list):
            problems.add(path, f"is {type_name(value)}", f"write {says}")
            return BAD
        if not value or len(value) > most:
            problems.add(
                path,
                f"has more than {most} items" if value else "is empty",
                "split it" if value else empty or "write at least one, or leave the key out",
            )
            return BAD
        items = [of.read(item, (*path, n), problems) for n, item in enumerate(value)]
        for n, item in enumerate(items):
            if item is not BAD and item in items[:n]:
                problems.add((*path, n), "is listed twice", "keep one of them")
                return BAD
        return BAD if BAD in items else tuple(items)

    return Kind(says, read)


def mapping(key: Kind, value: Kind, *, empty: str = "") -> Kind:
    """A table with keys of the writer's choice."""
    says = f"a table; each key {key.says}, each value {value.says}"

    def read(raw: object, path: Path, problems: Problems) -> object:
        if not isinstance(raw, dict):
            problems.add(path, f"is {type_name(raw)}", f"write {says}")
            return BAD
        if empty and not raw:
            problems.add(path, "is empty", empty)
            return BAD
        return _all_good(
            {
                name: value.read(item, (*path, name), problems)
                for name, item in raw.items()
                if key.read(name, (*path, name), problems) is not BAD
            },
            raw,
        )

    return Kind(says, read)


def _all_good(found: Mapping[str, object], raw: Mapping[str, object]) -> object:
    return BAD if len(found) < len(raw) or BAD in found.values() else dict(found)
