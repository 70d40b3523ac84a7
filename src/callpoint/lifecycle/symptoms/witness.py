"""Witnesses of the log: who has seen it lately, and who contradicts it."""

from collections.abc import Iterator

from callpoint.domain.counted import plural
from callpoint.domain.span import format_span
from callpoint.domain.witnessing import Answer, Watch
from callpoint.lifecycle.symptoms.observed import Observed, clock
from callpoint.lifecycle.symptoms.symptom import Code, Severity, Symptom, symptom


def check_witnesses(seen: Observed) -> Iterator[Symptom]:
    """Too few cosignatures, a witness that does not answer, one that says that the log shrank."""
    if seen.configuration is None or not seen.configuration.watched.witnesses:
        return
    watching, counted = seen.configuration.watched, sum(s.counts for s in seen.log.sightings)
    if counted < watching.quorum:
        missing = ", ".join(s.name for s in seen.log.sightings if not s.counts)
        yield symptom(
            Severity.URGENT,
            Code.LOG_UNWITNESSED,
            "log",
            f"nothing is issued: {plural(watching.quorum, 'witness', 'witnesses')} must have seen"
            f" the log within {format_span(watching.within)}, and {plural(counted, 'has', 'have')};"
            f" missing: {missing or 'nobody'}",
            "`callpoint log witness` asks them now, `callpoint log status` shows what they said",
        )
    for name, watch in seen.log.watches.items():
        if watch.answer is Answer.CONTRADICTED:
            yield _contradicted(name, watch)
        elif watch.answer is not Answer.COSIGNED:
            yield _away(seen, name, watch)


def _contradicted(name: str, watch: Watch) -> Symptom:
    return symptom(
        Severity.URGENT,
        Code.WITNESS_CONTRADICTS,
        name,
        f"the witness {name} contradicts the log: {watch.detail}",
        "keep the database as it is, tell the governors, and compare: `callpoint log status`",
    )


def _away(seen: Observed, name: str, watch: Watch) -> Symptom:
    last = {s.name: s.at for s in seen.log.sightings}.get(name)
    since = f"since {clock(last)}" if last else "ever"
    return symptom(
        Severity.WARNING,
        Code.WITNESS_AWAY,
        name,
        f"the witness {name} has not cosigned {since} ({watch.answer}): {watch.detail}",
        "`callpoint log witness` asks it now; is it up, and does it know this log's key?",
    )
