"""Taking access away at the targets themselves, from what the node knows and the targets show.

Part of a kill while the store is down (I13). Nothing is recorded here: what is proven dead now is
proven again, with evidence, when the order is merged. All targets at once, each on its own time.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from callpoint.domain.eligibility import parse_opening
from callpoint.domain.errors import CallpointError
from callpoint.domain.ids import activation_of
from callpoint.domain.kill import Scope
from callpoint.domain.known import KnownLease
from callpoint.domain.undo_plan import UndoPlan
from callpoint.lifecycle.removal import remove
from callpoint.lifecycle.services import Services
from callpoint.ports.targets import Connector, ManagedAccount


@dataclass(frozen=True)
class Order:
    """What to kill, as the caller was allowed to."""

    scope: Scope
    about: str


@dataclass
class Seen:
    """What became of an order on one target.

    Attributes:
        dead: Handles proven gone, and their accounts.
        alive: Handles that are covered and not proven gone.
        unattributed: Accounts of ours of which nobody can say whether they are covered.
        is_complete: The target said which accounts it has.
    """

    target: str
    dead: dict[str, str] = field(default_factory=dict)
    alive: dict[str, str] = field(default_factory=dict)
    unattributed: tuple[str, ...] = ()
    is_complete: bool = False

    @property
    def is_settled(self) -> bool:
        """Nothing is left to do here."""
        return self.is_complete and not self.alive


def covers_known(order: Order, known: KnownLease) -> bool:
    """Whether an order covers a lease that the node remembers."""
    match order.scope:
        case Scope.ACTIVATION:
            return known.activation == order.about
        case Scope.PRINCIPAL:
            return order.about == known.principal or order.about in known.persons
        case Scope.TARGET:
            return order.about in {parse_opening(text).target for text in known.opens}
        case Scope.INCIDENT:
            return known.incident == order.about
        case Scope.EVERYTHING:
            return True


async def strike(services: Services, order: Order, settled: Iterable[str] = ()) -> tuple[Seen, ...]:
    """Disable, kill, revoke and verify all that the order covers, on every target but ``settled``.

    A target that does not answer holds up the answer for ``limits.strike_within``, and no other
    target at all.
    """
    knowledge = _Knowledge.of(order, services.node.picture.leases())
    ports = dict(services.targets.items())
    wanted = {known.plan.target for known in knowledge.covered}
    if order.scope is Scope.TARGET:
        wanted.add(order.about)
    else:
        wanted |= ports.keys() | _configured(services)
    names = sorted(wanted - set(settled))
    return tuple(
        await asyncio.gather(*(_on_target(services, knowledge, ports, name) for name in names))
    )


def _configured(services: Services) -> frozenset[str]:
    """Also targets that cannot be reached from here: those must be told."""
    try:
        return frozenset(services.rules.last_proven.targets)
    except CallpointError:
        return frozenset()


@dataclass(frozen=True)
class _Knowledge:
    """The order, and whom the accounts on a target belong to as far as the node knows."""

    order: Order
    covered: tuple[KnownLease, ...]
    activations: frozenset[str]
    others: frozenset[str]

    @classmethod
    def of(cls, order: Order, known: tuple[KnownLease, ...]) -> "_Knowledge":
        covered = tuple(one for one in known if covers_known(order, one))
        activations = frozenset(one.activation for one in covered)
        others = frozenset(one.activation for one in known) - activations
        return cls(order, covered, activations, others)

    def attributes(self, target: str, account: ManagedAccount) -> bool | None:
        """Whether an account that no remembered lease explains is covered; None: nobody can say."""
        activation = activation_of(account.handle)
        match self.order.scope:
            case Scope.EVERYTHING:
                return True
            case Scope.TARGET if target == self.order.about:
                return True
            case Scope.ACTIVATION:
                return activation == self.order.about  # the handle itself says it
            case _ if activation in self.activations:
                return True
            case Scope.TARGET:
                return False
            case _:
                return False if activation in self.others else None


async def _on_target(
    services: Services, knowledge: _Knowledge, ports: Mapping[str, Connector], name: str
) -> Seen:
    seen = Seen(name)
    ours = [known.plan for known in knowledge.covered if known.plan.target == name]
    seen.alive = {plan.handle: plan.account for plan in ours}
    port = ports.get(name)
    if port is None:
        return seen
    try:
        async with asyncio.timeout(services.limits.strike_within.total_seconds()):
            await asyncio.gather(
                _look(services, knowledge, port, seen),
                *(_remove(services, port, plan, seen) for plan in ours),
            )
    except TimeoutError:
        pass  # what is not proven by now stands in ``alive``, and is tried again
    return seen


async def _look(services: Services, knowledge: _Knowledge, port: Connector, seen: Seen) -> None:
    """Ask the target itself: after a restart it knows more than the node."""
    known = frozenset(seen.alive)
    try:
        async with asyncio.timeout(services.limits.step_within.total_seconds()):
            listed = await port.list_managed()
    except (CallpointError, TimeoutError):
        return
    unknown = [account for account in listed if account.handle not in known]
    verdicts = [(knowledge.attributes(port.target, account), account) for account in unknown]
    seen.unattributed = tuple(account.account for verdict, account in verdicts if verdict is None)
    plans = [port.adopt(account) for verdict, account in verdicts if verdict]
    seen.alive |= {plan.handle: plan.account for plan in plans}
    seen.is_complete = True
    await asyncio.gather(*(_remove(services, port, plan, seen) for plan in plans))


async def _remove(services: Services, port: Connector, plan: UndoPlan, seen: Seen) -> None:
    """Steps 3 to 7 of a revocation; the secret for the control attempt is in the store."""
    async with services.lane(plan.target):
        done = await remove(port, plan, None, None, within=services.limits.step_within)
    if done.dead:
        seen.dead[plan.handle] = seen.alive.pop(plan.handle)
