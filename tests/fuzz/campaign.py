"""One target, for so long: cases are made, mutated, tried; what is found is shortened and kept."""

import hashlib
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.mutation import mutated
from tests.fuzz.target import CORPUS, Check, Target, kept

_MADE = 0.4
"""So often a case is one that the target made; else it is a mutated one."""

_POOL = 2000
_SHORTER_WITHIN = 5.0
_SHORTER_TRIES = 400


@dataclass
class Outcome:
    """What a campaign did.

    Attributes:
        counts: How often which word came of a case.
        case: The shortest that was found to fail; None when none did.
        reason: How.
    """

    counts: Counter[str] = field(default_factory=Counter)
    case: bytes | None = None
    reason: str = ""


@dataclass
class Campaign:
    """Cases for one target.

    Attributes:
        last: A file that holds the case that is tried now: it tells what killed the process.
        corpus: Where kept cases are, and where what is found goes.
    """

    name: str
    target: Target
    seed: int
    last: Path | None = None
    corpus: Path = CORPUS

    def run(self, seconds: float, cases: int = sys.maxsize) -> Outcome:
        """Until something is found, or the time is over, or so many cases were tried."""
        chance = random.Random(self.seed)  # noqa: S311 -- which case comes next is no secret
        outcome = Outcome()
        pool = [path.read_bytes() for path in kept(self.name, self.corpus)]
        end = time.monotonic() + seconds
        while outcome.case is None and time.monotonic() < end:
            left = cases - outcome.counts.total()
            if left <= 0:
                break
            with self.target.open() as check:
                for _ in range(min(left, self.target.session)):
                    if time.monotonic() >= end or not self._one(check, chance, outcome, pool):
                        break
        if outcome.case is not None:
            outcome.case = self._shortened(outcome.case)
            self.keep(outcome.case)
        return outcome

    def keep(self, case: bytes) -> Path:
        """Write it where tests replay it."""
        folder = self.corpus / self.name
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"found-{hashlib.sha256(case).hexdigest()[:12]}"
        path.write_bytes(case)
        return path

    def _one(
        self, check: Check, chance: random.Random, outcome: Outcome, pool: list[bytes]
    ) -> bool:
        """Whether it came out right."""
        case = self._next(chance, pool)
        if self.last is not None:
            self.last.write_bytes(case)
        word, reason = tried(check, case)
        if reason:
            outcome.case, outcome.reason = case, reason
            return False
        if word not in outcome.counts and len(pool) < _POOL:
            pool.append(case)
        outcome.counts[word] += 1
        return True

    def _next(self, chance: random.Random, pool: list[bytes]) -> bytes:
        made = self.target.make(chance)
        if chance.random() < _MADE:
            return made
        base = chance.choice(pool) if pool and chance.random() < _MADE else made
        return mutated(chance, base, pool, self.target.words)

    def _shortened(self, case: bytes) -> bytes:
        """Without whatever is not needed to fail, alone in a new session.

        What fails only after others is kept as it is.
        """
        end = time.monotonic() + _SHORTER_WITHIN
        tries, size = 0, max(len(case) // 2, 1)
        while size and tries < _SHORTER_TRIES and time.monotonic() < end:
            for at in range(0, len(case), size):
                shorter = case[:at] + case[at + size :]
                tries += 1
                with self.target.open() as check:
                    if tried(check, shorter)[1]:
                        case = shorter
                        break
            else:
                size //= 2
        return case


def tried(check: Check, case: bytes) -> tuple[str, str]:
    """The word for it, and how it failed; one of them is empty."""
    try:
        return check(case) or "nothing", ""
    except Exception as error:  # noqa: BLE001 -- whatever escapes a reader is what is sought
        return "", f"{type(error).__name__}: {error}"
