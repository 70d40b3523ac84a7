"""Steps 3.5 and 5 of a checked-out account: a secret for this activation, and its end.

``check_out``: the pending secret is stored since the intent; set it, end whoever was on the
account, see that it works. ``check_in``: a next secret is stored; set it, which is all the
disabling there can be; end sessions; look what was left; see the old one refused and the new one
right. Only then is the pending secret promoted and the account free. Whatever secret the actor set
itself does not matter: the account has one, and the target says that it is ours.
"""

from datetime import timedelta

from callpoint.domain.errors import TargetError, TargetRefusedError
from callpoint.domain.lease import Lease, Rung
from callpoint.domain.undo_plan import UndoPlan
from callpoint.lifecycle import custody
from callpoint.lifecycle.custody import Held
from callpoint.lifecycle.removal import STEP_LIMIT, Ladder, Removal
from callpoint.lifecycle.residual import connector
from callpoint.lifecycle.services import Services
from callpoint.ports.rotation import Rotation, Rotator
from callpoint.ports.targets import (
    Absence,
    Attempt,
    Connector,
    Credential,
    Issued,
    ProbeResult,
)

_MOST_TRIED = 4
"""Former secrets that are tried at check-in, newest first: each attempt takes time, and the account
has only one secret."""


async def check_out(services: Services, plan: UndoPlan, held: Held) -> Issued:
    """Set the stored secret at the target and see it work.

    Raises:
        TargetError: Refused, unknown, or somebody stays on the account. The secret may be in force.
        UnavailableError: This process has no connector for the target.
    """
    rotator = rotator_of(connector(services, plan.target))
    await rotator.rotate(plan, _rotation(rotator, plan, held, opens=True))
    await rotator.end_sessions(plan)
    if others := (await rotator.presence(plan)).sessions:
        raise TargetError(
            f"{others} sessions of others on {plan.account} do not end", target=plan.target
        )
    credential = rotator.credential(plan, held.secret)
    tried = await rotator.attempt(plan, credential)
    if tried.attempt is not Attempt.ACCEPTED:
        raise TargetError(
            f"the new secret of {plan.account} is {tried.attempt.value}",
            target=plan.target,
            code=tried.code,
            way_out=f"run `callpoint target selftest {plan.target}`",
        )
    return Issued(credential=credential, baseline=await rotator.baseline(plan))


async def check_in(
    services: Services,
    lease: Lease,
    credential: Credential | None,
    *,
    within: timedelta = STEP_LIMIT,
) -> Removal:
    """Rotate and look; what ``removal.remove`` is for a minted account.

    Raises:
        UnavailableError: The next secret cannot be stored, so it must not be set.
    """
    plan, port = lease.plan, connector(services, lease.plan.target)
    rotator = rotator_of(port)
    proven = await services.store.read(lambda view: custody.pending_box(view, services, lease))
    held = await services.store.transact(
        lambda tx: custody.replace(tx, services, lease, proven), urgent=True
    )
    done = Removal()
    done.generation = held.generation
    rotation = _rotation(rotator, plan, held, opens=False)
    ladder = Ladder(plan, within)
    await ladder.step(Rung.DISABLE, lambda: rotator.rotate(plan, rotation))
    await ladder.step(Rung.KILL, lambda: rotator.end_sessions(plan))
    residue = await ladder.step(Rung.REVOKE, lambda: port.diff_persistence(plan, lease.baseline))
    done.residue = residue or ()
    done.absence = await ladder.step(Rung.VERIFY, lambda: _look(rotator, plan, held, credential))
    return ladder.judged(done)


def rotator_of(port: Connector) -> Rotator:
    """The part of a connector that handles checked-out accounts.

    Raises:
        TargetRefusedError: It has none.
    """
    if port.rotator is None:
        raise TargetRefusedError(
            f"the connector of {port.target} checks nothing out", target=port.target
        )
    return port.rotator


def _rotation(rotator: Rotator, plan: UndoPlan, held: Held, *, opens: bool) -> Rotation:
    first = rotator.first_secret(plan)
    return Rotation(
        new=held.secret,
        former=(*held.former, *((first,) if first else ())),
        generation=held.generation,
        open_until=plan.not_after if opens else None,
    )


async def _look(
    rotator: Rotator, plan: UndoPlan, held: Held, credential: Credential | None
) -> Absence:
    """What the target says of the old secrets and of the new one, and who is on the account."""
    stored = [rotator.credential(plan, secret) for secret in held.former]
    given = [credential] if credential is not None else []
    old = [await rotator.attempt(plan, one) for one in _distinct([*given, *stored])[:_MOST_TRIED]]
    new = await rotator.attempt(plan, rotator.credential(plan, held.secret))
    presence = await rotator.presence(plan)
    return Absence(
        in_catalogue=True,
        sessions=presence.sessions or 0,
        unreachable=presence.unreachable,
        attempt=_worst(old),
        rotated=new,
        sessions_seen=presence.sessions is not None,
    )


def _distinct(credentials: list[Credential]) -> list[Credential]:
    return list({credential.secret: credential for credential in credentials}.values())


def _worst(answers: list[ProbeResult]) -> ProbeResult | None:
    """The one that proves least; None when nothing was tried."""
    order = (Attempt.ACCEPTED, Attempt.LOCKED, Attempt.UNKNOWN, Attempt.REFUSED)
    return min(answers, key=lambda answer: order.index(answer.attempt), default=None)
