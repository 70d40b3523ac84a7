"""A deed that was allowed and runs: what it may still let through, and how it ended."""

from dataclasses import dataclass
from math import inf

from callpoint.domain.allowance import Portion, Used


@dataclass(slots=True, eq=False)
class Running:
    """One execution. Rows are counted exactly; a byte budget may be overrun by one message.

    Attributes:
        number: Of the deed within its session.
        began: Monotonic seconds.
        rows: Let through.
        bytes: Likewise, of messages with rows.
        row_limit: How many rows may pass before more is asked for.
        byte_limit: Likewise.
        alters: It changes the catalogue.
        takes_rows: The target will ask for rows (COPY … FROM STDIN).
        is_over: It was reported.
    """

    number: int
    began: float
    row_limit: float
    byte_limit: float
    alters: bool = False
    takes_rows: bool = False
    rows: int = 0
    bytes: int = 0
    is_over: bool = False

    @classmethod
    def of_nothing(cls) -> "Running":
        """Of an empty text: nobody was asked, and nobody is told."""
        return cls(number=0, began=0, row_limit=inf, byte_limit=inf, is_over=True)

    @property
    def used(self) -> Used:
        """For the authority."""
        return Used(self.rows, self.bytes)

    @property
    def is_spent(self) -> bool:
        """Whether the next row must wait."""
        return self.rows >= self.row_limit or self.bytes >= self.byte_limit

    def extend(self, portion: Portion) -> bool:
        """Take a further portion; False if there was none: the allowance is spent."""
        self.row_limit += limit(portion.rows)
        self.byte_limit += limit(portion.bytes)
        return not self.is_spent


def limit(amount: int | None) -> float:
    """None does not restrict."""
    return inf if amount is None else amount
