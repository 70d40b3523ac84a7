"""What one activation has spent of its allowance, over all its sessions, gateways and nodes (R18).

What an action may let through is spent when it is reserved, and given back when the action tells
that it used less: so two that run at once never let through more than what is allowed together.
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import msgspec

from callpoint.domain.allowance import Allowance, Portion, Used, countable
from callpoint.domain.operation import DESTRUCTIVE, Operation
from callpoint.domain.record import Index

ROWS_AT_ONCE = 1_000
BYTES_AT_ONCE = 1 << 20
"""The most that is reserved at a time: what one action holds, another cannot spend."""

_SHARES, _SMALLEST = 4, 64
"""One action reserves no more than a quarter of what is left (but a 64th of the most, if there is
as much): or a second one, which begins before the first has told what it used, would find nothing
left and stop all sessions, although hardly anything was let through."""

_ACTIONS_SHARE, ACTIONS_AT_ONCE = 64, 64
_ROWS_LEAST, _BYTES_LEAST = 16, 16 * 1024
"""A portion out of a stock is worth giving from here on; below it the store is asked."""

_BUCKETS = 20
"""A rate's span is counted in so many parts; a part counts until the whole of it is too old."""


class Counted(msgspec.Struct, frozen=True, array_like=True):
    """Actions that began at ``since`` or soon after."""

    since: datetime
    actions: int


class Stock(msgspec.Struct, frozen=True):
    """What was spent in advance for the next actions of one session; None does not restrict.

    It is spent in the store before the first of them is answered, so handing it out needs no store.
    """

    actions: int | None = 0
    rows: int | None = 0
    bytes: int | None = 0

    def handed_out(self, wanted: Portion) -> tuple["Stock", Portion] | None:
        """One more action, and its portion; None where it does not last for one."""
        rows, of_rows = _out(self.rows, wanted.rows, _ROWS_LEAST)
        size, of_bytes = _out(self.bytes, wanted.bytes, _BYTES_LEAST)
        if self.actions == 0 or of_rows == 0 or of_bytes == 0:
            return None
        actions = None if self.actions is None else self.actions - 1
        return Stock(actions, rows, size), Portion(of_rows, of_bytes)

    def lacking(self, wanted: "Stock") -> "Stock":
        """What is to be added until there is as much as that; None where nothing restricts."""
        return Stock(
            _lacking(self.actions, wanted.actions),
            _lacking(self.rows, wanted.rows),
            _lacking(self.bytes, wanted.bytes),
        )

    def filled(self, more: "Stock") -> "Stock":
        """With that added."""
        return Stock(
            _sum(self.actions, more.actions),
            _sum(self.rows, more.rows),
            _sum(self.bytes, more.bytes),
        )


NO_STOCK = Stock()
ENDLESS = Stock(actions=None, rows=None, bytes=None)
"""Where nothing is restricted."""


class Spending(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stored row, one for an activation whose allowance restricts something.

    Attributes:
        rows: Let through, or reserved.
        bytes: Likewise.
        objects: A short digest of each distinct object; kept only where they are restricted.
        recent: Actions of late, oldest first; kept only where their rate is restricted.
        grants: How often a person let it go on: each time the whole allowance again.
    """

    activation: str
    actions: int = 0
    rows: int = 0
    bytes: int = 0
    destructive: int = 0
    objects: tuple[str, ...] = ()
    recent: tuple[Counted, ...] = ()
    grants: int = 0
    version: int = 0

    def key(self) -> str:
        return self.activation

    def index(self) -> Index:
        return Index(parent=self.activation)

    def stored(self, version: int) -> "Spending":
        return msgspec.structs.replace(self, version=version)

    def exceeded(self, allowance: Allowance, operations: Iterable[Operation], now: datetime) -> str:
        """Which allowance one more action would go beyond, in words; empty for none."""
        return next(self._exceeded(allowance, tuple(operations), now), "")

    def _exceeded(
        self, allowance: Allowance, operations: tuple[Operation, ...], now: datetime
    ) -> Iterator[str]:
        touched = {*self.objects, *_digests(operations)}
        # Of rows and bytes it is not known before how many it will be: one must be left.
        would_be = {
            "actions": (self.actions + 1, allowance.actions),
            "rows": (self.rows + 1, allowance.rows),
            "bytes": (self.bytes + 1, allowance.bytes),
            "distinct objects": (len(touched), allowance.objects),
            "destructive actions": (
                self.destructive + _is_destructive(operations),
                allowance.destructive if _is_destructive(operations) else None,
            ),
        }
        for name, (count, limit) in would_be.items():
            if limit is not None and count > limit * (1 + self.grants):
                yield f"{limit * (1 + self.grants)} {name}"
        rate = allowance.rate
        if rate is not None:
            lately = sum(one.actions for one in self._recent(rate.per, now))
            if lately >= rate.actions:
                yield f"{rate.actions} actions in {rate.per.total_seconds():g} s"

    def acted(
        self, allowance: Allowance, operations: Iterable[Operation], now: datetime
    ) -> "Spending":
        """With one more action."""
        done = tuple(operations)
        objects, recent = self.objects, self.recent
        if allowance.objects is not None:
            objects = tuple(sorted({*objects, *_digests(done)}))
        if allowance.rate is not None:
            recent = self._with_one(allowance.rate.per, now)
        return msgspec.structs.replace(
            self,
            actions=self.actions + 1,
            destructive=self.destructive + _is_destructive(done),
            objects=objects,
            recent=recent,
        )

    def portion(self, allowance: Allowance, wanted: Portion) -> Portion:
        """What may be reserved now of what is left; None where nothing restricts."""
        times = 1 + self.grants
        return Portion(
            rows=_part(allowance.rows, times, self.rows, wanted.rows, ROWS_AT_ONCE),
            bytes=_part(allowance.bytes, times, self.bytes, wanted.bytes, BYTES_AT_ONCE),
        )

    def reserved(self, portion: Portion) -> "Spending":
        """With that reserved."""
        return msgspec.structs.replace(
            self,
            rows=countable(self.rows + (portion.rows or 0)),
            bytes=countable(self.bytes + (portion.bytes or 0)),
        )

    def settled(self, held: Portion, used: Used) -> "Spending":
        """With what was used in the place of what was reserved; None of ``held`` reserved nothing.

        A gateway that let through more than it was given has spent that, too.
        """
        return msgspec.structs.replace(
            self,
            rows=countable(self.rows + used.rows - (held.rows or 0)),
            bytes=countable(self.bytes + used.bytes - (held.bytes or 0)),
        )

    def stock(self, allowance: Allowance) -> Stock:
        """What may be set aside for the next actions of one session, of what is left.

        None of it where a rate counts moments: an action in advance has none yet. Few actions, so
        that what idle sessions hold stops nobody.
        """
        if allowance.rate is not None:
            return NO_STOCK
        times = 1 + self.grants
        actions = None
        if allowance.actions is not None:
            left = max(allowance.actions * times - self.actions, 0)
            actions = min(left // _ACTIONS_SHARE, ACTIONS_AT_ONCE)
        aside = self.portion(allowance, Portion())
        return Stock(actions, aside.rows, aside.bytes)

    def stocked(self, stock: Stock) -> "Spending":
        """With all of it spent."""
        return self._moved_by(stock, 1)

    def unstocked(self, stock: Stock) -> "Spending":
        """With what is left of it given back."""
        return self._moved_by(stock, -1)

    def _moved_by(self, stock: Stock, sign: int) -> "Spending":
        return msgspec.structs.replace(
            self,
            actions=max(self.actions + sign * (stock.actions or 0), 0),
            rows=max(self.rows + sign * (stock.rows or 0), 0),
            bytes=max(self.bytes + sign * (stock.bytes or 0), 0),
        )

    def touches_nothing_new(self, allowance: Allowance, operations: Iterable[Operation]) -> bool:
        """Whether distinct objects are not restricted, or all of these are counted already."""
        return allowance.objects is None or _digests(operations) <= set(self.objects)

    def granted(self) -> "Spending":
        """The whole allowance once more."""
        return msgspec.structs.replace(self, grants=self.grants + 1, recent=())

    def _recent(self, per: timedelta, now: datetime) -> tuple[Counted, ...]:
        """Parts of which an action may be younger than the span."""
        part = per / _BUCKETS
        return tuple(one for one in self.recent if one.since + part + per > now)

    def _with_one(self, per: timedelta, now: datetime) -> tuple[Counted, ...]:
        kept = self._recent(per, now)
        if kept and now < kept[-1].since + per / _BUCKETS:
            return (*kept[:-1], Counted(kept[-1].since, kept[-1].actions + 1))
        return (*kept, Counted(now, 1))


def restricts(allowance: Allowance) -> bool:
    """Whether anything has to be counted at all."""
    return allowance != Allowance()


def _part(
    limit: int | None, times: int, spent: int, wanted: int | None, at_once: int
) -> int | None:
    if limit is None:
        return None
    left = max(limit * times - spent, 0)
    share = max(left // _SHARES, at_once // _SMALLEST)
    return min(left, share, at_once, at_once if wanted is None else max(wanted, 0))


def _lacking(stock: int | None, wanted: int | None) -> int | None:
    return None if wanted is None else max(wanted - (stock or 0), 0)


def _sum(stock: int | None, more: int | None) -> int | None:
    return None if stock is None or more is None else stock + more


def _out(stock: int | None, wanted: int | None, least: int) -> tuple[int | None, int | None]:
    """What is left of a stock, and what goes out of it: a quarter, for others come soon."""
    if stock is None:
        return None, None
    share = max(stock // _SHARES, least) if stock >= least else 0
    out = share if wanted is None else min(share, max(wanted, 0))
    return stock - out, out


def _is_destructive(operations: Iterable[Operation]) -> bool:
    return any(one.verb in DESTRUCTIVE for one in operations)


def _digests(operations: Iterable[Operation]) -> set[str]:
    return {
        hashlib.sha256(one.object.encode(errors="backslashreplace")).hexdigest()[:16]
        for one in operations
        if one.object
    }
