"""Words that somebody else chose, made fit to be shown and logged (I14)."""

MAX_SHOWN = 200
"""Default length, in characters: a line on a narrow terminal, twice."""

_CUT = "…"


def printable(text: str, limit: int = MAX_SHOWN) -> str:
    """One line of at most ``limit`` visible characters.

    Whatever could move a cursor, end a line, reverse the reading order or hide (control, format,
    surrogate and unassigned characters, and separators other than the space) is written as an
    escape; what is too long ends in an ellipsis.
    """
    # Cut before escaping too, so that the work is bounded by the limit and not by the text.
    head = text[: limit + 1]
    shown = head if head.isprintable() else "".join(map(_escaped, head))
    return shown if len(shown) <= limit else shown[: limit - len(_CUT)] + _CUT


def _escaped(character: str) -> str:
    is_visible = character.isprintable()
    return character if is_visible else character.encode("unicode_escape").decode()


def bounded(text: str, size: int) -> str:
    """One printable line of at most ``size`` bytes, for what must fit into one log entry."""
    return printable(text, size).encode()[:size].decode(errors="ignore")
