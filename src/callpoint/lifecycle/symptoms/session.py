"""Sessions through gateways that stand still, or whose gateway is silent."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from callpoint.domain.session import HEARD_EVERY, Session, SessionState
from callpoint.lifecycle.symptoms.observed import Observed, ago, clock
from callpoint.lifecycle.symptoms.symptom import Code, Severity, Symptom, symptom
from callpoint.ports.authority import LOSS

_SILENT = HEARD_EVERY + LOSS
"""A gateway asks every two seconds, which is written down every half minute."""


def check_sessions(seen: Observed) -> Iterator[Symptom]:
    """What waits for a person, and gateways that nobody hears of."""
    yield from _paused(seen)
    yield from _silent(seen)
    yield from _untold(seen)


def _paused(seen: Observed) -> Iterator[Symptom]:
    stopped: dict[str, list[Session]] = defaultdict(list)
    for session in seen.sessions:
        if session.state is SessionState.PAUSED:
            stopped[session.activation].append(session)
    for activation, sessions in stopped.items():
        names = ", ".join(sorted({session.target for session in sessions}))
        yield symptom(
            Severity.WARNING,
            Code.SESSION_PAUSED,
            activation,
            f"what {activation} of {sessions[0].principal} may do is spent: its sessions on"
            f" {names} stand still and wait for a person",
            f"a person who does not stand behind the request runs `callpoint session list"
            f" {activation}`, then `callpoint session resume {activation} --because WORDS`",
            activation=activation,
        )


def _silent(seen: Observed) -> Iterator[Symptom]:
    latest: dict[str, datetime] = {}
    for session in seen.sessions:
        before = latest.get(session.gateway, session.heard_at)
        latest[session.gateway] = max(before, session.heard_at)
    for gateway, heard_at in sorted(latest.items()):
        if seen.now - heard_at > _SILENT:
            yield symptom(
                Severity.WARNING,
                Code.GATEWAY_SILENT,
                gateway,
                f"the gateway {gateway} has sessions and was not heard of for"
                f" {ago(heard_at, seen.now)}",
                "see that it runs and reaches this server; it cuts its sessions by itself",
            )


def _untold(seen: Observed) -> Iterator[Symptom]:
    """Journals that nobody took: while a review is open, what is in them is missing from it."""
    live = {session.id for session in seen.sessions}
    for debt in seen.debts:
        if debt.session in live or seen.now <= debt.until or not seen.activation(debt.activation):
            continue
        yield symptom(
            Severity.WARNING,
            Code.OFFLINE_UNTOLD,
            debt.gateway,
            f"the gateway {debt.gateway} could let things through without this authority in the"
            f" session {debt.session} of {debt.activation} until {clock(debt.until)}, and has not"
            " told what it did",
            "start it again with its journal (`journal` in its settings), which it tells by itself;"
            " if the file is lost, compare with the target's own log before the review is closed",
            activation=debt.activation,
        )
