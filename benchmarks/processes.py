"""Programs of others that a benchmark starts beside ours."""

import socket
import subprocess
import time
from pathlib import Path

from callpoint.cli.loopback import LOOPBACK


def await_port(
    process: "subprocess.Popen[bytes]", port: int, log: Path, *, name: str, within: float = 30.0
) -> None:
    """Wait until it listens on loopback.

    Args:
        process: The program.
        port: Where.
        log: What it wrote, for the error.
        name: What it is called, for the error.
        within: Seconds.

    Raises:
        RuntimeError: It ended, or does not listen in time.
    """
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection((LOOPBACK, port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)  # noqa: TID251 -- waits for another process
    raise RuntimeError(f"{name} did not start: {log.read_text(errors='replace')[-2000:]}")
