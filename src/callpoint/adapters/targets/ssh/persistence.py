"""What a use left on the host: two snapshots of the host side compared. Pure.

Nobody can tell from a file who wrote it, so what other people did in between shows as well; and
without a snapshot from before nothing can be told.
"""

from collections.abc import Mapping

from callpoint.domain.untrusted import printable
from callpoint.host.snapshot import NOT_EXAMINED
from callpoint.ports.targets import Persistence

_LISTED = 100
_NAME_LIMIT = 300
_GONE = "is gone"
_TRANSIENT = frozenset({"process"})
"""Kinds of which nobody misses one."""

Snapshot = dict[str, list[str]]


def read(given: object) -> Snapshot:
    """A snapshot as the host side told it, with its words made fit to be shown."""
    if not isinstance(given, Mapping):
        return {NOT_EXAMINED: ["the host side told no snapshot"]}
    return {
        printable(str(kind)): [printable(str(name), _NAME_LIMIT) for name in names]
        for kind, names in sorted(given.items())
        if isinstance(names, list)
    }


def difference(now: Snapshot, baseline: Snapshot | None) -> tuple[Persistence, ...]:
    """What is new, what is gone, and what could not be looked at."""
    if baseline is None:
        return ()
    found: list[Persistence] = []
    for kind in sorted({*now, *baseline}):
        here, before = set(now.get(kind, ())), set(baseline.get(kind, ()))
        found += _listed(kind, sorted(here - before), "")
        if kind not in _TRANSIENT and kind != NOT_EXAMINED:
            changed = {_subject(name) for name in here - before}
            gone = [name for name in sorted(before - here) if _subject(name) not in changed]
            found += _listed(kind, gone, _GONE)
    return tuple(found)


def _subject(name: str) -> str:
    """A name without its digest: a file that changed is not also gone."""
    return name.rpartition(" sha256:")[0] or name


def _listed(kind: str, names: list[str], detail: str) -> list[Persistence]:
    found = [Persistence(kind=kind, name=name, detail=detail) for name in names[:_LISTED]]
    if len(names) > _LISTED:
        # Evidence stays readable, whatever an actor makes thousands of.
        more = f"and {len(names) - _LISTED} more"
        found.append(Persistence(kind=kind, name=more, detail=detail))
    return found
