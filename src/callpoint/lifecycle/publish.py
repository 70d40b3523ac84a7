"""Changing the rules: a signed bundle, whose digest is in the log before it loads (I15).

Whatever widens access needs the governors' quorum; tightening needs one and applies at once.
"""

from collections.abc import Callable, Sequence

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.change import Change
from callpoint.domain.errors import CallpointError, ConflictError, DeniedError, RequestError
from callpoint.domain.governance import Bundle, InForce, Published, StoredBundle
from callpoint.domain.ids import INSTALLATION_STREAM
from callpoint.domain.publication import counting, verify_signatures
from callpoint.domain.untrusted import printable
from callpoint.domain.widening import compare, required_signatures
from callpoint.lifecycle.found import published, told
from callpoint.lifecycle.live_sessions import moved
from callpoint.lifecycle.rules import Rules
from callpoint.lifecycle.services import Services
from callpoint.ports.identity import Caller
from callpoint.ports.notifiers import Notice
from callpoint.ports.stores import Transaction


async def publish(
    services: Services,
    caller: Caller,
    bundle: Bundle,
    signatures: Sequence[ev.SignatureRecord],
    check: Callable[[Bundle], None],
) -> Published:
    """Put a bundle in force.

    ``check`` raises ConfigError when the policies do not validate against the configuration.

    Raises:
        DeniedError: It widens access and too few governors signed; recorded.
        ConflictError: It does not follow the bundle in force.
    """
    rules = await services.rules.current()
    _must_follow(services, rules, bundle)
    await _must_be_a_governors(services, caller, rules, bundle, signatures)
    check(bundle)
    changes = changes_of(rules.bundle, bundle)
    widens = tuple(str(change) for change in changes if change.widens)
    governance = rules.configuration.governance
    need = required_signatures(changes, rules.configuration, services.installation.quorum)
    try:
        signed = verify_signatures(
            bundle, signatures, governance.governors, need, services.verifier.is_valid
        )
    except DeniedError as error:
        await _refuse(services, caller, bundle, widens, error)
        raise
    records = counting(bundle, signatures, governance.governors, services.verifier.is_valid)

    def work(tx: Transaction) -> None:
        pointer = tx.get(InForce, "bundle")
        if pointer.digest != bundle.previous:
            raise ConflictError("another bundle was published meanwhile", way_out="sign again")
        tx.append(INSTALLATION_STREAM, published(bundle, widens, records, caller.principal.id))
        tx.put(StoredBundle(bundle=bundle, digest=bundle.digest()))
        tx.put(msgspec.structs.replace(pointer, number=bundle.number, digest=bundle.digest()))
        moved(tx)

    await services.store.transact(work)
    await services.notifier.notify(
        Notice(
            kind="bundle:published",
            about=str(bundle.number),
            to=tuple(governance.governors),
            text=f"configuration {bundle.number} is in force; it widens:"
            f" {'; '.join(told(widens)) or 'nothing'}",
            urgent=bool(widens),
        )
    )
    return Published(number=bundle.number, digest=bundle.digest(), widens=widens, signed_by=signed)


def changes_of(old: Bundle, new: Bundle) -> tuple[Change, ...]:
    """Every line that differs, and whether it widens access."""
    return compare(old.configuration, new.configuration, old.policies, new.policies)


def _must_follow(services: Services, rules: Rules, bundle: Bundle) -> None:
    if bundle.installation != services.installation.id:
        raise RequestError(f"the bundle is for installation {bundle.installation}")
    if (bundle.number, bundle.previous) != (rules.bundle.number + 1, rules.digest):
        raise ConflictError(
            f"bundle {bundle.number} does not follow bundle {rules.bundle.number} in force",
            way_out="run `callpoint publish propose` again and have it signed",
        )


async def _must_be_a_governors(
    services: Services,
    caller: Caller,
    rules: Rules,
    bundle: Bundle,
    signatures: Sequence[ev.SignatureRecord],
) -> None:
    """One good signature first: checking policies takes seconds that a stranger may not have."""
    governors = rules.configuration.governance.governors
    try:
        verify_signatures(bundle, signatures, governors, 1, services.verifier.is_valid)
    except ValueError as error:
        raise RequestError(f"the bundle cannot be signed: {printable(str(error))}") from error
    except DeniedError as error:
        await _refuse(services, caller, bundle, (), error)
        raise


async def _refuse(
    services: Services,
    caller: Caller,
    bundle: Bundle,
    widens: tuple[str, ...],
    error: CallpointError,
) -> None:
    event = ev.BundleRefused(
        actor=caller.principal.id,
        digest=bundle.digest(),
        widens=told(widens),
        reason=printable(error.message, 500),
    )
    await services.store.transact(lambda tx: tx.append(INSTALLATION_STREAM, event), urgent=True)
