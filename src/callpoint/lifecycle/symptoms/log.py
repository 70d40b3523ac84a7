"""The event log: without it nothing is given."""

from collections.abc import Iterator

from callpoint.lifecycle.symptoms.observed import Observed
from callpoint.lifecycle.symptoms.symptom import Code, Severity, Symptom, symptom


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
            f"the log works, but {log.waiting} events of revocations still wait for a number",
            "look for `pass_failed` of the worker `spool` in the server's log",
        )
    if log.error is not None:
        yield symptom(
            Severity.URGENT,
            Code.CHECKPOINT_INVALID,
            "log",
            log.error.message,
            log.error.way_out or "keep the database as it is and export it: `callpoint log export`",
        )
