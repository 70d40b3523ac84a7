"""Kills that were ordered while the store was down, and the picture that such a kill works with."""

from collections.abc import Iterator

from callpoint.lifecycle.symptoms.observed import Observed
from callpoint.lifecycle.symptoms.symptom import Code, Severity, Symptom, symptom


def check_node(seen: Observed) -> Iterator[Symptom]:
    """What keeps this node from giving anything, and orders here that nobody signed (I13)."""
    for key in seen.node_memory.waiting:
        yield symptom(
            Severity.URGENT,
            Code.TOMBSTONE_WAITING,
            key,
            f"a kill that was ordered while the store was down (tombstone {key}) is not merged yet:"
            " nothing is given here before",
            "it is merged within seconds once the store works; if it stays, the server's log says"
            " why (`pass_failed`)",
        )
    for key in seen.node_memory.refused:
        yield symptom(
            Severity.URGENT,
            Code.TOMBSTONE_REFUSED,
            key,
            f"an order that nobody signed was left on the server's disk (tombstone {key}): it was"
            " refused and is kept as evidence",
            "find out who could write to the home folder; then remove the file from"
            " `tombstones/refused`",
        )
    for error in seen.node_memory.errors:
        yield symptom(
            Severity.URGENT,
            Code.NODE_MEMORY,
            "node",
            f"nothing is given, because a kill could not be remembered here: {error.message}",
            error.way_out or "look at the home folder's disk, owner and mode",
        )
