"""``callpoint log recover``: going on after the database lost a part of the log.

Whoever holds the host's files can do it, because they hold the log key already; what it says goes
into the log, under a new origin, where every reader of an older checkpoint finds it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from callpoint.adapters.keys.files import Ed25519Verifier
from callpoint.adapters.stores.sql.store import SqlStore
from callpoint.bootstrap.home import Home, write
from callpoint.bootstrap.key_change import finish_rotations
from callpoint.bootstrap.outside import Outside, build_decider, open_store
from callpoint.config.settings import load_settings
from callpoint.domain.epoch import Began
from callpoint.domain.errors import ConflictError, LogHaltedError
from callpoint.domain.event import LogRecovered, SignatureRecord
from callpoint.domain.governance import Bundle, Installation
from callpoint.lifecycle import epoch
from callpoint.lifecycle.proof import newest_checkpoint
from callpoint.lifecycle.reinstate import reinstate
from callpoint.lifecycle.rules import RuleBook

LOST_CONFIGURATION = "lost-configuration.json"


@dataclass(frozen=True)
class Recovered:
    """What became of it.

    Attributes:
        origin: The log's name from now on.
        event: As it stands in the log; None when the log was whole and only the rest was to do.
        lost: A configuration that was in force here and is not in the database: nothing is given
            until its governors sign it again. Written to ``LOST_CONFIGURATION``.
    """

    origin: str
    event: LogRecovered | None
    lost: Bundle | None


async def recover_log(
    home: Path,
    reason: str,
    actor: str,
    signatures: Sequence[SignatureRecord],
    outside: Outside,
) -> Recovered:
    """Open a new origin, remember it, and bring a lost configuration back if it is signed.

    A run that died is finished by the same command.

    Raises:
        ConflictError: The log is whole, and there is nothing else to do.
        TamperError: What is left in the database does not agree with itself.
        DeniedError: The signatures do not carry the lost configuration.
        StoreUnavailableError: A server runs on the store.
    """
    place = Home(home)
    finish_rotations(place)
    installation = place.installation()
    store = await open_store(load_settings(home), installation, outside, alone=True)
    try:
        event = await _recover(store, reason, actor)
        # Recoveries add to the first origin, so it is what the newest one is read against.
        first = msgspec.structs.replace(installation, origin=f"callpoint/{installation.id}")
        origin = (await store.read(lambda view: newest_checkpoint(view, first))).origin
        is_new = origin != installation.origin
        if is_new:
            place.write_installation(msgspec.structs.replace(installation, origin=origin))
        had_lost, lost = await _configuration(store, first, place, signatures)
        if event is None and not is_new and not had_lost:
            raise ConflictError("the log is whole: there is nothing to recover from")
    finally:
        await store.close()
    return Recovered(origin, event, lost)


async def _recover(store: SqlStore, reason: str, actor: str) -> LogRecovered | None:
    try:
        await store.check_log()
    except LogHaltedError:
        # First, while it is still halted: a death in between gives nothing away.
        await epoch.begin(store, Began.RECOVERED, actor=actor, reason=reason)
        return await store.recover(reason, actor=actor)
    return None  # whole: perhaps a run before this one died after it


async def _configuration(
    store: SqlStore,
    installation: Installation,
    place: Home,
    signatures: Sequence[SignatureRecord],
) -> tuple[bool, Bundle | None]:
    """Whether the database lacks the pinned configuration, and it, if it still does."""
    pinned = place.pinned()
    rules = await RuleBook(installation, store, build_decider, verifier=Ed25519Verifier()).current()
    file = place.root / LOST_CONFIGURATION
    if pinned is None or pinned.number <= rules.bundle.number:
        file.unlink(missing_ok=True)
        return False, None
    if not signatures:
        write(file, pinned)
        return True, pinned
    await reinstate(store, rules, Ed25519Verifier(), pinned, signatures)
    file.unlink(missing_ok=True)
    return True, None
