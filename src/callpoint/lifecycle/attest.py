"""A target that no longer exists: two governors attest it, and its leases close without proof.

It is the only way in which a lease ends that no target has shown dead. So it is narrow: the target
has not answered the newest attempt, each governor is a person who neither asked nor answers for who
asked, and what they close is a finding that the review reads.
"""

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.errors import ConflictError, DeniedError, RequestError
from callpoint.domain.ids import activation_stream
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.principal import PrincipalKind
from callpoint.domain.review import Finding
from callpoint.lifecycle import custody
from callpoint.lifecycle.announce import announce
from callpoint.lifecycle.refusal import on_record
from callpoint.lifecycle.removal import NOT_TRIED
from callpoint.lifecycle.revoke import revoke
from callpoint.lifecycle.services import Services
from callpoint.ports.identity import Caller
from callpoint.ports.stores import Transaction

NEEDED = 2
LEAST_ATTEMPTS = 10
"""With waits that double up to a minute, and calls that time out: about five minutes of silence."""
ATTEST = "lease:attest"
_WORDS = 500


async def attest(services: Services, caller: Caller, lease: str, because: str) -> Lease:
    """Say that the target of a lease is gone for good; the second person's word closes it.

    Raises:
        DeniedError: Not a governor, or the requester's own.
        ConflictError: The target answers, or was not tried often enough, or it is over.
    """
    words = because.strip()
    if not words or len(words) > _WORDS:
        raise RequestError(f"say in 1 to {_WORDS} characters how you know that it is gone")
    person = await _governor(services, caller, lease)
    await revoke(services, lease)  # a target that answers now needs nobody's word

    def work(tx: Transaction) -> Lease:
        held = tx.get(Lease, lease)
        _must_be_lost(held)
        if person in held.attested_by:
            raise ConflictError(
                f"{person} has attested {lease}", way_out="another governor must as well"
            )
        said = ev.LeaseAttested(
            actor=caller.principal.id,
            lease=lease,
            target=held.plan.target,
            person=person,
            private={"because": services.private(words)},
        )
        tx.append(activation_stream(held.activation), said)
        after = msgspec.structs.replace(held, attested_by=(*held.attested_by, person))
        return _close(tx, after) if len(after.attested_by) >= NEEDED else tx.put(after)

    async with on_record(services, caller, ATTEST, lease):
        made = await services.store.transact(work)
    activation = await services.store.read(lambda view: view.get(Activation, made.activation))
    text = f"{person} attests that {made.plan.target}, and {lease} with it, no longer exists"
    await announce(services, activation, "lease:attested", text, urgent=True)
    return made


async def _governor(services: Services, caller: Caller, lease: str) -> str:
    """The caller's person, who must govern and have no part in the activation."""
    configuration = (await services.rules.current()).configuration
    held = await services.store.read(lambda view: view.get(Lease, lease))
    found = await services.store.read(lambda view: view.get(Activation, held.activation))
    person = caller.principal.persons[0]
    async with on_record(services, caller, ATTEST, lease):
        may = set(configuration.governance.governors) - set(found.request.persons)
        if caller.principal.kind is not PrincipalKind.HUMAN or person not in may:
            raise DeniedError(
                f"{caller.principal.id} cannot attest {lease}",
                way_out="ask two governors: " + (", ".join(sorted(may)) or "(nobody)"),
            )
    return person


def is_lost(held: Lease) -> bool:
    """Whether its target was silent often enough for governors to say that it is gone."""
    is_tried = held.is_silent and held.attempts >= LEAST_ATTEMPTS
    return held.state is LeaseState.ENDING and is_tried


def _must_be_lost(held: Lease) -> None:
    if held.state is not LeaseState.ENDING:
        raise ConflictError(f"lease {held.id} is {held.state}: there is nothing to attest")
    if not held.is_silent:
        raise ConflictError(
            f"{held.plan.target} answers: {held.last_error}",
            way_out="repair it there; what answers is proven, not attested",
        )
    if held.attempts < LEAST_ATTEMPTS:
        raise ConflictError(
            f"{held.plan.target} was tried {held.attempts} times only",
            way_out=f"it is tried again by itself; {LEAST_ATTEMPTS} attempts take some minutes",
        )


def _close(tx: Transaction, held: Lease) -> Lease:
    """Ended, with two persons' word in place of proof."""
    names = ", ".join(held.attested_by)
    text = f"{held.plan.account} was not proven dead: {names} attest that the target is gone"
    event = ev.LeaseEnded(
        lease=held.id,
        target=held.plan.target,
        evidence=f"attested by {names}",
        control=held.probed or NOT_TRIED,
        code="",
        residue=(Finding(kind="attested", text=text),),
    )
    tx.append(activation_stream(held.activation), event)
    activation = tx.get(Activation, held.activation)
    tx.put(activation.apply(event, tx.now()))
    custody.release(tx, held)
    return tx.put(held.buried(tx.now(), event.evidence))
