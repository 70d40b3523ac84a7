"""Replacing a key of the installation: log, token or sealing key (I15).

The new key is staged by the key adapter, signed in by the governors, written into the log under
the *old* log key, and only then put into use: whoever trusts the old key can follow to the new one.
"""

from collections.abc import Sequence

from callpoint.audit.note import NoteError, Verifier, parse_note, verify_note
from callpoint.domain.event import KeyRotated, SignatureRecord
from callpoint.domain.governance import Installation, Rotation
from callpoint.domain.ids import INSTALLATION_STREAM
from callpoint.domain.publication import counting, verify_signatures
from callpoint.lifecycle.proof import proven
from callpoint.lifecycle.rules import RuleBook
from callpoint.ports.keys import Verifier as SignatureVerifier
from callpoint.ports.stores import Store, View

LOG = "log"


async def rotate(
    installation: Installation,
    store: Store,
    rules: RuleBook,
    verifier: SignatureVerifier,
    rotation: Rotation,
    signatures: Sequence[SignatureRecord],
) -> None:
    """Record the change; doing it again after a crash records nothing that is there already.

    A new log key must have signed the newest checkpoint, or nothing could be proven with it alone:
    the store's signer holds both keys meanwhile. If a server went on under the old key after a
    crash, the change is recorded once more, and handed over there.

    Raises:
        DeniedError: Too few governors signed: a new key can widen everything.
        TamperError, LogUnavailableError: What is there cannot be proven, or not added to.
    """
    governance = (await rules.current()).configuration.governance
    signed = verify_signatures(
        rotation, signatures, governance.governors, governance.quorum, verifier.is_valid
    )
    if await store.read(lambda view: _is_handed_over(view, installation, rotation)):
        return
    event = KeyRotated(
        actor=signed[0],
        use=rotation.use,
        old=rotation.old,
        new=rotation.new,
        signatures=counting(rotation, signatures, governance.governors, verifier.is_valid),
    )
    await store.transact(lambda tx: tx.append(INSTALLATION_STREAM, event))


def rotations(view: View, installation: Installation) -> tuple[KeyRotated, ...]:
    """Every change of a key, oldest first, proven. Raises TamperError or LogUnavailableError."""
    events = proven(view, installation, [INSTALLATION_STREAM])[INSTALLATION_STREAM]
    return tuple(item.event for item in events if isinstance(item.event, KeyRotated))


def _is_handed_over(view: View, installation: Installation, rotation: Rotation) -> bool:
    facts = (rotation.use, rotation.old, rotation.new)
    known = ((e.use, e.old, e.new) for e in rotations(view, installation))
    if facts not in known:
        return False
    return rotation.use != LOG or _has_signed(rotation.new, view.checkpoint())


def _has_signed(key: str, checkpoint: str) -> bool:
    try:
        verify_note(parse_note(checkpoint.encode()), [Verifier.parse(key)])
    except NoteError:
        return False
    return True
