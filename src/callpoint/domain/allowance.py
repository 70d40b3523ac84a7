"""How much one activation may do through gateways, and how much of it is spent.

A budget of rarity counts incidents (``eligibility.BudgetRule``); an allowance counts what is done
inside one activation, over all its sessions, gateways and nodes (R18).
"""

from datetime import timedelta

import msgspec

from callpoint.domain.span import format_span

_MOST = 10**15


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most so many actions within any span of that length."""

    actions: int
    per: timedelta

    def __str__(self) -> str:
        return f"{self.actions} per {format_span(self.per)}"


class Allowance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an activation may spend; None does not restrict.

    Attributes:
        actions: Statements, commands, calls.
        rows: Rows (or lines, or items) that reach the actor or are taken in from it.
        bytes: Of what reaches the actor or is taken in from it.
        objects: Distinct objects that are touched.
        destructive: Actions with a verb of ``operation.DESTRUCTIVE``.
        rate: Actions within a sliding span.
    """

    actions: int | None = None
    rows: int | None = None
    bytes: int | None = None
    objects: int | None = None
    destructive: int | None = None
    rate: Rate | None = None


class Portion(msgspec.Struct, frozen=True):
    """What one action may let through before it asks for more; None does not restrict."""

    rows: int | None = None
    bytes: int | None = None

    def credible(self) -> "Portion":
        """As far as it can be (``Used.credible``), where a gateway says it."""
        return Portion(
            rows=None if self.rows is None else countable(self.rows),
            bytes=None if self.bytes is None else countable(self.bytes),
        )


class Used(msgspec.Struct, frozen=True):
    """What one action really let through."""

    rows: int = 0
    bytes: int = 0

    def credible(self) -> "Used":
        """As far as it can be: who reports less than nothing would be given back what others spent.

        More than any allowance can have is spent as ever, and stays a number that can be logged.
        """
        return Used(countable(self.rows), countable(self.bytes))


def countable(count: int) -> int:
    """A count, or a sum of some, as it can be stored: no number of anybody makes it overflow."""
    return min(max(count, 0), _MOST)
