"""The event loop that a server has: uvicorn takes uvloop, so benchmarks do."""

from collections.abc import Coroutine

import uvloop


def run(work: Coroutine[object, object, None]) -> None:
    """Run to the end."""
    uvloop.run(work)
