"""What follows from what a gateway told: findings, stopped sessions, words to people, debts."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import ActivationState
from callpoint.domain.ids import activation_stream
from callpoint.domain.offline_record import Debt, OfflineDebt
from callpoint.domain.review import Finding
from callpoint.domain.session import Session, SessionState
from callpoint.lifecycle import allowance
from callpoint.lifecycle.announce import watchers
from callpoint.lifecycle.offline_judge import Page
from callpoint.lifecycle.services import Services
from callpoint.ports.notifiers import Notice
from callpoint.ports.stores import Transaction, Where

USED, TROUBLE = "offline_use", "offline_trouble"
"""Kinds of findings."""

_ALL = 1_000_000
_SHOWN = 5


def raise_findings(tx: Transaction, pages: Mapping[str, Page]) -> None:
    """What a reviewer must look at; of a review that is closed only who watches is told."""
    for session, page in pages.items():
        if page.found is None or not (page.was_used or page.troubles):
            continue
        found = tx.get(type(page.found), page.found.id)
        if found.state not in (ActivationState.ACTIVE, ActivationState.ENDED):
            continue
        for finding in _findings(session, page):
            if finding in found.findings:
                continue
            event = ev.FindingRaised(finding=finding)
            tx.append(activation_stream(found.id), event)
            found = found.apply(event, tx.now())
        page.found = tx.put(found)


def _findings(session: str, page: Page) -> Iterator[Finding]:
    if page.was_used:
        yield Finding(
            USED,
            f"session {session} went on without the authority: its evidence says what was done",
        )
    for text in dict.fromkeys(page.troubles):
        yield Finding(TROUBLE, text)


def pause_overspent(tx: Transaction, pages: Mapping[str, Page]) -> None:
    """Stop the sessions of an activation that is beyond its allowance now."""
    for page in pages.values():
        if page.found is None or page.row is None:
            continue
        beyond = allowance.overspent(tx, page.found)
        row = tx.find(Session, page.row.id)
        if beyond and row is not None and row.state is SessionState.OPEN:
            allowance.pause(tx, row, beyond)
            page.beyond = beyond


def settle_debts(tx: Transaction, gateway: str, journal: str, still_open: Collection[str]) -> None:
    """All was told: nothing is owed for sessions that are no longer open at the gateway."""
    where = Where(states=(Debt.OPEN,), subject=journal, limit=_ALL, skip_spoilt=True)
    for debt in tx.select(OfflineDebt, where):
        if debt.gateway == gateway and debt.session not in still_open:
            settle_debt(tx, debt.session)


def settle_debt(tx: Transaction, session: str) -> None:
    """Its gateway has nothing more to tell."""
    debt = tx.find(OfflineDebt, session)
    if debt is not None and debt.state is Debt.OPEN:
        tx.put(msgspec.structs.replace(debt, state=Debt.SETTLED))


async def announce(services: Services, gateway: str, pages: Sequence[Page]) -> None:
    """Tell of allowances that are overspent, and of what no grant covers.

    A gateway that did that is broken, or somebody else's.
    """
    troubles: list[str] = []
    for page in pages:
        troubles += dict.fromkeys(page.troubles)
        if page.beyond and page.found is not None:
            await allowance.announce_pause(services, page.found, page.beyond)
    if not troubles:
        return
    left = len(troubles) - _SHOWN
    shown = "; ".join(troubles[:_SHOWN]) + (f"; and {left} more" if left > 0 else "")
    await services.notifier.notify(
        Notice(
            kind="offline:trouble",
            about=gateway,
            to=watchers(services),
            text=f"the gateway {gateway} told of actions that no offline grant covers, or whose"
            f" records are missing: {shown}",
            urgent=True,
        )
    )
