"""The queue of one target: order, fairness, and what cannot be worked on."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import msgspec

from callpoint.domain import canonical
from callpoint.domain.configuration import Configuration, TargetRole
from callpoint.domain.errors import StoreUnavailableError
from callpoint.domain.kill import Scope
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.privilege import Privilege
from callpoint.domain.undo_plan import UndoPlan
from callpoint.lifecycle import kill
from callpoint.lifecycle.drain import Drained, drain, due_targets
from callpoint.lifecycle.sweep import pass_time
from callpoint.ports.stores import Transaction
from tests.fakes.clock import SeededRandom, SimulatedClock
from tests.fakes.keys import MemoryLogSigner
from tests.fakes.memory_store import MemoryStore
from tests.fakes.world import (
    INSTALLATION,
    ORIGIN,
    World,
    assemble,
    found_world,
    make_world,
)

WORDS = (Privilege.LOW, Privilege.TOTAL, Privilege.NORMAL, Privilege.HIGH)


async def ending(words: tuple[Privilege, ...], *, per_target: int = 1) -> tuple[World, list[str]]:
    """Leases that end one after the other, the first of the words the oldest."""
    world = await make_world()
    world.services = replace(
        world.services, limits=replace(world.services.limits, per_target=per_target)
    )
    await world.incident()
    accounts = []
    for word in words:
        made = await world.active()
        (lease,) = await world.leases(made.id)
        plan = msgspec.structs.replace(lease.plan, privilege=word)
        changed = msgspec.structs.replace(lease, plan=plan)
        await world.services.store.transact(partial(_put, changed))
        world.clock.advance(timedelta(seconds=1))
        accounts.append(plan.account)
    world.clock.advance(timedelta(hours=1))
    await pass_time(world.services)
    await world.services.store.transact(lambda tx: _age(tx, world, accounts))
    return world, accounts


def _put(lease: Lease, tx: Transaction) -> None:
    tx.put(lease)


def _age(tx: Transaction, world: World, accounts: list[str]) -> None:
    """Due in the order in which they were made, a second apart."""
    for n, account in enumerate(accounts):
        lease = tx.get(Lease, account.removeprefix("cp_"))
        tx.put(lease.due(world.clock.now() - timedelta(minutes=1) + timedelta(seconds=n)))


def order(world: World) -> list[str]:
    return [account for method, account in world.target.calls if method == "disable"]


async def test_the_most_privileged_goes_first_and_then_the_oldest():
    """Of equal privilege the one that is due longer; the word comes from the plan."""
    world, accounts = await ending((*WORDS, Privilege.HIGH))
    assert await due_targets(world.services) == ("orders-db",)
    assert await drain(world.services, "orders-db") == Drained(dead=5)
    low, total, normal, high, later = accounts
    assert order(world) == [total, high, later, normal, low]
    assert await due_targets(world.services) == ()


async def test_age_has_its_share():
    """One pick in eight takes the oldest: what is low is not behind all that is total."""
    world, accounts = await ending((Privilege.LOW, Privilege.LOW, *(Privilege.TOTAL,) * 15))
    await drain(world.services, "orders-db")
    begun = order(world)
    assert (begun[7], begun[15]) == (accounts[0], accounts[1])


async def test_what_fails_is_due_again_and_holds_up_nobody():
    """A session that does not end keeps its own lease; the others of the target die."""
    world, accounts = await ending((Privilege.TOTAL, Privilege.LOW))
    planted = world.target.accounts[accounts[0]]
    assert planted.secret is not None
    planted.not_after += timedelta(days=1)
    world.target.open_session(accounts[0], planted.secret)
    world.target.stubborn.add(accounts[0])
    until = world.clock.now()
    assert await drain(world.services, "orders-db", due_before=until) == Drained(1, 1)
    (stuck,) = [x for x in await _leases(world) if x.state is LeaseState.ENDING]
    assert stuck.plan.account == accounts[0]
    assert stuck.due_at is not None
    assert stuck.due_at > until


async def test_a_store_that_is_away_ends_the_drain_with_a_word():
    """Each worker stops, and the next pass goes on where they were."""
    world, _ = await ending((Privilege.LOW,))
    world.store.dead = True
    done = await drain(world.services, "orders-db")
    assert (done.dead, len(done.errors)) == (0, 1)
    assert str(StoreUnavailableError("the store does not answer")) in done.errors[0]
    world.store.dead = False
    assert (await drain(world.services, "orders-db")).dead == 1


async def test_who_waits_is_answered_without_what_had_no_turn():
    """A kill tells what is not proven dead, and the sweep takes it from there."""
    world, accounts = await ending((Privilege.LOW, Privilege.TOTAL, Privilege.HIGH))
    limits, target = world.services.limits, world.target
    revoke = target.revoke

    async def slowly(plan: UndoPlan) -> None:
        world.clock.advance(timedelta(seconds=1))
        await revoke(plan)

    target.revoke = slowly  # type: ignore[method-assign]
    hurried = replace(limits, begin_within=timedelta(milliseconds=500))
    services = replace(world.services, limits=hurried)
    done = await kill.kill(services, world.caller("bob"), Scope.EVERYTHING)
    low, total, high = accounts
    assert order(world) == [total]
    assert {f"cp_{lease}" for lease in done.alive} == {low, high}
    assert (await drain(world.services, "orders-db")).dead == 2


async def test_the_configured_word_is_frozen_in_the_plan():
    """Issue writes the role's privilege into the undo plan; the usual one changes no digest."""
    clock = SimulatedClock(auto=True)
    signer = MemoryLogSigner(ORIGIN)
    store = MemoryStore(signer=signer, clock=clock, origin=ORIGIN, installation=INSTALLATION)
    world = assemble(store=store, clock=clock, random=SeededRandom(1), targets={})
    rules = _privileged(world.bundle.configuration, Privilege.TOTAL)
    world.bundle = msgspec.structs.replace(world.bundle, configuration=rules)
    await found_world(world)
    await world.incident()
    (lease,) = await world.leases((await world.active()).id)
    assert lease.plan.privilege is Privilege.TOTAL
    assert lease.index().priority == Privilege.TOTAL.priority > 0
    usual = canonical.encode(TargetRole("repair", {"parent": "orders_repair"}))
    assert usual == b'{"id":"repair","settings":{"parent":"orders_repair"}}'


def _privileged(rules: Configuration, word: Privilege) -> Configuration:
    target = rules.targets["orders-db"]
    roles = tuple(msgspec.structs.replace(role, privilege=word) for role in target.roles)
    changed = {"orders-db": msgspec.structs.replace(target, roles=roles)}
    return msgspec.structs.replace(rules, targets={**rules.targets, **changed})


async def _leases(world: World) -> list[Lease]:
    found = [r for (kind, _), (r, _) in world.store.state.records.items() if kind is Lease]
    return [x for x in found if isinstance(x, Lease)]
