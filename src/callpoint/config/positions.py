"""On which line each key of a TOML text stands: `tomllib` reads values and forgets places.

This is a finder, not a parser: it walks text that `tomllib` has accepted, or has refused for a
key written twice. Values are skipped over, except that keys inside inline tables and items of
arrays get their own lines.
"""

import re
import tomllib
from dataclasses import dataclass, field
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Keys and array indices from the top of the file, e.g. ``("eligibilities", "x", "who", 0)``."""

MAX_DEPTH = 12
"""Nothing that we read nests deeper than five, and `tomllib` recurses."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'''"""(?:\\[\s\S]|[^\\])*?"{3,5}|"(?:\\.|[^"\\\n])*"|'''  # basic: with escapes
    r"""'''[\s\S]*?'{3,5}|'[^'\n]*'"""  # literal
)
_SCALAR = re.compile(r"[^,\]}\n#]+")


@dataclass(slots=True)
class Lines:
    """Where keys stand.

    Attributes:
        first: 1-based line of each key, table and array item.
        twice: Path, first line and second line of what is written twice.
        too_deep: Line on which brackets nest deeper than ``MAX_DEPTH``; the rest was not read.
    """

    first: dict[Path, int] = field(default_factory=dict)
    twice: list[tuple[Path, int, int]] = field(default_factory=list)
    too_deep: int | None = None


def find_lines(text: str) -> Lines:
    """Find every key of a text that `tomllib` accepts; of another text, as far as it is sound."""
    finder = _Finder(text.replace("\r\n", "\n"))
    try:
        finder.document()
    except _TooDeepError:
        finder.lines.too_deep = finder.line_here()
    except _LostError:
        pass  # tomllib refuses the same text and says why; what was found so far is right
    return finder.lines


def dotted(path: Path) -> str:
    """A path as a person writes it: ``eligibilities.orders-repair.who[0]``."""
    words = ""
    for part in path:
        if isinstance(part, int):
            words += f"[{part}]"
        else:
            spelt = part if _BARE.fullmatch(part) else f'"{part[:64]}"'
            words += f".{spelt}" if words else spelt
    return words


class _LostError(Exception):
    """The text is not TOML from here on."""


class _TooDeepError(Exception):
    """Going on would recurse without bound."""


class _Finder:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines = Lines()
        self._counted, self._line = 0, 1
        self._explicit: set[Path] = set()
        self._tables: dict[Path, int] = {}
        self._depth = 0

    def document(self) -> None:
        around: Path = ()
        while self._skip(_BLANK):
            if self._sees("["):
                around = self._header()
            else:
                self._pair(around)

    def _header(self) -> Path:
        line = self.line_here()
        many = self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        path = self._in_arrays(self._key())
        self._expect("]]" if many else "]")
        if many:
            number = self._tables.get(path, -1) + 1
            self._tables[path] = number
            self.lines.first.setdefault(path, line)
            path = (*path, number)
        self._note(path, line, whole=True)
        return path

    def _in_arrays(self, keys: Path) -> Path:
        """``[a.b]`` below ``[[a]]`` means the last ``a``: put its number into the path."""
        path: Path = ()
        for position, key in enumerate(keys):
            path = (*path, key)
            if position < len(keys) - 1 and path in self._tables:
                path = (*path, self._tables[path])
        return path

    def _pair(self, around: Path) -> None:
        line = self.line_here()
        keys = self._key()
        for end in range(1, len(keys)):
            self.lines.first.setdefault((*around, *keys[:end]), line)
        path = (*around, *keys)
        self._note(path, line, whole=True)
        self._expect("=")
        self._value(path)

    def _note(self, path: Path, line: int, *, whole: bool) -> None:
        if whole and path in self._explicit:
            self.lines.twice.append((path, self.lines.first[path], line))
        self._explicit.add(path)
        self.lines.first.setdefault(path, line)

    def _key(self) -> Path:
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            if self._sees('"') or self._sees("'"):
                parts.append(_unquoted(self._match(_STRING)))
            else:
                parts.append(self._match(_BARE))
            self._skip(_SPACE)
            if not self._sees("."):
                return tuple(parts)
            self.at += 1

    def _value(self, path: Path) -> None:
        self._skip(_SPACE)
        if self._sees("[") or self._sees("{"):
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise _TooDeepError
            (self._array if self._sees("[") else self._inline_table)(path)
            self._depth -= 1
        elif self._sees('"') or self._sees("'"):
            self._match(_STRING)
        else:
            self._match(_SCALAR)

    def _array(self, path: Path) -> None:
        self.at += 1
        number = 0
        while self._skip(_BLANK) and not self._sees("]"):
            item = (*path, number)
            self.lines.first.setdefault(item, self.line_here())
            self._value(item)
            number += 1
            self._skip(_BLANK)
            if self._sees(","):
                self.at += 1
        self._expect("]")

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        while self._skip(_BLANK) and not self._sees("}"):
            self._pair(path)
            self._skip(_BLANK)
            if self._sees(","):
                self.at += 1
        self._expect("}")

    def _skip(self, what: re.Pattern[str]) -> bool:
        """Pass over it; whether anything is left."""
        if found := what.match(self.text, self.at):
            self.at = found.end()
        return self.at < len(self.text)

    def _sees(self, mark: str) -> bool:
        return self.text.startswith(mark, self.at)

    def _expect(self, mark: str) -> None:
        if not self._sees(mark):
            raise _LostError
        self.at += len(mark)

    def _match(self, what: re.Pattern[str]) -> str:
        found = what.match(self.text, self.at)
        if found is None:
            raise _LostError
        self.at = found.end()
        return found.group()

    def line_here(self) -> int:
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._line


def _unquoted(key: str) -> str:
    """A quoted key without its quotes and escapes."""
    try:
        (name,) = tomllib.loads(f"{key} = 0")
    except ValueError as error:
        raise _LostError from error
    return name
