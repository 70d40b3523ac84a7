"""The event log: without it nothing is given."""

from collections.abc import Iterator

from callpoint.domain.counted import plural
from callpoint.lifecycle.symptoms.observed import Observed, clock
from callpoint.lifecycle.symptoms.symptom import Code, Severity, Symptom, symptom

_MISSED = 3
"""Passes that may fail before it is told: authorities are away now and then."""


def check_log(seen: Observed) -> Iterator[Symptom]:
    """Whether it can be extended, what waits for it, and whether its newest head is believed."""
    log = seen.log
    waiting = f"; {log.waiting} events of revocations wait for a number" if log.waiting else ""
    if not log.works:
        yield symptom(
            Severity.URGENT,
            Code.LOG_DOWN,
            "log",
            f"the event log cannot be signed or extended: nothing is given, taking away goes on"
            f"{waiting}",
            "the server's log says why (`log_halted`): disk full, log key, or a database that was"
            " rolled back; for the last, `callpoint log recover` once the server is stopped",
        )
    elif log.waiting:
        yield symptom(
            Severity.URGENT,
            Code.SPOOL_WAITING,
            "log",
            f"the log works, but {plural(log.waiting, 'event')} of revocations still without"
            " a number",
            "look for `pass_failed` of the worker `spool` in the server's log",
        )
    yield from _unstamped(seen)
    if log.error is not None:
        yield symptom(
            Severity.URGENT,
            Code.CHECKPOINT_INVALID,
            "log",
            log.error.message,
            log.error.way_out or "keep the database as it is and export it: `callpoint log export`",
        )


def _unstamped(seen: Observed) -> Iterator[Symptom]:
    """Where an authority is named, the log's growth is shown to it, and was not for too long."""
    every, log = seen.limits.stamp_every, seen.log
    if every is None or (log.stamp is not None and log.stamp.size >= log.size):
        return
    if log.stamp is not None and log.stamp.at + every * _MISSED > seen.now:
        return
    since = f"since {clock(log.stamp.at)}" if log.stamp else "yet"
    count = log.size - (log.stamp.size if log.stamp else 0)
    yield symptom(
        Severity.WARNING,
        Code.LOG_UNSTAMPED,
        "log",
        f"no time stamp {since}: {plural(count, 'entry is', 'entries are')} without one,"
        " though an authority is named",
        "the server's log says why (`pass_failed` of the worker `timestamps`); is the authority"
        " reachable, and are its certificates those in [timestamps] of server.toml?",
    )
