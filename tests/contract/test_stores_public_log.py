"""What outsiders read of the log, on every store: tiles, proofs, checkpoints, cosignatures."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from callpoint.audit.merkle import (
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from callpoint.audit.tiles import TILE_WIDTH, TileNodes
from callpoint.domain.errors import NotFoundError
from callpoint.ports.stores import Cosignature, TimeStamp
from tests.contract.store_benches import ORIGIN, add, issued, signed


async def grown(store, *steps: int) -> None:
    """One transaction, and so one checkpoint, a step."""
    for step in steps:
        await store.transact(add("a:1", *(issued() for _ in range(step))))


async def test_tiles_and_proofs_give_the_signed_roots(bench, store):
    """Tiles alone give every signed root, and the store's own proofs verify between them."""
    await grown(store, 255, 2, 300)

    def check(view):
        leaves = [leaf_hash(entry.leaf) for entry in view.log_slice(0, 1000)]
        assert signed(view, bench.signer).root == root_of(leaves)
        nodes = TileNodes(557, view.tile)
        assert nodes(9, 0) == root_of(leaves[:512])
        assert view.tile(1, 0, 2) == (root_of(leaves[:256]), root_of(leaves[256:512]))
        assert view.tile(0, 0, 17) == tuple(leaves[:17])
        for old, new in ((0, 557), (1, 255), (255, 257), (256, 557), (257, 557), (557, 557)):
            roots = root_of(leaves[:old]), root_of(leaves[:new])
            verify_consistency(old, new, view.consistency(old, new), *roots)
        for index, size in ((0, 255), (254, 255), (256, 257), (0, 557), (556, 557)):
            proof = view.inclusion(index, size)
            verify_inclusion(leaves[index], index, size, proof, root_of(leaves[:size]))
        assert [view.find_leaf(leaves[n]) for n in (0, 255, 256, 511, 512, 556)] == [
            *(0, 255, 256, 511),
            *(512, 556),
        ]
        assert view.find_leaf(bytes(32)) is None

    await store.read(check)


async def test_what_the_tree_does_not_have_is_not_found(store):
    """A tile, entry or size beyond the newest checkpoint is not there, and never half there."""
    await grown(store, 300)

    def check(view):
        for absent in (
            lambda: view.tile(0, 1, 45),
            lambda: view.tile(0, 2, 1),
            lambda: view.tile(1, 0, 2),
            lambda: view.tile(2, 0, 1),
            lambda: view.inclusion(300),
            lambda: view.inclusion(0, 301),
            lambda: view.inclusion(9, 9),
            lambda: view.inclusion(-1, 9),
            lambda: view.consistency(1, 301),
            lambda: view.consistency(2, 1),
        ):
            with pytest.raises(NotFoundError):
                absent()
        assert len(view.tile(0, 0, TILE_WIDTH)) == TILE_WIDTH

    await store.read(check)


async def test_checkpoints_are_found_by_origin_and_size(store):
    """Each signed size can be read again; another size, or another log, has nothing."""
    await grown(store, 3, 4)

    def check(view):
        assert view.newest_of(ORIGIN) == view.checkpoint() == view.checkpoint_at(ORIGIN, 7)
        assert view.checkpoint_at(ORIGIN, 3).startswith(f"{ORIGIN}\n3\n")
        assert view.checkpoint_at(ORIGIN, 5) == view.newest_of("another/log") == ""

    await store.read(check)


async def test_cosignatures_stand_beside_their_checkpoint(bench):
    """The newest come first, one a checkpoint and witness; they stay when the store is reopened."""
    store = await bench.open()
    await grown(store, 1, 1)
    kept = [Cosignature(ORIGIN, size, "w", f"line {size}") for size in (1, 2)]
    again = Cosignature(ORIGIN, 2, "w", "line 2, an hour later")
    other = Cosignature(ORIGIN, 2, "v", "line of v")
    for one in (*kept, other, again):
        await store.transact(lambda tx, one=one: tx.cosign(one), urgent=True)
    assert await store.read(lambda view: view.cosignatures(ORIGIN, "w")) == (again, kept[0])
    await store.close()
    reopened = await bench.open()
    try:
        assert await reopened.read(lambda view: view.cosignatures(ORIGIN, "v")) == (other,)
    finally:
        await reopened.close()


async def test_cosignatures_are_kept_while_the_log_is_down(bench, store):
    """A witness's answer needs no number, so it is kept although nothing can be signed."""
    await grown(store, 1)
    bench.break_log()
    one = Cosignature(ORIGIN, 1, "w", "line")
    await store.transact(lambda tx: tx.cosign(one), urgent=True)
    assert await store.read(lambda view: view.cosignatures(ORIGIN, "w")) == (one,)


async def test_time_stamps_are_kept_for_ever(bench):
    """The tightest one over an entry is found, and the newest; neither is replaced by another."""
    store = await bench.open()
    await grown(store, 1, 1)
    at = datetime(2026, 3, 1, 3, 0, 0, 500, tzinfo=UTC)
    first = TimeStamp(ORIGIN, 2, "note of 2", bytes(range(256)), at)
    later = TimeStamp(ORIGIN, 9, "note of 9", b"\x30\x03", at + timedelta(hours=1))
    other = msgspec.structs.replace(first, note="another note")
    for one in (later, first, other):
        await store.transact(lambda tx, one=one: tx.keep_timestamp(one), urgent=True)
    await store.close()
    reopened = await bench.open()

    def check(view):
        found = [view.timestamp(ORIGIN, over) for over in (0, 1, 2, 8, 9)]
        assert found == [first, first, later, later, None]
        assert view.newest_timestamp(ORIGIN) == later
        assert view.newest_timestamp("another/log") is None

    try:
        await reopened.read(check)
    finally:
        await reopened.close()


async def test_after_a_recovery_each_origin_is_a_log_of_its_own(disk_bench):
    """The former origin ends with what is left of it; the new one has the same leaves, and more."""
    store = await disk_bench.open()
    await grown(store, 3)
    await store.close()
    disk_bench.back_up()
    store = await disk_bench.open()
    await grown(store, 5)
    lost = await store.read(lambda view: view.newest_of(ORIGIN))
    await store.close()
    disk_bench.restore()
    store = await disk_bench.open()
    try:
        await store.recover("the disk was lost")
        await grown(store, 1)

        def check(view):
            assert lost.startswith(f"{ORIGIN}\n8\n")
            assert view.newest_of(ORIGIN).startswith(f"{ORIGIN}\n3\n")
            assert view.newest_of(f"{ORIGIN}/2") == view.checkpoint()
            assert view.checkpoint().startswith(f"{ORIGIN}/2\n5\n")
            assert view.newest_of(f"{ORIGIN}/3") == ""
            root = signed(view, disk_bench.signer, f"{ORIGIN}/2").root
            leaves = view.tile(0, 0, 5)
            assert root_of(leaves) == root
            verify_consistency(3, 5, view.consistency(3, 5), root_of(leaves[:3]), root)

        await store.read(check)
    finally:
        await store.close()
