"""Whether a grant covers what a gateway did without its authority.

Judged are the entry's place in the journal's chain, the signature of its grant (by who reads it),
whom and what that was for, when, and how much. Nothing here changes anything.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.allowance import Portion, Used
from callpoint.domain.errors import RequestError
from callpoint.domain.offline import NOTHING, OfflineAllowance, OfflineGrant, gateway_audience
from callpoint.domain.offline_journal import Chained, DecidedOffline, link_hash
from callpoint.domain.session import LIVE, Session

_NAME = 64
_MOST_SEQ = 1 << 40
_SKEW = timedelta(seconds=5)
"""So far the gateway's clock may be from the store's."""


@dataclass
class Page:
    """What is known of one session while a journal is taken.

    Attributes:
        row: None: there is none of this gateway.
        grants: What its grants say, by digest; None where the signature does not verify.
        decided: Numbers that are told of.
        held: What actions hold whose outcome was not told.
        used: What was used under each grant.
        stops: When it was stopped for a person, and when one let it go on.
        troubles: Of this part of the journal.
        was_used: Something was let through.
        beyond: Which allowance of the activation is overspent by it.
    """

    row: Session | None
    found: Activation | None
    grants: dict[str, OfflineGrant | None] = field(default_factory=dict)
    decided: set[int] = field(default_factory=set)
    held: dict[int, Portion] = field(default_factory=dict)
    used: dict[str, OfflineAllowance] = field(default_factory=dict)
    stops: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    _under: dict[int, str] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    was_used: bool = False
    beyond: str = ""

    def stood(self, session: str, event: ev.AnyEvent, at: datetime) -> None:
        """What its activation's stream says of it, entry by entry."""
        match event:
            case ev.SessionPaused() if session in event.sessions:
                self.stops.append((at, None))
            case ev.SessionResumed() if session in event.sessions and self.stops:
                self.stops[-1] = (self.stops[-1][0], at)
            case _:
                pass

    def stopped_at(self, moment: datetime) -> datetime | None:
        """Since when it stood still then; None: it did not."""
        for since, until in self.stops:
            if since < moment and (until is None or moment < until):
                return since
        return None

    def learn(self, event: ev.AnyEvent) -> None:
        """What its own stream says, entry by entry."""
        match event:
            case ev.SessionOffline():
                self.grants[event.grant] = event.granted
            case ev.ActionOffline():
                if event.allowed and event.number not in self.decided:
                    self.held[event.number] = event.portion
                    self._under[event.number] = event.grant
                if event.allowed:
                    used = self.used.get(event.grant, NOTHING)
                    self.used[event.grant] = used.acted(event.operations, event.portion)
                self.decided.add(event.number)
            case ev.ActionFinishedOffline(is_late=False):
                held, grant = self.held.pop(event.number, None), self._under.get(event.number, "")
                if held is not None:
                    really_used = Used(event.rows, event.bytes)
                    self.used[grant] = self.used[grant].settled(held, really_used)
            case _:
                pass


@dataclass(frozen=True)
class Place:
    """Whose journal it is, by the line that it came on."""

    installation: str
    gateway: str
    journal: str

    def not_for(self, granted: OfflineGrant, session: str) -> str:
        """Why a grant that we signed does not count here; empty when it does."""
        audience = gateway_audience(self.installation, self.gateway)
        if (granted.iss, granted.aud) != (self.installation, audience):
            return "the grant is another gateway's"
        if granted.session != session:
            return "the grant is another session's"
        return "" if granted.journal == self.journal else "the grant is another journal's"

    def uncovered(
        self, entry: DecidedOffline, page: Page, spent: OfflineAllowance, now: datetime
    ) -> str:
        """Why no grant covers it; empty when one does, or when nothing was let through.

        Args:
            entry: What was done.
            page: Its session.
            spent: By the activation without the authority, before it.
            now: By the store's clock.
        """
        if page.row is None:
            return "this gateway has no such session"
        if entry.number in page.decided:
            return "an action of this number was told before"
        granted = page.grants.get(entry.grant)
        if granted is None:
            return "its grant is none that this installation signed"
        return (
            self.not_for(granted, entry.session)
            or _untimely(entry, granted, page, page.row, now)
            or (_too_much(entry, granted, page, spent) if entry.allowed else "")
        )


def must_be_journal(name: str) -> None:
    """Raises RequestError when no journal has such a name."""
    if not 0 < len(name) <= _NAME or not name.isascii() or not name.isalnum():
        raise RequestError(f"a journal's name has up to {_NAME} letters and digits")


def unlinked(one: Chained, seq: int, head: str) -> str:
    """Why it is not the entry behind the last one; empty when it is.

    Raises:
        RequestError: It holds what no entry can hold.
    """
    if not 0 < one.seq <= _MOST_SEQ:
        raise RequestError("no journal has an entry of that number")
    try:
        fits = link_hash(one.seq, head, one.entry) == one.hash
    except ValueError as error:
        raise RequestError(f"an entry of the journal cannot be recorded: {error}") from error
    if one.seq <= seq:
        return "the journal was set back, or is a copy: another entry stood in this place"
    if one.seq != seq + 1:
        return f"entries {seq + 1} to {one.seq - 1} of the journal are missing"
    return "" if fits else "the journal was changed: its chain breaks here"


def _untimely(
    entry: DecidedOffline, granted: OfflineGrant, page: Page, row: Session, now: datetime
) -> str:
    if not granted.issued_at - _SKEW <= entry.at < granted.expires_at:
        return f"it was decided outside the grant's time, which ended at {granted.expires_at}"
    if entry.at > now + _SKEW:
        return "it was decided in the future"
    # The row of a session that is over says in ``heard_at`` when it ended.
    if entry.allowed and row.state not in LIVE and entry.at > row.heard_at:
        return f"it was let through after the session had ended, at {row.heard_at}"
    stopped = page.stopped_at(entry.at) if entry.allowed else None
    if stopped is not None:
        return f"it was let through while the session waited for a person, since {stopped}"
    return ""


def _too_much(
    entry: DecidedOffline, granted: OfflineGrant, page: Page, spent: OfflineAllowance
) -> str:
    if granted.refuses(entry.operations):
        return "it is not what its grant lists"
    own = granted.allowance.exceeded(page.used.get(entry.grant, NOTHING), entry.operations)
    if own:
        return f"more than the {own} that its grant allows"
    rule = page.found.request.offline if page.found is not None else msgspec.UNSET
    if isinstance(rule, msgspec.UnsetType):
        return "the activation allows nothing without the authority"
    beyond = rule.allowance.exceeded(spent, entry.operations)
    return f"more than the {beyond} that are allowed without the authority" if beyond else ""
