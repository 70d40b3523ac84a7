"""One target, for so long: cases are made, mutated, tried; what is found is shortened and kept."""

import hashlib
import random
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

    def run(self, seconds: float) -> Outcome:
        """Until something is found, or the time is over."""
        chance = random.Random(self.seed)  # noqa: S311 -- which case comes next is no secret
        outcome = Outcome()
        pool = [path.read_bytes() for path in kept(self.name, self.corpus)]
        end = time.monotonic() + seconds
        while outcome.case is None and time.monotonic() < end:
            with self.target.open() as check:
                self._session(check, chance, outcome, pool, end)
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

    def _session(
        self,
        check: Check,
        chance: random.Random,
        outcome: Outcome,
        pool: list[bytes],
        end: float,
    ) -> None:
        for _ in range(self.target.session):
            if time.monotonic() >= end:
                return
            case = self._next(chance, pool)
            if self.last is not None:
                self.last.write_bytes(case)
            word, reason = tried(check, case)
            if reason:
                outcome.case, outcome.reason = case, reason
                return
            if word not in outcome.counts and len(pool) < _POOL:
                pool.append(case)
            outcome.counts[word] += 1

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
