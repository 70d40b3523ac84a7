"""The log over HTTP as C2SP tlog-tiles, and proofs for everybody."""

import base64

import httpx
import pytest

from callpoint.audit.checkpoint import Checkpoint, open_checkpoint
from callpoint.audit.merkle import (
    leaf_hash,
    root_from,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from callpoint.audit.note import Verifier
from callpoint.audit.tiles import Tile, TileNodes
from callpoint.domain.event import LeaseIssued
from tests.fakes.clock import SimulatedClock
from tests.fakes.face import Face, kind_of
from tests.fakes.keys import MemoryLogSigner
from tests.fakes.memory_store import MemoryStore
from tests.fakes.world import INSTALLATION, ORIGIN, make_world

LOG = f"/tlog/{ORIGIN}"


@pytest.fixture
async def grown(face: Face) -> Face:
    """A log over two tiles, signed at several sizes."""
    for length in (100, 200, 250):

        def work(tx, length=length):
            for n in range(length):
                event = LeaseIssued(lease=f"lease-{length}-{n:03}", target="t", box_sha256="a" * 64)
                tx.append("lease:all", event)

        await face.world.services.store.transact(work)
    return face


async def newest(face: Face) -> Checkpoint:
    """The checkpoint that the log shows, verified."""
    answer = await face.client.get(f"{LOG}/checkpoint")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    key = face.world.services.installation.log_key
    return open_checkpoint(answer.content, [Verifier.parse(key)], ORIGIN)


async def fetched(face: Face, tile: Tile) -> list[bytes]:
    """The hashes of a tile."""
    answer = await face.client.get(f"{LOG}/{tile.path}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    return [answer.content[at : at + 32] for at in range(0, len(answer.content), 32)]


async def test_tiles_of_every_signed_size_lead_to_the_root(grown: Face):
    """A stranger gets the signed root out of tiles, of today's size and of an earlier one."""
    now = await newest(grown)
    assert now.size > 550
    tiles = {
        (0, 0): await fetched(grown, Tile(0, 0)),
        (0, 1): await fetched(grown, Tile(0, 1)),
        (0, 2): await fetched(grown, Tile(0, 2, now.size - 512)),
        (1, 0): await fetched(grown, Tile(1, 0, 2)),
    }
    nodes = TileNodes(now.size, lambda level, n, width: tiles[level, n][:width])
    assert root_from(now.size, nodes) == now.root
    # Widths of earlier trees answer with what that tree had, also where the tile is full now.
    assert await fetched(grown, Tile(0, 0, 77)) == tiles[0, 0][:77]
    assert await fetched(grown, Tile(1, 0, 1)) == tiles[1, 0][:1]


NOWHERE = (
    "tile/0/003",
    "tile/0/002",
    "tile/0/002.p/255",
    "tile/1/000",
    "tile/1/000.p/3",
    "tile/2/000.p/1",
    "tile/64/000",
    "tile/00/000",
    "tile/0/0",
    "tile/0/00",
    "tile/0/x000/000",
    "tile/0/000.p/0",
    "tile/0/000.p/01",
    "tile/0/000.p/256",
    "tile/0/000.p",
    "tile/0/000/",
    "tile/0//000",
    "tile/0/%30%30%30",
    "tile/0/000.p/-1",
    "tile/-1/000",
    "tile/0/x999/x999/x999/x999/x999/999",
    "tile/0/١٢٣",
    "checkpoint/",
    "2/checkpoint",
)


async def test_other_addresses_are_not_found(grown: Face):
    """What the tree does not have, and every second spelling of what it has, is 404."""
    for place in NOWHERE:
        assert (await grown.client.get(f"{LOG}/{place}")).status_code == 404, place


async def test_another_log_is_not_found(grown: Face):
    """The address names the origin: there is no other log here, and no later one."""
    for other in ("callpoint/another", f"{ORIGIN}/2", f"callpoint/{INSTALLATION.upper()}"):
        for resource in ("checkpoint", "tile/0/000"):
            assert (await grown.client.get(f"/tlog/{other}/{resource}")).status_code == 404


async def test_entries_need_the_auditors_right(grown: Face):
    """Hashes are for everybody; what was written is for who may read the log."""
    path = f"{LOG}/tile/entries/001"
    assert kind_of(await grown.client.get(path)) == (401, "authentication")
    assert kind_of(await grown.call("alice", "GET", path)) == (403, "denied")
    answer = await grown.call("erin", "GET", path)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["cache-control"] == "no-store"
    rest, found = answer.content, []
    while rest:
        length = int.from_bytes(rest[:2], "big")
        found.append(rest[2 : 2 + length])
        rest = rest[2 + length :]
    assert [leaf_hash(leaf) for leaf in found] == await fetched(grown, Tile(0, 1))
    partial = await grown.call("erin", "GET", f"{LOG}/tile/entries/001.p/3")
    assert partial.content == answer.content[: len(partial.content)]
    for absent in ("003", "002", "002.p/0"):
        answer = await grown.call("erin", "GET", f"{LOG}/tile/entries/{absent}")
        assert answer.status_code == 404


async def _proof(face: Face, query: str) -> httpx.Response:
    return await face.client.get(f"/v1/log/proof?{query}")


async def test_inclusion_is_proven_to_everybody(grown: Face):
    """By index or by leaf hash, under a checkpoint that comes with it."""
    now = await newest(grown)
    hashes = [*await fetched(grown, Tile(0, 0)), *await fetched(grown, Tile(0, 1))]
    for index in (0, 1, 255, 256, 511):
        by_index = (await _proof(grown, f"index={index}")).json()
        by_leaf = (await _proof(grown, f"leaf={hashes[index].hex()}")).json()
        assert by_index == by_leaf
        proof = [base64.b64decode(item) for item in by_index["proof"]]
        verify_inclusion(hashes[index], index, now.size, proof, now.root)
        assert by_index["checkpoint"].startswith(f"{ORIGIN}\n{now.size}\n")


async def test_consistency_is_proven_to_everybody(grown: Face):
    """Whoever kept an older root sees that the log was only added to."""
    now = await newest(grown)
    hashes = [*await fetched(grown, Tile(0, 0)), *await fetched(grown, Tile(0, 1))]
    for old in (1, 17, 256, 512):
        answer = (await grown.client.get(f"/v1/log/consistency?old={old}")).json()
        proof = [base64.b64decode(item) for item in answer["proof"]]
        verify_consistency(old, now.size, proof, root_of(hashes[:old]), now.root)


UNPROVEN = (
    ("/v1/log/proof", 400),
    ("/v1/log/proof?index=1&leaf=" + "0" * 64, 400),
    ("/v1/log/proof?index=-1", 400),
    ("/v1/log/proof?index=99999", 404),
    ("/v1/log/proof?leaf=" + "0" * 64, 404),
    ("/v1/log/proof?leaf=" + "A" * 64, 400),
    ("/v1/log/consistency?old=5&new=4", 404),
    ("/v1/log/consistency?old=5&new=99999", 404),
)


async def test_what_cannot_be_proven_is_refused(grown: Face):
    """A question without an answer gets a problem, never an empty proof."""
    for path, status in UNPROVEN:
        assert kind_of(await grown.client.get(path))[0] == status, path


async def test_a_recovered_log_answers_under_its_new_origin():
    """After a recovery the generation stands in the address, and the former one is another log."""
    clock, origin = SimulatedClock(auto=True), f"{ORIGIN}/2"
    store = MemoryStore(
        signer=MemoryLogSigner(ORIGIN), clock=clock, origin=origin, installation=INSTALLATION
    )
    async with Face(await make_world(store=store, clock=clock)) as face:
        answer = await face.client.get(f"/tlog/{origin}/checkpoint")
        assert answer.text.startswith(f"{origin}\n")
        size = int(answer.text.split("\n")[1])
        tile = await face.client.get(f"/tlog/{origin}/tile/0/000.p/{size}")
        assert len(tile.content) == 32 * size
        assert (await face.client.get(f"/tlog/{ORIGIN}/checkpoint")).status_code == 404
        for other in ("1", "02", "3", "2/2"):
            assert (await face.client.get(f"{LOG}/{other}/checkpoint")).status_code == 404
        entries = await face.call("erin", "GET", f"/tlog/{origin}/tile/entries/000.p/{size}")
        assert entries.status_code == 200
