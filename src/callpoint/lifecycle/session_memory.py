"""What a process remembers of a session that it keeps, and of what policy said about it.

It can forget all of it at any time but what waits to be put on record (``Pending``).
"""

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.allowance import Portion, Used
from callpoint.domain.asked import Asked
from callpoint.domain.decision import Decision
from callpoint.domain.operation import Operation
from callpoint.domain.spending import ENDLESS, NO_STOCK, Spending, Stock
from callpoint.lifecycle.session_basis import Basis

NO_PORTION = Portion()
_FACTS_KEPT = 256


class KeptElsewhereError(Exception):
    """Another process numbers the session's actions now: take it over again."""


class Answer(msgspec.Struct, frozen=True):
    """What policy says to an action under some facts.

    Attributes:
        operations: Of the action, each once, in order.
        decisions: One for each.
        lacking: What a yes obliges to that is not done for a single action.
    """

    operations: tuple[Operation, ...]
    decisions: tuple[Decision, ...]
    lacking: str = ""

    @property
    def allowed(self) -> bool:
        """Whether all of it may be done."""
        return not self.lacking and all(decision.allowed for decision in self.decisions)


class Known(msgspec.Struct):
    """Policy's answers under the same facts; to be added to.

    Attributes:
        decisions: About single operations.
        answers: About actions, by their operations as they were asked for.
    """

    decisions: dict[Operation, Decision] = msgspec.field(default_factory=dict)
    answers: dict[tuple[Operation, ...], Answer] = msgspec.field(default_factory=dict)


class Answers:
    """Policy's answers of late, by rules and facts: an activation's sessions share their facts."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Known] = OrderedDict()

    def about(self, rules: str, facts: str) -> Known:
        """Those to questions about exactly these facts."""
        found = self._kept.setdefault((rules, facts), Known())
        self._kept.move_to_end((rules, facts))
        if len(self._kept) > _FACTS_KEPT:
            self._kept.popitem(last=False)
        return found


@dataclass(frozen=True, slots=True)
class Pending:
    """Something that was answered, and is not on record yet.

    Attributes:
        event: What will be.
        held: Of an outcome: what its action held of the allowance.
        used: Of an outcome: what it let through.
        ahead: Of a decision: names it among those that were answered before their record.
    """

    event: ev.ActionDecided | ev.ActionFinished
    held: Portion = NO_PORTION
    used: Used | None = None
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class Confirmed:
    """When the store last said that the basis is what it holds.

    Attributes:
        began: By the monotonic clock, before the store was asked.
        at: By the store's clock.
        orders: Orders to gateways of which this process knew then.
    """

    began: float
    at: datetime
    orders: int


@dataclass(slots=True, eq=False)
class LiveSession:
    """One session.

    Attributes:
        gateway: Through which it goes.
        basis: What decisions rest on; None: it is to be read.
        number: Of the newest action.
        told: The facts that stand in the session's stream already, as of this process.
        held: What allowed actions hold of the allowance, until they have told what they used.
        keeper: Names this process.
        shared: Answers that its other sessions got.
        early: Actions up to this number were decided in another process, which knew what they hold.
        told_early: Actions whose outcome was told: of those, and of any that a journal told.
        lag: How far the store's clock is ahead of ours.
        found: Its activation as it was read last; what was approved of it never changes.
        confirmed: See there; None where the next decision asks the store.
        stock: What is spent in advance.
        spent: The activation's spending as it was seen last.
        acted: When something was last answered from the stock, by the monotonic clock.
        pending: What waits for its record, in the order in which it was answered.
        is_unsure: Nobody knows whether some of it is on record: it failed, or was given up.
        in_doubt: Outcomes of which nobody knows it that do not wait here: they may be told again.
        is_spoilt: What it spends cannot be settled; its records are written without.
        cut_for: Why this process ended it by itself; empty while it did not.
        lock: Held while an action is decided.
        writing: Held while what is pending is written.
    """

    id: str
    gateway: str
    keeper: str
    shared: Answers
    number: int = 0
    basis: Basis | None = None
    asked: Asked | None = None
    digest: str = ""
    known: Known = field(default_factory=Known)
    told: str = ""
    held: dict[int, Portion] = field(default_factory=dict)
    early: int = 0
    told_early: set[int] = field(default_factory=set)
    lag: timedelta = timedelta(0)
    found: Activation | None = None
    confirmed: Confirmed | None = None
    stock: Stock = NO_STOCK
    spent: Spending | None = None
    acted: float = 0.0
    pending: deque[Pending] = field(default_factory=deque)
    is_unsure: bool = False
    in_doubt: set[int] = field(default_factory=set)
    is_spoilt: bool = False
    cut_for: str = ""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def forget(self) -> None:
        """Whatever is decided next rests on what the store says then."""
        self.basis = self.confirmed = self.asked = None

    def taken_over(self, number: int) -> None:
        """Another process kept it meanwhile, and numbered up to there."""
        self.forget()
        self.number = self.early = max(self.number, number)
        self.told = ""
        # What waits here can have been told there as well.
        self.is_unsure = self.is_unsure or bool(self.pending)

    def set_aside(self) -> Stock:
        """Take what was spent in advance out of reach, for a transaction that gives it back.

        It stays spent where nobody knows whether that was committed.
        """
        stock = self.stock
        if stock != ENDLESS:
            self.stock = NO_STOCK
        return stock

    def is_ahead(self) -> bool:
        """Whether something was answered and let through that is not on record yet."""
        return any(one.ahead for one in self.pending)
