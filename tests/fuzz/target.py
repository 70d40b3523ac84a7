"""What a target must offer, and which there are."""

import importlib
import pkgutil
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeAlias

from tests.fuzz import targets

CORPUS = Path(__file__).parent / "corpus"

Check: TypeAlias = Callable[[bytes], str]
"""Try one case: what came of it, in a word or two, or FoundError.

Cases with a new word are mutated further, so a target says what it tells apart (a status, a kind
of error), never something that is different each time.
"""


class FoundError(AssertionError):
    """Something that must hold did not."""


class Target(Protocol):
    """One thing that reads what strangers send."""

    @property
    def words(self) -> tuple[bytes, ...]:
        """Tokens of its language, for mutations."""
        ...

    @property
    def session(self) -> int:
        """After so many cases it is opened anew, because it remembers them; it decides alike."""
        ...

    def make(self, chance: random.Random) -> bytes:
        """A case as it should be, more or less."""
        ...

    def open(self) -> AbstractContextManager[Check]:
        """Ready to be tried. Any other exception than FoundError is a finding as well."""
        ...


def names() -> tuple[str, ...]:
    """Every target, by the name of its file."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(targets.__path__)))


def target(name: str) -> Target:
    """The target of that name."""
    found: Target = importlib.import_module(f"{targets.__name__}.{name}").TARGET
    return found


def kept(name: str, corpus: Path = CORPUS) -> Iterator[Path]:
    """Cases that were found once, or written by hand."""
    yield from sorted(path for path in (corpus / name).glob("*") if path.is_file())
