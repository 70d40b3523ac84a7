"""What is refused before the parser sees it.

libpg_query is PostgreSQL's own parser, made for one backend whose crash the server survives. Here a
crash would end every session. Measured with libpg_query 18 (postgast 0.2): chains such as
`1+1+1…` are quadratic (20,000 links: 2.8 s) and end the process at 200,000; so are nested comments
(20,000: 10 s) and runs of operator characters (60,000: 24 s for the scanner alone). So a pass of
our own, linear and without the scanner, comes first; only what it lets through is scanned.
"""

import re
from collections.abc import Iterable, Sequence

from postgast import scan

from callpoint.domain.errors import DeniedError

MAX_BYTES = 65_536
MAX_COMMENTS = 32
MAX_OPERATOR_RUN = 128
MAX_TOKENS_IN_A_ROW = 2_048
SHORT_BYTES = 512
"""Texts up to here cannot hold a chain that hurts, and are not scanned."""

_LONG_RUN = re.compile(rf"[-+*/<>=~!@#%^&|`?]{{{MAX_OPERATOR_RUN + 1}}}")
_OPENS, _CLOSES = (ord("("), ord("[")), (ord(")"), ord("]"))
_SEPARATES = (ord(","), ord(";"))


Token = tuple[int, int, int]
"""Where a word begins and ends, in bytes of UTF-8, and what it is (`pg_query_pb2.Token`)."""


def check(text: str, *, utf8: bool) -> Sequence[Token] | None:
    """Refuse what the parser must not see.

    Args:
        text: What the client sent.
        utf8: Whether the server's encoding is UTF8. With another one, names beyond ASCII are
            folded and cut by rules that the parser here does not have.

    Returns:
        Its words, if they had to be looked at.

    Raises:
        DeniedError: It is too long, too deep, or no text that parser and server read alike.
    """
    _check_characters(text, utf8=utf8)
    size = len(text.encode())
    if size > MAX_BYTES:
        raise _refused(f"{size} bytes are more than {MAX_BYTES}", "send it in parts, or use COPY")
    if text.count("/*") > MAX_COMMENTS:
        raise _refused(f"it opens more than {MAX_COMMENTS} comments", "send it without comments")
    if _LONG_RUN.search(text):
        raise _refused(
            f"it has more than {MAX_OPERATOR_RUN} operator characters in a row",
            "shorten rulers and comments made of them",
        )
    if size <= SHORT_BYTES:
        return None
    tokens = scanned(text)
    _check_tokens(kind for _, _, kind in tokens)
    return tokens


def scanned(text: str) -> Sequence[Token]:
    """The words of a text.

    Raises:
        DeniedError: The scanner cannot read it.
    """
    try:
        return [(token.start, token.end, token.token) for token in scan(text).tokens]
    except Exception as error:  # whatever a parser of others raises is a refusal
        raise _refused("the scanner cannot read it", "check quotes and comments") from error


def _check_characters(text: str, *, utf8: bool) -> None:
    if "\0" in text:
        raise _refused("it has a NUL character", "send it without")
    if not text.isascii():
        if not utf8:
            raise _refused("the server's encoding is not UTF8", "send ASCII, and values beside it")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise _refused("it is no valid UTF-8", "send valid UTF-8") from error


def _check_tokens(kinds: Iterable[int]) -> None:
    """Bound how many tokens can hang together: since the last comma, over all open brackets."""
    open_rows: list[int] = []
    row = hanging = 0
    for kind in kinds:
        row += 1
        hanging += 1
        if hanging > MAX_TOKENS_IN_A_ROW:
            raise _refused(
                f"more than {MAX_TOKENS_IN_A_ROW} words hang together without a comma",
                "use a list (IN, VALUES) or a table instead of a chain",
            )
        if kind in _OPENS:
            open_rows.append(row)
            row = 0
        elif kind in _CLOSES and open_rows:
            hanging -= row
            row = open_rows.pop()
        elif kind in _SEPARATES:
            hanging -= row
            row = 0


def _refused(reason: str, way_out: str) -> DeniedError:
    return DeniedError(f"this statement is not read: {reason}", way_out=way_out)
