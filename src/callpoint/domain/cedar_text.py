"""Cedar text cut into statements, so that two policy sets can be compared: not a parser.

Comments and spacing fall away; what is left of a statement is compared as a whole. Text that this
cutter does not fully understand is refused rather than guessed at, because a comment mistaken for
code, or code for a comment, would hide a policy from the governors.
"""

import re

import msgspec

_TOKEN = re.compile(
    r'(?P<string>"(?:\\[^\r\n]|[^"\\])*")'
    r"|(?P<comment>//[^\r\n]*)"
    r"|(?P<space>[ \t\r\n]+)"
    r"|(?P<code>[A-Za-z_][A-Za-z0-9_]*|[0-9]+|==|!=|<=|>=|&&|\|\||::|[-+*(){}\[\],;:.@!<>=?])",
    re.ASCII,
)
# Arithmetic, and the methods of dates: what strict validation cannot prove free of overflow.
_OBLIGES = re.compile(r"@\s*oblige\b")
_CALCULATES = re.compile(r" [-+*] |\b(?:offset|durationSince|toDate|toTime)\b")
_EFFECTS = ("permit", "forbid")


class Statement(msgspec.Struct, frozen=True):
    """One policy.

    Attributes:
        effect: ``permit`` or ``forbid``.
        text: All of it, annotations included, in one spelling.
        id: Its ``@id``, or empty.
    """

    effect: str
    text: str
    id: str = ""

    @property
    def may_fail(self) -> bool:
        """Whether it calculates: an overflow at run time is an error, and an error denies (I11)."""
        return _CALCULATES.search(_without_strings(self.text)) is not None

    @property
    def obliges(self) -> bool:
        """Whether it says what must be done for its yes to count; a string that reads so counts."""
        return _OBLIGES.search(self.text) is not None


def split_policies(text: str) -> tuple[Statement, ...]:
    """The statements of a file, in order.

    Raises:
        ValueError: The text is not understood to the last character.
    """
    found: list[Statement] = []
    tokens: list[str] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"unexpected {text[at]!r} in a policy")
        at = match.end()
        if match.lastgroup in {"string", "code"}:
            tokens.append(match.group())
        elif match.lastgroup == "comment" and not match.group().replace("\t", " ").isprintable():
            raise ValueError("a comment holds an unprintable character")
        if tokens and tokens[-1] == ";":
            found.append(_statement(tokens))
            tokens = []
    if tokens:
        raise ValueError("the last policy has no semicolon")
    return tuple(found)


def _statement(tokens: list[str]) -> Statement:
    """``@name("…")`` any number of times, then the effect."""
    at, name = 0, ""
    while tokens[at : at + 1] == ["@"]:
        if tokens[at + 2 : at + 3] == ["("]:
            if tokens[at + 1] == "id":
                name = _plain(tokens[at + 3])
            at += 5
        else:
            at += 2
    if at >= len(tokens) or tokens[at] not in _EFFECTS:
        raise ValueError("a statement is neither permit nor forbid")
    return Statement(effect=tokens[at], text=" ".join(tokens), id=name)


def _plain(string: str) -> str:
    """What is between the quotes. Cedar's escapes are not read here, so there must be none."""
    if "\\" in string:
        raise ValueError("an @id holds an escape")
    return string.strip('"')


def _without_strings(text: str) -> str:
    return re.sub(r'"(?:\\.|[^"\\])*"', '""', text)
