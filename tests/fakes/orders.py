"""The configuration of ``examples/orders``, which tests read, bend and compare."""

from functools import cache
from pathlib import Path

from callpoint.config.document import parse_document
from callpoint.config.reader import read_configuration
from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import ConfigError, ConfigErrors

DIRECTORY = Path(__file__).parents[2] / "examples" / "orders"
FILE = "callpoint.toml"


@cache
def text() -> str:
    """The file as it is."""
    return (DIRECTORY / FILE).read_text(encoding="utf-8")


@cache
def configuration() -> Configuration:
    """The file, read."""
    return read(text())


def read(toml: str) -> Configuration:
    """Any text, read as that file."""
    return read_configuration([parse_document(toml, FILE)])


def changed(*edits: tuple[str, str]) -> str:
    """The file with pieces replaced; a piece that is not there fails the test."""
    new = text()
    for old, piece in edits:
        assert new.count(old) == 1, f"{old!r} stands {new.count(old)} times in the example"
        new = new.replace(old, piece)
    return new


def errors_of(toml: str) -> tuple[ConfigError, ...]:
    """What is wrong with a text; a sound one fails the test."""
    try:
        read(toml)
    except ConfigErrors as errors:
        return errors.errors
    except ConfigError as error:
        return (error,)
    raise AssertionError("the text was read without an error")


def line_of(toml: str, piece: str) -> int:
    """1-based line of a piece that stands once."""
    assert toml.count(piece) == 1, f"{piece!r} stands {toml.count(piece)} times"
    return toml[: toml.index(piece)].count("\n") + 1
