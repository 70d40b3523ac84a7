"""Where a signal stream stands is kept by every store, over a log that each of them proves."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from callpoint.domain import event as ev
from callpoint.domain.errors import ConflictError, TamperError
from callpoint.domain.governance import Installation
from callpoint.domain.ids import INSTALLATION_STREAM, activation_stream
from callpoint.domain.outbox import Outbox, Pending
from callpoint.domain.signal_stream import SignalKind
from callpoint.lifecycle.signal_source import (
    Slice,
    opened,
    placed,
    read_on,
    read_one,
    token_id,
    whole,
)
from callpoint.ports.stores import Store, View
from tests.contract.store_benches import INSTALLATION, ORIGIN, Bench, add, issued
from tests.fakes.signals import pushed
from tests.unit.test_activation import REQUEST

SIEM = pushed()
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def whose(bench: Bench) -> Installation:
    """The bench's installation."""
    return Installation(INSTALLATION, ORIGIN, bench.signer.verifier_key, "", "", {}, 1)


async def published(store: Store) -> None:
    """The rules that name the stream."""
    rules = ev.BundlePublished(
        number=1,
        digest="d",
        configuration_digest="c",
        policy_digest="p",
        previous="",
        widens=(),
        signatures=(),
    )
    await store.transact(add(INSTALLATION_STREAM, rules))


async def live(store: Store, activation: str) -> None:
    """An activation that was asked for and began, with something else between."""
    request = msgspec.structs.replace(REQUEST, activation=activation)
    asked = ev.ActivationRequested(request=request, digest=request.digest(), decisions=())
    began = ev.ActivationActivated(not_after=BEGAN, plans=(), decisions=())
    stream = activation_stream(activation)
    await store.transact(add(stream, asked))
    await store.transact(add(INSTALLATION_STREAM, issued()))
    await store.transact(add(stream, began))


async def in_steps(store: Store, bench: Bench, most: int) -> list[Pending]:
    """Everything that is found when so many entries are read at a time."""
    installation = whose(bench)
    box = await store.read(lambda view: opened(whole(view, installation), SIEM))
    found: list[Pending] = []
    while True:

        def read(view: View, box: Outbox = box) -> Slice:
            return read_on(whole(view, installation), box, SIEM, most)

        part = await store.read(read)
        found += part.found
        box = msgspec.structs.replace(box.looked(part.start, part.end, ()), waiting=())
        if part.is_all:
            return found


async def test_every_step_finds_the_same(store, bench):
    """However few entries are read at a time, each is proven, and each signal found once."""
    await live(store, "z" * 12)
    await published(store)
    for number in range(12):
        await live(store, f"a{number:011d}")
    every = await in_steps(store, bench, 10_000)
    assert len(every) == 12
    for most in (1, 3, 7, 32):
        assert await in_steps(store, bench, most) == every
    installation = whose(bench)
    again = await store.read(
        lambda view: [read_one(whole(view, installation), p.index) for p in every]
    )
    for one, (entry, signal) in zip(every, again, strict=True):
        assert (token_id(entry, SIEM), signal.kind) == (one.jti, SignalKind.SESSION_ESTABLISHED)
    with pytest.raises(TamperError):
        await store.read(lambda view: read_one(whole(view, installation), 10**6))


async def test_an_outbox_outlives_the_process(bench):
    """What waits and what was looked at is there again; two writers do not lose a step."""
    store = await bench.open()
    await published(store)
    await live(store, "a" * 12)
    installation = whose(bench)
    box = await store.read(lambda view: opened(whole(view, installation), SIEM))
    part = await store.read(lambda view: read_on(whole(view, installation), box, SIEM))
    await store.transact(
        lambda tx: tx.put(box.looked(part.start, part.end, part.found)), urgent=True
    )
    await store.close()
    store = await bench.open()
    held = await store.read(lambda view: view.get(Outbox, "siem"))
    assert (held.position, held.waiting) == (part.end, part.found)
    with pytest.raises(ConflictError):
        await store.transact(lambda tx: tx.put(box), urgent=True)
    assert held.looked(part.start, part.end, part.found) == held, "it was looked at already"
    await store.close()


async def test_an_outbox_is_kept_while_the_log_is_dead(bench):
    """A confirmation is noted although nothing can be signed; what is unnumbered is not told."""
    store = await bench.open()
    await published(store)
    await live(store, "a" * 12)
    installation = whose(bench)
    bench.break_log()
    over = ev.ActivationEnded(reason="killed", triage_by=BEGAN, close_by=BEGAN)
    await store.transact(add(activation_stream("a" * 12), over), urgent=True)
    box = await store.read(lambda view: opened(whole(view, installation), SIEM))
    part = await store.read(lambda view: read_on(whole(view, installation), box, SIEM))
    assert len(part.found) == 1
    kept = await store.transact(
        lambda tx: tx.put(box.looked(part.start, part.end, part.found)), urgent=True
    )
    bench.break_log(broken=False)
    assert await store.merge_spool() == 0
    rest = await store.read(lambda view: read_on(whole(view, installation), kept, SIEM))
    assert len(rest.found) == 1
    await store.close()


async def test_after_a_recovery_nothing_is_left_out(disk_bench):
    """The outbox goes back to what was kept; signals of entries that are lost wait no more."""
    store = await disk_bench.open()
    await published(store)
    await live(store, "a" * 12)
    installation = whose(disk_bench)
    await store.close()
    disk_bench.back_up()
    store = await disk_bench.open()
    await live(store, "b" * 12)
    box = await store.read(lambda view: opened(whole(view, installation), SIEM))
    part = await store.read(lambda view: read_on(whole(view, installation), box, SIEM))
    ahead = box.looked(part.start, part.end, part.found)
    assert len(ahead.waiting) == 2
    await store.close()
    disk_bench.restore()
    store = await disk_bench.open()
    await store.recover("disk lost")
    await store.close()
    store = await disk_bench.open()
    await live(store, "c" * 12)
    here = await store.read(lambda view: placed(whole(view, installation), ahead))
    assert here.origin == f"{ORIGIN}/2"
    assert here.waiting == ahead.waiting[:1]
    rest = await store.read(lambda view: read_on(whole(view, installation), here, SIEM))
    assert len(rest.found) == 1
    assert timedelta(0) <= rest.found[0].at - ahead.waiting[0].at
    await store.close()
