"""An owner's timer: what ends access that is over, also when Callpoint is dead."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from itertools import chain, repeat

from callpoint.cli.demo.errors import expect

_RUNS_THAT_PROVE_A_TIMER = 3
_FIRST_SECONDS = 0.2
_READY_WITHIN_SECONDS = 30.0


@contextlib.contextmanager
def owners_timer(name: str, every: float, tick: Callable[[], object]) -> Iterator[None]:
    """Run ``tick`` every so many seconds, until the block ends.

    The first runs follow each other fast, because only a timer that was seen to run is counted on.
    """
    stop = threading.Event()
    ran = threading.Semaphore(0)

    def run() -> None:
        pauses = chain(repeat(_FIRST_SECONDS, _RUNS_THAT_PROVE_A_TIMER), repeat(every))
        for pause in pauses:
            tick()
            ran.release()
            if stop.wait(pause):
                return

    timer = threading.Thread(target=run, name=name, daemon=True)
    timer.start()
    for _ in range(_RUNS_THAT_PROVE_A_TIMER):
        expect(ran.acquire(timeout=_READY_WITHIN_SECONDS), f"{name} runs")
    try:
        yield
    finally:
        stop.set()
        timer.join()
