"""Words that somebody else chose."""

import msgspec
import pytest

from callpoint.domain.untrusted import printable
from callpoint.domain.untrusted_json import read_json


class Known(msgspec.Struct):
    """What is expected."""

    name: str


@pytest.mark.parametrize(
    "text,shown",
    [
        ("disk full on orders-db", "disk full on orders-db"),
        ("Größe 🚒", "Größe 🚒"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("pay\u202etxt.exe", "pay\\u202etxt.exe"),
        ("zero\u200bwidth\u2028line\xa0space", "zero\\u200bwidth\\u2028line\\xa0space"),
        ("\ud800", "\\ud800"),
        ("", ""),
    ],
)
def test_what_moves_or_hides_is_escaped(text, shown):
    """Control, format, surrogate and separator characters are escaped, letters are not."""
    assert printable(text) == shown


def test_what_is_too_long_is_cut():
    """A text of any length, escaped or not, has at most the limit, and shows that it was cut."""
    assert printable("x" * 200) == "x" * 200
    assert printable("x" * 201) == "x" * 199 + "…"
    assert printable("\x00" * 10**6, 50) == ("\\x00" * 50)[:49] + "…"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"x":' + b"[" * 100_000,
        b'{"name":"\xff"}',
        b'{"name":"\\ud800"}',
        b'{"name":1e999}',
    ],
)
def test_what_is_wrong_with_json_is_one_kind_of_error(content):
    """Also what is nested without end, and what is no text."""
    with pytest.raises(msgspec.DecodeError):
        read_json(content, Known)
    assert read_json(b'{"name":"a"}', Known) == Known("a")
    assert read_json("null", Known | None) is None
