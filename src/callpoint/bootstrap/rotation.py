"""``callpoint key``: a new log, token or sealing key, signed in by the governors (I15).

Offline, in three steps: *stage* makes the key, the governors *sign* the statement about it, and
*rotate* records it in the log under the old key and puts it into use. Each step may die anywhere
and be repeated.
"""

from collections.abc import Sequence
from pathlib import Path

from callpoint.adapters.keys.files import (
    Ed25519Verifier,
    FileLogSigner,
    HandoverSigner,
    KeyUse,
    stage_key,
    staged_key,
)
from callpoint.bootstrap.home import Home, write
from callpoint.bootstrap.key_change import finish_rotations, key_in_use, with_key
from callpoint.bootstrap.outside import Outside, build_decider, open_store
from callpoint.config.settings import load_settings
from callpoint.domain.errors import ConflictError
from callpoint.domain.event import SignatureRecord
from callpoint.domain.governance import Installation, Rotation
from callpoint.domain.publication import verify_signatures
from callpoint.lifecycle.rotate import rotate, rotations
from callpoint.lifecycle.rules import RuleBook
from callpoint.ports.stores import Store


def statement_file(home: Path, use: str) -> Path:
    """What the governors sign."""
    return home / f"rotation-{use}.json"


def stage(home: Path, name: str) -> Rotation:
    """Make the next key, or take up the one that is staged; write what governors sign.

    The server may run meanwhile: nothing uses a staged key.

    Args:
        home: The installation's folder.
        name: ``log``, ``token`` or ``seal``.

    Raises:
        ConfigError: There is no installation, or a key cannot be read.
        StoreUnavailableError: The home folder cannot be written.
    """
    place, use = Home(home), KeyUse(name)
    finish_rotations(place)
    installation = place.installation()
    new = staged_key(place.keys, use) or stage_key(place.keys, use)
    made = Rotation(installation.id, str(use), key_in_use(installation, use), new)
    write(statement_file(home, use), made)
    return made


async def rotate_key(
    home: Path, name: str, signatures: Sequence[SignatureRecord], outside: Outside
) -> Rotation:
    """Record the staged key's rotation and put the key into use.

    Args:
        home: The installation's folder.
        name: ``log``, ``token`` or ``seal``.
        signatures: The governors', over the statement that ``stage`` wrote.
        outside: For the store's DSN and clock.

    Returns:
        The rotation; also when an earlier run of the same command had finished it.

    Raises:
        ConflictError: No key is staged, and the signatures are of no finished rotation.
        DeniedError: Too few governors signed; nothing was changed.
        StoreUnavailableError: A server runs on the store.
    """
    place, use = Home(home), KeyUse(name)
    finish_rotations(place)
    installation = place.installation()
    new = staged_key(place.keys, use)
    settings = load_settings(home)
    hands_over = use is KeyUse.LOG and new is not None
    signer = HandoverSigner(place.keys) if hands_over else FileLogSigner(place.keys)
    store = await open_store(settings, installation, outside, signer=signer, alone=True)
    try:
        rules = RuleBook(
            installation,
            store,
            build_decider,
            verifier=Ed25519Verifier(),
            pinned=place.pinned(),
        )
        if new is None:
            return await _finished(store, rules, installation, use, signatures)
        rotation = Rotation(installation.id, str(use), key_in_use(installation, use), new)
        await rotate(installation, store, rules, Ed25519Verifier(), rotation, signatures)
    finally:
        await store.close()
    # From here on the new key is the one in use: what a death leaves, the next start finishes.
    place.write_installation(with_key(installation, use, new))
    finish_rotations(place)
    statement_file(home, use).unlink(missing_ok=True)
    return rotation


async def _finished(
    store: Store,
    rules: RuleBook,
    installation: Installation,
    use: KeyUse,
    signatures: Sequence[SignatureRecord],
) -> Rotation:
    """The rotation that brought the key in use, if that is what the signatures are of."""
    governance = (await rules.current()).configuration.governance
    in_use = key_in_use(installation, use)
    for event in await store.read(lambda view: rotations(view, installation)):
        if (event.use, event.new) == (use, in_use):
            done = Rotation(installation.id, event.use, event.old, event.new)
            is_valid = Ed25519Verifier().is_valid
            verify_signatures(done, signatures, governance.governors, 1, is_valid)
            return done
    raise ConflictError(
        f"no new {use} key is staged", way_out=f"run `callpoint key stage {use}` first"
    )
