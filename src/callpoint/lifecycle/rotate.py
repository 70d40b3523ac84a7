"""Replacing a key of the installation: log, token or sealing key (I15).

The new key is staged by the key adapter, signed in by the governors, written into the log under
the *old* log key, and only then put into use: whoever trusts the old key can follow to the new one.
"""

from collections.abc import Sequence

from callpoint.domain import event as ev
from callpoint.domain.event import KeyRotated, SignatureRecord
from callpoint.domain.governance import Rotation
from callpoint.domain.ids import INSTALLATION_STREAM
from callpoint.domain.publication import counting, verify_signatures
from callpoint.lifecycle.proof import proven
from callpoint.lifecycle.services import Services


async def rotate(
    services: Services, rotation: Rotation, signatures: Sequence[SignatureRecord]
) -> None:
    """Record the change; doing it again after a crash records nothing new.

    Raises:
        DeniedError: Too few governors signed: a new key can widen everything.
    """
    rules = await services.rules.current()
    governance = rules.configuration.governance
    signed = verify_signatures(
        rotation, signatures, governance.governors, governance.quorum, services.verifier.is_valid
    )
    if await _is_recorded(services, rotation):
        return
    event = KeyRotated(
        actor=signed[0],
        use=rotation.use,
        old=rotation.old,
        new=rotation.new,
        signatures=counting(rotation, signatures, governance.governors, services.verifier.is_valid),
    )
    await services.store.transact(lambda tx: tx.append(INSTALLATION_STREAM, event))


async def _is_recorded(services: Services, rotation: Rotation) -> bool:
    """A process that died between the log and the key files does this twice."""
    events = await services.store.read(
        lambda view: proven(view, services.installation, [INSTALLATION_STREAM])
    )
    facts = (rotation.use, rotation.old, rotation.new)
    return any(
        isinstance(item.event, ev.KeyRotated)
        and (item.event.use, item.event.old, item.event.new) == facts
        for item in events[INSTALLATION_STREAM]
    )
