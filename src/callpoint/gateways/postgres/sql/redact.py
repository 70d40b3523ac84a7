"""What may be recorded of a statement: its words without its values and comments."""

from collections.abc import Sequence

from postgast import parse
from postgast import pg_query_pb2 as pb

from callpoint.gateways.postgres.sql import limits

LONGEST = 2_048
"""Characters of a redacted statement that are kept; a list of values has no end otherwise."""

_VALUES = (pb.SCONST, pb.USCONST, pb.BCONST, pb.XCONST, pb.ICONST, pb.FCONST)
_COMMENTS = (pb.SQL_COMMENT, pb.C_COMMENT)
_ASSIGNS = (ord("="), pb.TO)
_SEPARATES = ord(";")


def redact(text: str) -> str:
    """A whole text for the record, also one that was refused; empty if it is no SQL.

    A text that does not parse may be a password typed at the wrong prompt, so nothing of it is
    kept.
    """
    try:
        tokens = limits.check(text, utf8=True)
        parse(text)
        return _words(text.encode(), tokens or limits.scanned(text))
    except Exception:  # noqa: BLE001 -- whatever a parser of others raises: nothing is kept
        return ""


def redact_statements(
    text: str, places: Sequence[tuple[int, int]], tokens: Sequence[limits.Token] | None
) -> list[str]:
    """Each statement of a text that parses, for the record.

    Args:
        text: All of it.
        places: Where each begins and ends, in bytes of UTF-8.
        tokens: Its words, if they are known.

    Raises:
        DeniedError: The scanner cannot read it.
    """
    whole = text.encode()
    words = tokens or limits.scanned(text)
    found = []
    at = 0
    for begin, end in places:
        while at < len(words) and words[at][0] < begin:
            at += 1
        last = at
        while last < len(words) and words[last][0] < end:
            last += 1
        found.append(_words(whole, words[at:last]))
        at = last
    return found


def _words(whole: bytes, tokens: Sequence[limits.Token]) -> str:
    kept: list[str] = []
    length = 0
    first, is_set, is_hidden = True, False, False
    before = -1
    for start, end, kind in tokens:
        if kind in _COMMENTS or (is_hidden and kind != _SEPARATES):
            continue
        word = "?" if kind in _VALUES else whole[start:end].decode()
        if kept and before != start:
            word = " " + word
        is_set = kind == pb.SET if first else is_set
        is_hidden = is_set and kind in _ASSIGNS  # a value of SET may be a bare word
        word += " ?" if is_hidden else ""
        first = kind == _SEPARATES
        kept.append(word)
        length += len(word)
        before = end
        if length > LONGEST:
            kept.append(" …")
            break
    return "".join(kept)[: LONGEST + 2]
