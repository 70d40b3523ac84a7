"""Any text at all is read, or refused with a place: never anything else."""

import tomllib
from collections.abc import Iterator

from hypothesis import example, given, settings
from hypothesis import strategies as st

from callpoint.config.document import parse_document
from callpoint.config.positions import find_lines
from callpoint.config.reader import read_configuration
from callpoint.domain.errors import ConfigError, ConfigErrors
from tests.fakes import orders


def errors_of(raw: bytes | str) -> tuple[ConfigError, ...]:
    try:
        read_configuration([parse_document(raw, "f")])
    except ConfigErrors as errors:
        return errors.errors
    except ConfigError as error:
        return (error,)
    return ()


def check_answer(raw: bytes | str) -> None:
    for error in errors_of(raw):
        assert error.file == "f"
        assert error.line is not None
        assert error.line >= 1
        assert error.message
        assert error.way_out


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
@settings(max_examples=300)
def test_arbitrary_text(raw: bytes | str):
    """Random bytes and text raise nothing but ConfigError."""
    check_answer(raw)


FRAGMENTS = (
    *orders.text().splitlines(keepends=True),
    *("[", "]", "{", "}", '"', "'''", '"""', "=", ".", ",", "\n", "#", "*", "\\", "\r", "\ufeff"),
    *("0x", "nan", "1e9", "1979-05-27", "true", "[[persons]]", "key = [", "a.b.c = 1\n"),
)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join))
@example('[persons]\n"\\ud800" = 1')
@example("[[persons]]\n[persons.a]\n")
@settings(max_examples=300)
def test_shuffled_lines(text: str):
    """Lines of a real file in any order, with stray marks, raise nothing but ConfigError."""
    check_answer(text)


@st.composite
def bent_examples(draw: st.DrawFn) -> str:
    """The example with a few pieces cut out, doubled or overwritten."""
    text = orders.text()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(start + draw(st.integers(0, 30)), len(text))
        piece = draw(st.sampled_from(("", text[start:end] * 2, "*", "0", '""', "[]", "{}", "\x00")))
        text = text[:start] + piece + text[end:]
    return text


@given(bent_examples())
@settings(max_examples=200)
def test_bent_examples(text: str):
    """A damaged file raises nothing but ConfigError."""
    check_answer(text)


def paths_of(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    match value:
        case dict():
            for key, item in value.items():
                yield (*path, key)
                yield from paths_of(item, (*path, key))
        case list():
            for number, item in enumerate(value):
                yield (*path, number)
                yield from paths_of(item, (*path, number))
        case _:
            pass


@given(st.one_of(bent_examples(), st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join)))
@settings(max_examples=300)
def test_every_key_has_a_line(text: str):
    """Whatever `tomllib` reads, each key and item that it found has a line in the text."""
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError):
        return
    lines = find_lines(text)
    if lines.too_deep is None:
        tables = {path[:n] for path in lines.first for n in range(1, len(path))}
        assert set(paths_of(data)) == set(lines.first) | tables
        assert not lines.twice
