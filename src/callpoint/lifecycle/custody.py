"""The store's side of checked-out accounts: who has one, and which secrets may be in force there.

A secret that is *set* at a target never comes out of a row, or whoever can write to the database
could choose it: it was drawn by this process, or its sealed box is the one that the log names.
What rows hold is only ever *tried*, and offered to targets that ask for the old secret.
"""

import base64
import hashlib

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.errors import CallpointError, TamperError, UnavailableError
from callpoint.domain.ids import activation_stream
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.lease_kind import LeaseKind
from callpoint.domain.static_secret import Candidate, Purpose, StaticSecret, static_secret_key
from callpoint.domain.undo_plan import UndoPlan
from callpoint.lifecycle.proof import proven
from callpoint.lifecycle.services import Services
from callpoint.ports.stores import Transaction, View, Where

SECRET_SIZE = 24
_OPEN = (LeaseState.PLANNED, LeaseState.LIVE, LeaseState.ENDING)
_ALL = 1_000_000


class Drawn(msgspec.Struct, frozen=True):
    """A fresh secret and its box. Its ``repr`` hides it."""

    secret: str
    box: str

    def __repr__(self) -> str:
        return "Drawn(<hidden>)"


class Held(msgspec.Struct, frozen=True):
    """The secret to set now, with what may be in force before. Its ``repr`` hides them."""

    secret: str
    generation: int
    former: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Held(generation={self.generation}, secrets=<hidden>)"


def draw(services: Services) -> Drawn:
    """A new secret of 192 random bits, sealed to the installation. It reads and writes nothing."""
    secret = base64.urlsafe_b64encode(services.random.token(SECRET_SIZE)).decode("ascii")
    box = services.sealer.seal(secret.encode(), services.vault.recipient)
    return Drawn(secret=secret, box=base64.b64encode(box).decode())


def find(view: View, plan: UndoPlan) -> StaticSecret | None:
    """The record of a plan's account. TamperError when it does not parse."""
    return view.find(StaticSecret, static_secret_key(plan.target, plan.account))


def take(tx: Transaction, services: Services, lease: Lease) -> Held | None:
    """With the intent: the lease has the account alone, and the pending secret is stored (I1, I12).

    Returns:
        None for a minted lease.

    Raises:
        ConflictError: Another lease has the account.
        TamperError: The record was changed by hand.
    """
    if lease.plan.kind is not LeaseKind.CHECKED_OUT:
        return None
    plan = lease.plan
    row = find(tx, plan) or StaticSecret(plan.target, plan.account)
    others = tx.select(Lease, Where(states=_OPEN, subject=plan.target, limit=_ALL))
    for other in others:  # the record says it too, and a record can be changed by hand
        if other.id != lease.id and _is_of(plan, other):
            row = row.seized(other.id)
    return _prepare(tx, services, lease, row.taken(lease.id), Purpose.CHECK_OUT)


def _is_of(plan: UndoPlan, other: Lease) -> bool:
    return other.plan.kind is LeaseKind.CHECKED_OUT and other.plan.account == plan.account


def replace(tx: Transaction, services: Services, lease: Lease, proven_box: str) -> Held:
    """Before check-in: the next secret is stored. One that the log vouches for is taken up again.

    A record that cannot be read is begun anew: what takes away never stops at a spoilt row (I11).
    """
    try:
        row = find(tx, lease.plan)
    except TamperError:
        tx.remove(StaticSecret, static_secret_key(lease.plan.target, lease.plan.account))
        row = None
    row = (row or StaticSecret(lease.plan.target, lease.plan.account)).seized(lease.id)
    newest = row.newest
    if newest and row.is_prepared(lease.id, Purpose.CHECK_IN) and newest.box == proven_box:
        try:
            return _held(services, row, _open(services, newest))
        except UnavailableError:
            pass  # no key opens it any more: the next one is drawn, and this stays a candidate
    return _prepare(tx, services, lease, row, Purpose.CHECK_IN)


def pending_box(view: View, services: Services, lease: Lease) -> str:
    """The box of an earlier attempt at check-in, if the log proves that we wrote it; else empty."""
    stream = activation_stream(lease.activation)
    try:
        row = find(view, lease.plan)
        newest = row.newest if row and row.is_prepared(lease.id, Purpose.CHECK_IN) else None
        events = proven(view, services.installation, [stream])[stream] if newest else ()
    except CallpointError:
        return ""  # a new one is drawn instead: revocation waits neither for the log nor for rows
    digests = {
        item.event.box_sha256
        for item in events
        if isinstance(item.event, ev.SecretPrepared) and item.event.lease == lease.id
    }
    return newest.box if newest and _digest(newest.box) in digests else ""


def settle(tx: Transaction, lease: Lease, generation: int, *, release: bool) -> None:
    """The secret of this generation was seen in force: the former ones go.

    Raises:
        ConflictError: A newer one was prepared meanwhile, so this proves nothing any more.
    """
    row = tx.get(StaticSecret, static_secret_key(lease.plan.target, lease.plan.account))
    done = row.settled(generation, tx.now())
    event = ev.SecretPromoted(
        lease=lease.id, target=lease.plan.target, account=lease.plan.account, generation=generation
    )
    tx.append(activation_stream(lease.activation), event)
    tx.put(done.released() if release else done)


def release(tx: Transaction, lease: Lease) -> None:
    """The lease is over without proof (attested): nobody has the account."""
    if lease.plan.kind is not LeaseKind.CHECKED_OUT:
        return
    row = find(tx, lease.plan)
    if row is not None and row.lease == lease.id:
        tx.put(row.released())


def former(services: Services, row: StaticSecret | None) -> tuple[str, ...]:
    """Every stored secret that a key opens, newest first."""
    found: list[str] = []
    for candidate in reversed(row.candidates if row else ()):
        try:
            found.append(_open(services, candidate))
        except UnavailableError:
            continue  # it can be neither tried nor offered; the target is asked without it
    return tuple(found)


def _prepare(
    tx: Transaction, services: Services, lease: Lease, row: StaticSecret, purpose: Purpose
) -> Held:
    drawn = draw(services)
    after = row.prepared(purpose, drawn.box, tx.now())
    held = _held(services, after, drawn.secret)
    event = ev.SecretPrepared(
        lease=lease.id,
        target=row.target,
        account=row.account,
        purpose=purpose,
        generation=held.generation,
        box_sha256=_digest(drawn.box),
    )
    tx.append(activation_stream(lease.activation), event)
    tx.put(after)
    return held


def _held(services: Services, row: StaticSecret, secret: str) -> Held:
    before = former(services, msgspec.structs.replace(row, candidates=row.candidates[:-1]))
    return Held(secret=secret, generation=row.candidates[-1].generation, former=before)


def _open(services: Services, candidate: Candidate) -> str:
    try:
        return services.vault.open(base64.b64decode(candidate.box)).decode("ascii")
    except ValueError as error:
        raise UnavailableError("a stored secret is no age file of ours") from error


def _digest(box: str) -> str:
    return hashlib.sha256(box.encode()).hexdigest()
