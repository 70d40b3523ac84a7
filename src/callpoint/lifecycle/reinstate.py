"""A configuration that was in force, and that the database lost: brought back by its governors.

After a database was restored from an older copy, what was in force later is known from the pinned
file alone. It is not believed for that: whoever can write the file would rule. Governors sign it
again, those whom the database still proves.
"""

from collections.abc import Sequence

from callpoint.domain import event as ev
from callpoint.domain.errors import ConflictError
from callpoint.domain.governance import Bundle, InForce, StoredBundle
from callpoint.domain.ids import INSTALLATION_STREAM
from callpoint.domain.publication import counting, verify_signatures
from callpoint.lifecycle.found import published
from callpoint.lifecycle.publish import changes_of
from callpoint.lifecycle.rules import Rules
from callpoint.ports.keys import Verifier
from callpoint.ports.stores import Store, Transaction


async def reinstate(
    store: Store,
    rules: Rules,
    verifier: Verifier,
    lost: Bundle,
    signatures: Sequence[ev.SignatureRecord],
) -> None:
    """Put the lost bundle in force again; numbers in between stay missing.

    Args:
        store: After its log was recovered.
        verifier: Of signatures.
        rules: What the restored database proves to be in force.
        lost: A later bundle of the same installation.
        signatures: By the quorum of ``rules``, whatever it widens.

    Raises:
        DeniedError: Too few governors signed.
        ConflictError: It is not later, or not of this installation.
    """
    old = rules.bundle
    if lost.installation != old.installation or lost.number <= old.number:
        raise ConflictError(f"bundle {lost.number} is not later than {old.number}, in force here")
    governance = rules.configuration.governance
    governors, is_valid = governance.governors, verifier.is_valid
    signed = verify_signatures(lost, signatures, governors, governance.quorum, is_valid)
    records = counting(lost, signatures, governors, is_valid)
    widens = tuple(str(change) for change in changes_of(old, lost) if change.widens)

    def work(tx: Transaction) -> None:
        pointer = tx.get(InForce, "bundle")
        if pointer.digest != rules.digest:
            raise ConflictError("another bundle was published meanwhile", way_out="try again")
        tx.append(INSTALLATION_STREAM, published(lost, widens, records, signed[0]))
        tx.put(StoredBundle(bundle=lost, digest=lost.digest()))
        tx.put(InForce(number=lost.number, digest=lost.digest(), version=pointer.version))

    await store.transact(work)
