"""Words that somebody else chose."""

import pytest

from callpoint.domain.untrusted import printable


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
