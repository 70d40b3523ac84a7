"""One line that differs between two configurations."""

import msgspec


class Change(msgspec.Struct, frozen=True):
    """A difference.

    Attributes:
        key: Dotted key as in the file, or the policy's file and id.
        widens: Whether it gives, or may give, somebody more.
        text: What it was and is.
    """

    key: str
    widens: bool
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"
