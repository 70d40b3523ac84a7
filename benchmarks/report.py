"""What every benchmark shares: its options, its numbers, and how it tells them.

Lines for people come first. With ``--json`` the last line is one JSON object:
``{"figures": {…}, "ratios": {…}, "machine": {…}, "notes": […]}``.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

_SYNCS = 200
_BLOCK = b"x" * 4096


def options(description: str | None, *further: tuple[str, dict[str, object]]) -> argparse.Namespace:
    """Read the command line; every benchmark has ``--json`` and ``--quick``."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument(
        "--quick", action="store_true", help="a tiny size: shows that it runs, measures nothing"
    )
    for name, settings in further:
        parser.add_argument(name, **settings)  # type: ignore[arg-type]
    return parser.parse_args()


@dataclass
class Report:
    """What one run measured.

    Attributes:
        figures: Times and rates of this machine; they mean little elsewhere.
        ratios: What was compared within the run: these are what the aims are about.
        notes: What a reader must know to read the numbers rightly.
    """

    figures: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def figure(self, name: str, value: float, digits: int = 3) -> None:
        """Tell it now, and keep it."""
        self.figures[name] = round(value, digits)
        print(f"{name:<40} {self.figures[name]:>14,}", flush=True)

    def ratio(self, name: str, value: float, aim: str = "") -> None:
        """The same for a ratio; ``aim`` is for people only."""
        self.ratios[name] = round(value, 3)
        print(f"{name:<40} {self.ratios[name]:>14,}{f'   aim {aim}' if aim else ''}", flush=True)

    def note(self, text: str) -> None:
        """Something that belongs beside the numbers."""
        self.notes.append(text)
        print(f"note: {text}", flush=True)

    def timed(self, name: str, seconds: Sequence[float], over: float | None = None) -> float:
        """Rate and percentiles of single calls; returns the rate.

        Args:
            name: What was called.
            seconds: How long each call took.
            over: The whole time, when calls ran beside each other.
        """
        rate = len(seconds) / (over if over is not None else sum(seconds))
        self.figure(f"{name}_per_s", rate, 1)
        self.figure(f"{name}_p50_ms", percentile(seconds, 50) * 1000)
        self.figure(f"{name}_p99_ms", percentile(seconds, 99) * 1000)
        return rate

    def finish(self, *, as_json: bool) -> None:
        """The last line."""
        for name, value in self.figures.items() | self.ratios.items():
            if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 -- not a number
                raise ValueError(f"{name} could not be measured")
        if as_json:
            told = {
                "figures": self.figures,
                "ratios": self.ratios,
                "machine": machine(),
                "notes": self.notes,
            }
            print(json.dumps(told, allow_nan=False), flush=True)


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that at least so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def median_ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """Ours over theirs, round by round, so that a slow minute of the machine hits both."""
    return statistics.median(ours / theirs for ours, theirs in pairs)


def machine() -> dict[str, object]:
    """What the figures depend on; no name and no path of it."""
    return {
        "processors": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "callpoint": version("callpoint"),
        "load_before": round(_LOAD[0], 2),
        "fsync_p50_ms": round(_fsync() * 1000, 3),
    }


def must(holds: bool, words: str) -> None:  # noqa: FBT001 -- an assertion that -O does not remove
    """A figure of something that did not happen is worth nothing: stop."""
    if not holds:
        raise AssertionError(words)


def fail(words: str) -> NoReturn:
    """Say why nothing can be measured here, and stop."""
    print(f"cannot measure: {words}", file=sys.stderr)
    raise SystemExit(2)


def _fsync() -> float:
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "file").open("wb") as file:
        took = []
        for _ in range(_SYNCS):
            file.write(_BLOCK)
            file.flush()
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - begun)
    return percentile(took, 50)


_LOAD = os.getloadavg()
