"""Receivers of signals: one that is not told that access ended believes that it goes on."""

from collections.abc import Iterator
from datetime import timedelta

from callpoint.domain.outbox import Outbox
from callpoint.domain.signal_stream import Delivery, SignalStream
from callpoint.lifecycle.symptoms.observed import Observed, ago, clock
from callpoint.lifecycle.symptoms.symptom import Code, Severity, Symptom, symptom

LATE = timedelta(minutes=2)
"""A signal that waits longer is told here; a receiver that restarts is quicker."""


def check_signals(seen: Observed) -> Iterator[Symptom]:
    """Streams that nobody works on, receivers that are behind, and what they refuse."""
    streams = seen.configuration.streams if seen.configuration else {}
    for name, stream in streams.items():
        box = seen.outboxes.get(name)
        if box is None:
            continue  # published a moment ago
        yield from _behind(seen, stream, box)
        yield from _refused(stream, box)


def _behind(seen: Observed, stream: SignalStream, box: Outbox) -> Iterator[Symptom]:
    oldest = min((one.at for one in box.waiting if not one.refusals), default=seen.now)
    is_failing = box.failing_since is not None and seen.now - box.failing_since > LATE
    if not is_failing and seen.now - oldest <= LATE:
        return
    count = f"{len(box.waiting)} signals" if box.room else f"{len(box.waiting)} signals or more"
    since = f"since {clock(box.heard_at)}" if box.heard_at else "ever"
    if stream.delivery is Delivery.PUSH:
        wrong = f"has taken nothing {since}: {box.error}" if box.error else f"is slow ({since})"
        step = "is it up, does it know this server's keys, and is what it wants to be shown set?"
    else:
        wrong, step = f"has fetched nothing {since}", "does it run, and may it fetch?"
    yield symptom(
        Severity.WARNING,
        Code.SIGNALS_BEHIND,
        stream.id,
        f"the receiver {stream.id} {wrong}; {count} wait, the oldest for {ago(oldest, seen.now)}",
        f"{step} nothing is lost: it gets them when it is back",
    )


def _refused(stream: SignalStream, box: Outbox) -> Iterator[Symptom]:
    refused = tuple(one for one in box.waiting if one.refusals)
    if refused:
        yield symptom(
            Severity.WARNING,
            Code.SIGNALS_REFUSED,
            stream.id,
            f"the receiver {stream.id} refuses {len(refused)} signals: {box.error}",
            f"ask whoever runs it; the first is {refused[0].jti}, and each is tried again",
        )
