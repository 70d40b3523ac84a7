"""After a recovery or a move: targets that nobody has compared with the leases since (I8)."""

from collections.abc import Iterator

from callpoint.domain.epoch import Began
from callpoint.lifecycle.symptoms.observed import Observed, clock
from callpoint.lifecycle.symptoms.symptom import Code, Severity, Symptom, symptom

_CAUSES = {
    Began.RECOVERED: "a part of the log was lost",
    Began.MOVED: "this installation was moved",
}


def check_epoch(seen: Observed) -> Iterator[Symptom]:
    """Nothing is given on a target of which nobody knows what exists there."""
    if seen.epoch is None or seen.configuration is None:
        return
    since = f"{_CAUSES[seen.epoch.why]} at {clock(seen.epoch.began_at)}"
    for name in sorted(seen.configuration.targets):
        if name not in seen.epoch.compared:
            yield symptom(
                Severity.URGENT,
                Code.TARGET_NOT_COMPARED,
                name,
                f"nothing is issued on {name}: it was not compared with the leases since {since}",
                f"it is done within a minute once {name} answers; if it does, look for"
                " `pass_failed` of the worker `reconcile` in the server's log",
            )
