"""``callpoint installation adopt``: a database that was moved is at home where it is now.

Whoever holds the host's files can do it, as with ``log recover``; it stands in the log for ever.
"""

from dataclasses import dataclass
from pathlib import Path

from callpoint.bootstrap.home import Home
from callpoint.bootstrap.key_change import finish_rotations
from callpoint.bootstrap.outside import Outside, open_store
from callpoint.config.settings import load_settings
from callpoint.domain.epoch import Began, Epoch
from callpoint.domain.errors import ConflictError, HeldError
from callpoint.lifecycle import epoch


@dataclass(frozen=True)
class Adopted:
    """What became of it: the epoch that began, and where the database is."""

    epoch: Epoch
    place: str


async def adopt(home: Path, reason: str, actor: str, outside: Outside) -> Adopted:
    """Begin an epoch, then let the database be at home here. A death in between leaves it held.

    Raises:
        ConflictError: It is where it was.
        StoreUnavailableError: A server runs on it.
    """
    place = Home(home)
    finish_rotations(place)
    settings, installation = load_settings(home), place.installation()
    try:
        store = await open_store(settings, installation, outside, alone=True)
    except HeldError:
        store = await open_store(settings, installation, outside, alone=True, allow_moved=True)
    else:
        await store.close()
        raise ConflictError(
            f"the database is where it was, at {store.place}: there is nothing to adopt"
        )
    try:
        began = await epoch.begin(store, Began.MOVED, actor=actor, reason=reason, place=store.place)
        await store.settle()
    finally:
        await store.close()
    return Adopted(began, store.place)
