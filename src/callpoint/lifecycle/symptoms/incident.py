"""Incident sources that fell silent, and incidents that nobody confirmed."""

from collections.abc import Iterator

from callpoint.domain.configuration import IncidentSource
from callpoint.domain.incident import Incident
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.span import format_span
from callpoint.lifecycle.symptoms.observed import Observed, ago, clock
from callpoint.lifecycle.symptoms.symptom import Code, Severity, Symptom, symptom


def check_sources(seen: Observed) -> Iterator[Symptom]:
    """Each source that has not reported for longer than its incidents stay fresh (I11)."""
    sources = seen.configuration.sources.values() if seen.configuration else ()
    for source in sources:
        own = [i for i in seen.incidents if i.source == source.id]
        stale = [i for i in own if i.state_at(seen.now) is IncidentState.UNKNOWN]
        if stale:
            yield _stale(seen, source, stale)
        elif not own and not seen.heard.get(source.id):
            yield _silent(source)


def _stale(seen: Observed, source: IncidentSource, stale: list[Incident]) -> Symptom:
    since = max(i.fresh_until or i.opened_at for i in stale) - source.stale_after
    names = ", ".join(sorted(incident.id for incident in stale))
    return symptom(
        Severity.WARNING,
        Code.FEED_STALE,
        source.id,
        f"{source.id} has not reported for {ago(since, seen.now)} (since {clock(since)}): its open"
        f" incidents count as unknown and justify nothing: {names}",
        f"repair the way from {source.id} to `/v1/webhooks/{source.id}` (address, token, repeat"
        " interval); meanwhile a person declares it: `callpoint incident declare`",
    )


def _silent(source: IncidentSource) -> Symptom:
    """No alert fires, or none arrives: from here the two look the same."""
    return symptom(
        Severity.NOTICE,
        Code.FEED_SILENT,
        source.id,
        f"no incident of {source.id} is open, and none was reported within"
        f" {format_span(source.stale_after)}: no alert fires, or the way is broken",
        f"send a test alert through {source.id}; an alert that always fires (a watchdog) shows"
        " that the way works",
    )


def check_incidents(seen: Observed) -> Iterator[Symptom]:
    """Each declared incident that justifies nothing yet."""
    for found in seen.incidents:
        if found.state is IncidentState.DECLARED:
            yield symptom(
                Severity.NOTICE,
                Code.INCIDENT_UNCONFIRMED,
                found.id,
                f"{found.id} was declared by {found.declared_by} {ago(found.opened_at, seen.now)}"
                " ago and justifies nothing until another person confirms it",
                f"anybody but {found.declared_by} runs `callpoint incident confirm {found.id}`",
            )
