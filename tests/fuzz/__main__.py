"""``python -m tests.fuzz --seconds 60 [TARGET …]``: each target in a process of its own.

A process that dies or hangs (a parser in C can do either) is a finding like any other: the case
that it was at is kept.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.campaign import Campaign
from tests.fuzz.target import CORPUS, names, target

_SLOWEST = 60.0
"""No case may take so long, seconds; shortening and starting are within it."""


def one(name: str, seconds: float, seed: int, last: Path) -> int:
    """Run one target here. Exit status 1 when something was found."""
    outcome = Campaign(name, target(name), seed, last).run(seconds)
    total = outcome.counts.total()
    words = ", ".join(f"{count} {word}" for word, count in sorted(outcome.counts.items()))
    sys.stdout.write(f"{name}: seed {seed}: {total} cases: {words}\n")
    if outcome.case is None:
        return 0
    sys.stdout.write(f"{name}: FOUND {outcome.reason}\n  by {outcome.case!r}\n")
    return 1


def supervised(name: str, seconds: float, seed: int) -> bool:
    """Whether nothing was found."""
    with tempfile.TemporaryDirectory(prefix="callpoint-fuzz-") as folder:
        last = Path(folder) / "last"
        command = [sys.executable, "-m", "tests.fuzz", name, "--here", str(last)]
        command += ["--seconds", str(seconds), "--seed", str(seed)]
        try:
            status = subprocess.run(command, timeout=seconds + _SLOWEST, check=False).returncode
            how = f"dies of signal {-status}"
        except subprocess.TimeoutExpired:
            status, how = -1, "hangs"
        if status >= 0:
            return status == 0
        case = last.read_bytes()
        path = Campaign(name, target(name), seed).keep(case)
        sys.stdout.write(f"{name}: FOUND the process {how} at {case!r}\n  kept as {path}\n")
        return False


def main() -> int:
    """Exit status 1 when something was found; it is in the corpus then."""
    reader = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    reader.add_argument("targets", nargs="*", metavar="TARGET", help=f"of: {', '.join(names())}")
    reader.add_argument("--seconds", type=float, default=60.0, help="for all together")
    reader.add_argument("--seed", type=int, default=int(time.time()))
    reader.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    said = reader.parse_args()
    chosen = said.targets or names()
    if unknown := sorted(set(chosen) - set(names())):
        reader.error(f"no target is called {unknown[0]}; there are: {', '.join(names())}")
    if said.here:
        return one(chosen[0], said.seconds, said.seed, said.here)
    share = said.seconds / len(chosen)
    clean = [supervised(name, share, said.seed) for name in chosen]
    if not all(clean):
        sys.stdout.write(f"repair it, and commit what is new in {CORPUS.relative_to(Path.cwd())}\n")
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
