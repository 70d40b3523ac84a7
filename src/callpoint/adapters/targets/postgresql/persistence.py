"""What a use may leave behind: two snapshots compared. Pure.

A snapshot maps a kind ("role", "trigger in orders", …) to sorted names. What is there *now* and was
not there *before* is found, and of guards also what is gone; what other people did in between
shows as well, as nobody can tell from the catalogue who did it. Without a baseline, only what
names the account is found.
"""

from collections.abc import Iterable, Mapping

from callpoint.adapters.targets.postgresql.server import Row
from callpoint.domain.untrusted import printable
from callpoint.ports.targets import Persistence

_NAME_LIMIT = 300
_LISTED = 100
_OWN = "concerns the account"
_UNEXAMINED = "database not examined"
_GONE = "is gone"
_GUARDS = frozenset({"trigger", "event trigger", "rule", "policy", "row security forced"})
"""What restrains others: of these, what was taken away is left behind too."""

Snapshot = dict[str, list[str]]


def collect(
    cluster: Iterable[Row], databases: Mapping[str, Iterable[Row]]
) -> tuple[Snapshot, Snapshot]:
    """Everything, and the part of it that names the account.

    Args:
        cluster: Rows of ``kind``, ``name``, ``concerns`` that all databases share.
        databases: The same rows by database.
    """
    everything: dict[str, set[str]] = {}
    own: dict[str, set[str]] = {}
    for suffix, rows in [("", cluster), *((f" in {name}", r) for name, r in databases.items())]:
        kinds: dict[str, str] = {}
        for row in rows:
            # Many rows, few kinds.
            kind = kinds.get(row["kind"])
            if kind is None:
                kind = kinds[row["kind"]] = printable(row["kind"]) + suffix
            name = printable(row["name"], _NAME_LIMIT)
            everything.setdefault(kind, set()).add(name)
            if row["concerns"]:
                own.setdefault(kind, set()).add(name)
    return _sorted(everything), _sorted(own)


def difference(
    now: Snapshot, own: Snapshot, baseline: Snapshot | None, unexamined: Iterable[str]
) -> tuple[Persistence, ...]:
    """What is new, or, without a baseline, what names the account."""
    found = [Persistence(kind=_UNEXAMINED, name=name) for name in sorted(unexamined)]
    guards: Snapshot = {kind: [] for kind in baseline or {} if _is_guard(kind) and kind not in now}
    seen = own if baseline is None else {**now, **guards}
    for kind, names in sorted(seen.items()):
        known = set() if baseline is None else set(baseline.get(kind, []))
        mine = set(own.get(kind, []))
        new = [name for name in names if name not in known]
        found.extend(
            Persistence(kind=kind, name=name, detail=_OWN if name in mine else "")
            for name in new[:_LISTED]
        )
        found.extend(_missing(kind, names, baseline or {}))
        if len(new) > _LISTED:
            # Evidence stays readable, whatever an actor makes thousands of.
            found.append(Persistence(kind=kind, name=f"and {len(new) - _LISTED} more"))
    return tuple(found)


def _is_guard(kind: str) -> bool:
    return kind.partition(" in ")[0] in _GUARDS


def _missing(kind: str, names: Iterable[str], baseline: Snapshot) -> list[Persistence]:
    """Guards that were there before: an audit trigger that is gone lets the next one by unseen."""
    if not _is_guard(kind):
        return []
    gone = [name for name in baseline.get(kind, []) if name not in set(names)]
    found = [Persistence(kind=kind, name=name, detail=_GONE) for name in gone[:_LISTED]]
    if len(gone) > _LISTED:
        found.append(Persistence(kind=kind, name=f"and {len(gone) - _LISTED} more", detail=_GONE))
    return found


def _sorted(sets: dict[str, set[str]]) -> Snapshot:
    return {kind: sorted(names) for kind, names in sorted(sets.items())}
