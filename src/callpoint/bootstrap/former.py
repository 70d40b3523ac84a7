"""Targets that left the configuration while leases were open on them.

Their settings stand in an earlier bundle. It is believed because each bundle names the digest of
the one before, down from the one that the log proves to be in force.
"""

from callpoint.domain.configuration import Target
from callpoint.domain.errors import TamperError
from callpoint.domain.governance import Bundle, StoredBundle
from callpoint.domain.lease import Lease, LeaseState
from callpoint.ports.stores import View, Where

_OPEN = (LeaseState.PLANNED, LeaseState.LIVE, LeaseState.ENDING)
_ALL = 1_000_000


def former_targets(view: View, in_force: Bundle) -> tuple[Target, ...]:
    """The latest definition of each target that has open leases and is not configured any more.

    Raises:
        TamperError: An earlier bundle is not the one that its successor names.
    """
    held = view.select(Lease, Where(states=_OPEN, limit=_ALL))
    wanted = {lease.plan.target for lease in held} - in_force.configuration.targets.keys()
    found: list[Target] = []
    bundle = in_force
    while wanted and bundle.number > 1:
        before = _before(view, bundle)
        if before is None:
            break
        bundle = before
        here = wanted & bundle.configuration.targets.keys()
        found += [bundle.configuration.targets[name] for name in sorted(here)]
        wanted -= here
    return tuple(found)


def _before(view: View, bundle: Bundle) -> Bundle | None:
    """The bundle before, None where a recovery left a gap: then nothing vouches for older ones."""
    stored = view.find(StoredBundle, f"{bundle.number - 1:08d}")
    if stored is None:
        return None
    if stored.bundle.digest() != bundle.previous:
        raise TamperError(
            f"configuration {bundle.number - 1} in the database is not the one that its successor"
            " names"
        )
    return stored.bundle
