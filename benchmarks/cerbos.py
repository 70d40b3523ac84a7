"""Cerbos' decision point with its AuthZEN endpoint and its decision log, on one processor.

Its log is a file that it writes to later and never flushes: no comparison with it is one of
durability.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import await_port
from callpoint.cli.loopback import free_port

_FLUSHED_WITHIN = 10.0
_PLACE = "node_modules/@cerbos/cerbos-linux-x64/cerbos-linux-x64"

# As ours decides it for the life of one activation: only its holder, and only this action.
_POLICY = {
    "apiVersion": "api.cerbos.dev/v1",
    "resourcePolicy": {
        "resource": "activation",
        "version": "default",
        "rules": [
            {
                "actions": ["credential:reveal"],
                "effect": "EFFECT_ALLOW",
                "roles": ["*"],
                "condition": {
                    "match": {
                        "all": {
                            "of": [
                                {"expr": "request.resource.attr.holder == request.principal.id"},
                                {"expr": 'request.resource.attr.state == "active"'},
                                {"expr": 'request.resource.attr.incident == "open"'},
                            ]
                        }
                    }
                },
            }
        ],
    },
}


def binary() -> Path | None:
    """The program that ``make benchmarks`` installs with npm; None when it is not there."""
    named = os.environ.get("CALLPOINT_BENCH_CERBOS")
    path = Path(named) if named else Path(sys.prefix) / "cerbos" / _PLACE
    return path if path.is_file() else None


@dataclass(frozen=True)
class Cerbos:
    """A running one."""

    port: int
    log: Path

    def decisions(self, expected: int) -> int:
        """How many decisions its log holds, once it has written as many as expected."""
        deadline = time.monotonic() + _FLUSHED_WITHIN
        while True:
            found = self.log.read_bytes().count(b'"log.kind":"decision"')
            if found >= expected or time.monotonic() > deadline:
                return found
            time.sleep(0.1)  # noqa: TID251 -- waits for another process


@contextmanager
def running(program: Path) -> Iterator[Cerbos]:
    """Serve one policy, with a decision log."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "policies").mkdir()
        (home / "policies" / "activation.json").write_text(json.dumps(_POLICY))
        cerbos = Cerbos(free_port(), home / "decisions")
        settings = {
            "server": {
                "httpListenAddr": f"127.0.0.1:{cerbos.port}",
                "grpcListenAddr": f"127.0.0.1:{free_port()}",
            },
            "storage": {"driver": "disk", "disk": {"directory": str(home / "policies")}},
            "telemetry": {"disabled": True},
            "audit": {
                "enabled": True,
                "accessLogsEnabled": False,
                "decisionLogsEnabled": True,
                "backend": "file",
                "file": {"path": str(cerbos.log)},
            },
        }
        (home / "settings.json").write_text(json.dumps(settings))
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 -- the package's own program
                [
                    str(program),
                    "server",
                    f"--config={home / 'settings.json'}",
                    "--log-level=error",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                # One processor, as one Python process has.
                env={"PATH": os.defpath, "HOME": folder, "GOMAXPROCS": "1"},
                cwd=folder,
            )
            try:
                await_port(process, cerbos.port, home / "log", name="Cerbos")
                yield cerbos
            finally:
                process.terminate()
                process.wait()
