"""``callpoint clock accept``: going on after the store's clock had jumped ahead and was set right.

Until the clock has caught up by itself, or somebody accepts it, nothing is issued (I4).
"""

from pathlib import Path

from callpoint.bootstrap.home import Home
from callpoint.bootstrap.outside import Outside, open_store
from callpoint.config.settings import load_settings
from callpoint.domain.event import ClockAccepted


async def accept_clock(home: Path, reason: str, actor: str, outside: Outside) -> ClockAccepted:
    """Record it in the log, then take the clock as it is.

    Raises:
        ConflictError: The clock is not behind.
        StoreUnavailableError: A server runs on the store.
    """
    installation = Home(home).installation()
    store = await open_store(load_settings(home), installation, outside, alone=True)
    try:
        return await store.accept_clock(reason, actor=actor)
    finally:
        await store.close()
