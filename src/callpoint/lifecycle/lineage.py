"""Every configuration was signed by governors of the one before, back to genesis (I15).

That the log names a configuration is not enough: whoever can write to the database can put an event
into the spool, and the log's key numbers what it finds there. Only governors' keys are elsewhere.
"""

from collections.abc import Callable, Sequence

from callpoint.domain.errors import DeniedError, TamperError
from callpoint.domain.event import BundlePublished
from callpoint.domain.governance import Bundle, Installation, StoredBundle
from callpoint.domain.publication import verify_signatures
from callpoint.domain.widening import compare, required_signatures
from callpoint.ports.keys import Verifier


def must_descend(
    installation: Installation,
    base: Bundle | None,
    published: Sequence[BundlePublished],
    stored: Callable[[int], StoredBundle | None],
    verifier: Verifier,
) -> None:
    """Follow the signatures from a configuration that was proven before to the newest.

    Args:
        installation: Its governors signed the first configuration.
        base: Proven here before; None to begin at genesis.
        published: Of the log, oldest first.
        stored: The row of a configuration's number.
        verifier: Of signatures.

    Raises:
        TamperError: One is missing, is not the one that was signed, or too few governors signed.
    """
    before = base
    for event in published:
        if before is not None and event.number <= before.number:
            continue
        row = stored(event.number)
        if row is None or row.bundle.digest() != event.digest:
            raise TamperError(
                f"configuration {event.number} in the database is not the one in the log"
            )
        _must_be_signed(installation, before, row.bundle, event, verifier)
        before = row.bundle


def _must_be_signed(
    installation: Installation,
    before: Bundle | None,
    bundle: Bundle,
    event: BundlePublished,
    verifier: Verifier,
) -> None:
    governors, need = installation.governors, installation.quorum
    if before is not None:
        changes = compare(
            before.configuration, bundle.configuration, before.policies, bundle.policies
        )
        governors = before.configuration.governance.governors
        need = required_signatures(changes, before.configuration, installation.quorum)
    try:
        verify_signatures(bundle, event.signatures, governors, need, verifier.is_valid)
    except DeniedError as error:
        raise TamperError(
            f"configuration {bundle.number} was not signed by the governors: {error.message}",
            way_out="somebody wrote to the database by hand; restore it, and find out who could",
        ) from error
