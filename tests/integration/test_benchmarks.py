"""The benchmarks run, at a size at which they measure nothing, and say it in one form."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from callpoint.cli.postgres_server import find_servers
from tests.servers import missing

ROOT = Path(__file__).parents[2]
NEED_SERVER = {"gateway_postgres", "issue", "kill", "log", "storm"}
SAID = {
    "issue": {"issue_vs_limit", "revoke_vs_limit"},
    "log": {"append_vs_raw", "append_vs_raw_postgresql"},
    "decide": {"decide_vs_cedarpy"},
    "storm": {"revoke_vs_limit"},
    "gateway_postgres": {  # beside PgBouncer only where that is installed
        "simple_vs_direct",
        "extended_vs_direct",
        "prepared_vs_direct",
        "prepared_with_vs_direct",
    },
    "growth": {"last_vs_first"},
    "kill": set(),
    "authzen": set(),  # its peer is there only after `make benchmarks`
}


@pytest.mark.parametrize("name", SAID)
def test_a_benchmark_runs_and_ends_with_one_object(name):
    """Whatever it compares was really there and came out right: each checks that itself."""
    if name in NEED_SERVER and not find_servers():
        missing("no PostgreSQL server is on this machine")
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--json", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *human, last = done.stdout.splitlines()
    told = json.loads(last)
    assert {"figures", "ratios", "machine"} <= told.keys()
    assert SAID[name] <= told["ratios"].keys()
    assert all(value > 0 for value in told["ratios"].values())
    assert all(f"{ratio} " in "\n".join(human) for ratio in told["ratios"])
    assert told["machine"]["processors"] >= 1


def test_a_plot_without_its_library_is_refused_before_anything_is_measured():
    """Nobody waits for minutes to be told that matplotlib is missing."""
    hidden = (
        "import runpy, sys; sys.modules['matplotlib'] = None;"
        "sys.argv = ['growth', '--quick', '--plot', 'x.png'];"
        "runpy.run_module('benchmarks.growth', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", hidden], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "make benchmarks" in done.stderr
    assert not done.stdout
