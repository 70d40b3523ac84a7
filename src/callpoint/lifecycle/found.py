"""``callpoint init``: the genesis entry and the first signed configuration (I15).

There is no default administrator: the governors are named here, and nobody else ever was.
"""

from collections.abc import Sequence

from callpoint.domain import event as ev
from callpoint.domain.errors import ConflictError, RequestError
from callpoint.domain.governance import Bundle, InForce, Installation, StoredBundle
from callpoint.domain.ids import INSTALLATION_STREAM
from callpoint.domain.publication import counting, verify_signatures
from callpoint.domain.untrusted import bounded
from callpoint.ports.keys import Verifier
from callpoint.ports.stores import Store, Transaction

_LINES_LISTED = 100
_LINE_LENGTH = 200


async def found(
    installation: Installation,
    store: Store,
    verifier: Verifier,
    bundle: Bundle,
    signatures: Sequence[ev.SignatureRecord],
) -> None:
    """Write genesis and publish bundle 1, in one transaction.

    Raises:
        ConflictError: The store holds an installation already.
        DeniedError: The governors' signatures do not carry the first configuration.
    """
    _must_fit(installation, bundle)
    signed = verify_signatures(
        bundle, signatures, installation.governors, installation.quorum, verifier.is_valid
    )
    records = counting(bundle, signatures, installation.governors, verifier.is_valid)
    genesis = ev.InstallationCreated(
        installation=installation.id,
        governors=installation.governors,
        quorum=installation.quorum,
        log_key=installation.log_key,
        seal_recipient=installation.seal_recipient,
        token_key=installation.token_key,
        trial=installation.trial,
    )

    def work(tx: Transaction) -> None:
        if tx.find(InForce, "bundle") is not None:
            raise ConflictError(
                "this store holds an installation already",
                way_out="choose another --home, or publish a change with `callpoint publish`",
            )
        tx.append(INSTALLATION_STREAM, genesis)
        tx.append(INSTALLATION_STREAM, published(bundle, (), records, signed[0]))
        tx.put(StoredBundle(bundle=bundle, digest=bundle.digest()))
        tx.put(InForce(number=bundle.number, digest=bundle.digest()))

    await store.transact(work)


def published(
    bundle: Bundle,
    widens: tuple[str, ...],
    signatures: Sequence[ev.SignatureRecord],
    actor: str,
) -> ev.BundlePublished:
    """The event that puts a bundle in force."""
    return ev.BundlePublished(
        actor=actor,
        number=bundle.number,
        digest=bundle.digest(),
        configuration_digest=bundle.configuration_digest(),
        policy_digest=bundle.policy_digest(),
        previous=bundle.previous,
        widens=told(widens),
        signatures=tuple(signatures),
    )


def told(widens: tuple[str, ...]) -> tuple[str, ...]:
    """The lines that widen, cut so that a bundle of any size fits into one entry."""
    lines = tuple(bounded(line, _LINE_LENGTH) for line in widens[:_LINES_LISTED])
    more = len(widens) - len(lines)
    return (*lines, f"and {more} more lines") if more else lines


def _must_fit(installation: Installation, bundle: Bundle) -> None:
    """The first bundle is this installation's, and names the same governors as genesis."""
    governance = bundle.configuration.governance
    if (bundle.installation, bundle.number, bundle.previous) != (installation.id, 1, ""):
        raise RequestError("this is not the first bundle of this installation")
    if (governance.governors, governance.quorum) != (installation.governors, installation.quorum):
        raise RequestError(
            "the configuration's governors are not those of the genesis",
            way_out="let [governance] name the same governors and quorum",
        )
