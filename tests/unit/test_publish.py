"""Changing the rules: widening needs the quorum, tightening one; evidence first, then in force."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from callpoint.domain import event as ev
from callpoint.domain.configuration import Group
from callpoint.domain.errors import ConfigError, ConflictError, DeniedError, RequestError
from callpoint.domain.governance import Bundle, InForce, Published, StoredBundle
from callpoint.lifecycle import publish
from callpoint.lifecycle.rules import must_be_in_force
from tests.fakes.invariants import told
from tests.fakes.keys import Signer
from tests.fakes.world import World, build_decider, eligibility, make_world, signed


def after(old: Bundle, **rules: object) -> Bundle:
    """The next bundle, with another eligibility or other groups."""
    changed = msgspec.structs.replace(old.configuration, **rules)
    return msgspec.structs.replace(
        old, number=old.number + 1, previous=old.digest(), configuration=changed
    )


def for_minutes(old: Bundle, minutes: int) -> Bundle:
    return after(old, eligibilities={"orders-repair": eligibility(ttl=timedelta(minutes=minutes))})


async def put(
    world: World, bundle: Bundle, *governors: str, records: tuple[ev.SignatureRecord, ...] = ()
) -> Published:
    signatures = records or signed(bundle, *governors)
    return await publish.publish(
        world.services, world.caller("gina"), bundle, signatures, lambda _: None
    )


async def test_tightening_needs_one_governor_and_applies_at_once():
    """The next question is answered by the new rules."""
    world = await make_world()
    new = for_minutes(world.bundle, 20)
    made = await put(world, new, "hugo")
    assert (made.number, made.widens, made.signed_by) == (2, (), ("hugo",))
    assert (await world.services.rules.current()).bundle == new


async def test_widening_needs_the_quorum_in_force_and_says_which_line():
    """With one signature it is refused, recorded, and nothing changes."""
    world = await make_world()
    new = for_minutes(world.bundle, 40)
    with pytest.raises(DeniedError, match="1 of 2"):
        await put(world, new, "gina")
    (refused,) = told(world.store.state, ev.BundleRefused)
    assert refused.widens == ("eligibilities.orders-repair.for: 30m -> 40m",)
    assert (await world.services.rules.current()).bundle == world.bundle
    made = await put(world, new, "gina", "hugo")
    assert made.widens == refused.widens
    published = told(world.store.state, ev.BundlePublished)[-1]
    assert [s.governor for s in published.signatures] == ["gina", "hugo"]


@pytest.mark.parametrize("governors", [(), ("alice",), ("gina", "gina"), ("alice", "gina")])
async def test_only_distinct_governors_count(governors):
    """The same one twice, or somebody else, does not make two."""
    world = await make_world()
    with pytest.raises(DeniedError):
        await put(world, for_minutes(world.bundle, 40), *governors)


async def test_a_signature_over_another_bundle_does_not_count():
    """Nor does a stranger's key under a governor's name."""
    world = await make_world()
    new, other = for_minutes(world.bundle, 40), for_minutes(world.bundle, 35)
    mallory = Signer("mallory")
    forged = ev.SignatureRecord("hugo", mallory.public, mallory.sign(new.message()))
    for second in (signed(other, "hugo")[0], forged):
        with pytest.raises(DeniedError):
            await put(world, new, records=(*signed(new, "gina"), second))


async def test_only_signatures_that_count_become_evidence():
    """What else was handed in, however much, does not stand in the log."""
    world = await make_world()
    new = for_minutes(world.bundle, 40)
    mallory = Signer("mallory")
    forged = ev.SignatureRecord("hugo", mallory.public, mallory.sign(new.message()))
    junk = tuple(ev.SignatureRecord(f"x{n}", "k" * 100, "s" * 100) for n in range(1000))
    good = signed(new, "gina", "hugo")
    await put(world, new, records=(*junk, *good, forged))
    assert told(world.store.state, ev.BundlePublished)[-1].signatures == good


async def test_a_bundle_of_any_size_fits_into_the_log():
    """A thousand lines that widen are told in part, with their number."""
    world = await make_world()
    groups = {f"g{n}": Group(f"g{n}", ("alice",)) for n in range(1000)}
    new = after(world.bundle, groups={**world.bundle.configuration.groups, **groups})
    made = await put(world, new, "gina", "hugo")
    assert len(made.widens) == 1000
    event = told(world.store.state, ev.BundlePublished)[-1]
    assert len(event.widens) == 101
    assert event.widens[-1] == "and 900 more lines"


async def test_a_bundle_must_follow_the_one_in_force():
    """Another number, another predecessor or another installation is refused."""
    world = await make_world()
    new = for_minutes(world.bundle, 20)
    for changes in ({"number": 3}, {"previous": "0" * 64}, {"number": 1, "previous": ""}):
        with pytest.raises(ConflictError, match="does not follow"):
            await put(world, msgspec.structs.replace(new, **changes), "gina")
    with pytest.raises(RequestError, match="for installation other1"):
        await put(world, msgspec.structs.replace(new, installation="other1"), "gina")
    await put(world, new, "gina")
    with pytest.raises(ConflictError, match="does not follow"):
        await put(world, new, "gina")


async def test_of_two_bundles_at_once_one_is_published():
    """The other is told to be signed again, on top of it."""
    world = await make_world()
    results = await asyncio.gather(
        put(world, for_minutes(world.bundle, 20), "gina"),
        put(world, for_minutes(world.bundle, 10), "hugo"),
        return_exceptions=True,
    )
    assert sum(isinstance(r, ConflictError) for r in results) == 1
    assert len(told(world.store.state, ev.BundlePublished)) == 2


async def test_policies_that_do_not_validate_are_not_published():
    """One governor's signature is needed to be checked, and no number of them replaces it."""
    world = await make_world()

    bundle = for_minutes(world.bundle, 20)

    def check(_: Bundle) -> None:
        raise ConfigError("line 3 is wrong")

    with pytest.raises(ConfigError, match="line 3"):
        await publish.publish(
            world.services, world.caller("gina"), bundle, signed(bundle, "gina"), check
        )


async def test_rules_that_changed_between_question_and_record_give_nothing():
    """What began under other rules is to be run again."""
    world = await make_world()
    rules = await world.services.rules.current()
    await world.store.read(lambda view: must_be_in_force(view, rules))
    await put(world, for_minutes(world.bundle, 20), "gina")
    with pytest.raises(ConflictError, match="changed meanwhile"):
        await world.store.read(lambda view: must_be_in_force(view, rules))


async def test_reading_the_rules_while_others_are_published_never_looks_like_tampering():
    """Pointer, bundle and log are read together."""
    world = await make_world()
    other = world.with_decider(build_decider)
    new = for_minutes(world.bundle, 20)

    async def read() -> list[int]:
        return [(await other.services.rules.current()).bundle.number for _ in range(20)]

    numbers, _ = await asyncio.gather(read(), put(world, new, "gina"))
    assert numbers == sorted(numbers)
    held, _ = world.store.state.records[InForce, "bundle"]
    assert isinstance(held, InForce)
    assert (held.number, held.digest) == (2, new.digest())
    stored, _ = world.store.state.records[StoredBundle, "00000002"]
    assert isinstance(stored, StoredBundle)
    assert stored.bundle == new
