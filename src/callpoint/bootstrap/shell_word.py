"""A path in a command that a person copies into a shell."""

from pathlib import PurePath
from shlex import quote


def shell_word(path: PurePath | str) -> str:
    """The path as one word: quoted where a space would cut it, as it is otherwise."""
    return quote(str(path))
