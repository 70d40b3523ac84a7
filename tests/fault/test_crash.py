"""A short run of the crash harness (``make crash DEATHS=300`` is the long one)."""

import pytest

from callpoint.cli.postgres_server import find_servers
from tests.crash.__main__ import crash
from tests.crash.site import StoreKind
from tests.servers import missing


@pytest.mark.server("postgresql")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", list(StoreKind))
def test_nothing_outlives_killed_processes(kind):
    """After kill -9 at many points one sweep leaves no account, no orphan and no missing event.

    On PostgreSQL a second node sweeps meanwhile: it takes over what the dead ones had begun, and
    nothing is done twice.
    """
    if not find_servers():
        missing("PostgreSQL is not on this machine")
    died, verdict, taken_over = crash(kind, deaths=16, executed=2, seed=7)
    assert died == 16
    assert verdict.leases > 0
    assert verdict.ok, verdict
    assert (taken_over > 0) == (kind is StoreKind.POSTGRESQL)
