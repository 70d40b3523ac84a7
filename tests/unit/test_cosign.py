"""Being a witness: one history a log, remembered before it is signed."""

import asyncio
import base64
import hashlib
from datetime import timedelta

import pytest

from callpoint.audit.checkpoint import Checkpoint
from callpoint.audit.cosignature import WitnessKey, cosigned
from callpoint.audit.merkle import EMPTY_ROOT, consistency_proof, leaf_hash, root_of, subtree_root
from callpoint.audit.note import Signer, Verifier, parse_note, sign_note, verify_note
from callpoint.audit.submission import OutdatedError, Submission, SubmissionError
from callpoint.domain.errors import NotFoundError, TamperError, UnavailableError
from callpoint.domain.witnessing import Cosigned, WitnessedLog
from callpoint.lifecycle.cosign import WitnessDesk
from tests.fakes.witnesses import LOG_KEY, THIS_LOG, Notebook, make_desk, make_watched, watched_by
from tests.fakes.world import ORIGIN

LEAVES = [leaf_hash(bytes([n])) for n in range(20)]
OTHERS = [*LEAVES[:5], *(leaf_hash(b"other" + bytes([n])) for n in range(15))]


def log_signer() -> Signer:
    """The key of the log that is witnessed."""
    return Signer(ORIGIN, hashlib.sha256(ORIGIN.encode()).digest())


def signed(
    size: int, leaves=LEAVES, *, origin: str = ORIGIN, signer: Signer | None = None
) -> bytes:
    """A checkpoint over the first leaves."""
    text = Checkpoint(origin, size, root_of(leaves[:size])).format()
    return sign_note(text, [signer or log_signer()]).format()


def proof(old: int, new: int, leaves=LEAVES) -> tuple[bytes, ...]:
    """Consistency, from leaves."""

    def nodes(level: int, index: int) -> bytes:
        return subtree_root(leaves[index << level : (index + 1) << level])

    return tuple(consistency_proof(old, new, nodes))


def body(old: int, new: int, leaves=LEAVES) -> bytes:
    """A submission that is as it should be."""
    return Submission(old, proof(old, new, leaves), signed(new, leaves)).format()


async def status(desk: WitnessDesk, content: bytes) -> int:
    """The status of a refusal."""
    with pytest.raises(SubmissionError) as refused:
        await desk.add_checkpoint(content)
    return refused.value.status


async def test_a_growing_log_is_cosigned():
    """Each extension gets a cosignature that verifies over exactly that checkpoint."""
    desk, _, _, memory = await make_desk()
    known = 0
    for size in (0, 1, 7, 8, 20):
        line = await desk.add_checkpoint(body(known, size))
        note = parse_note(signed(size) + line.encode())
        (seen,) = cosigned(note, [WitnessKey.parse(desk.key)])
        assert seen.time > 0
        assert memory.trees[ORIGIN].size == size
        known = size


async def test_each_refusal_has_its_status():
    """The statuses are those of tlog-witness, each for its own reason."""
    desk, *_ = await make_desk()
    await desk.add_checkpoint(body(0, 7))
    stranger = Signer(ORIGIN, b"x" * 32)
    forged = signed(9).replace(b"\n9\n", b"\n8\n")
    for content, expected in (
        (b"", 400),
        (b"old 7\n" + signed(9), 400),
        (b"old 07\n\n" + signed(9), 400),
        (b"old 7\nAAAA\n\n" + signed(9), 400),
        (Submission(7, (bytes(32),) * 64, signed(9)).format(), 400),
        (Submission(10, (), signed(9)).format(), 400),
        (Submission(7, proof(7, 9), signed(9, origin="callpoint/else")).format(), 404),
        (Submission(7, proof(7, 9), signed(9, signer=stranger)).format(), 403),
        (Submission(7, proof(7, 9), forged).format(), 403),
        (body(0, 9), 409),
        (body(8, 9), 409),
        (Submission(7, (), signed(9)).format(), 422),
        (Submission(7, proof(7, 9)[:-1], signed(9)).format(), 422),
        (Submission(7, proof(7, 9, OTHERS), signed(9, OTHERS)).format(), 422),
        (Submission(7, (), signed(7, OTHERS)).format(), 422),
    ):
        assert await status(desk, content) == expected, content[:60]
    with pytest.raises(OutdatedError) as outdated:
        await desk.add_checkpoint(body(0, 9))
    assert outdated.value.size == 7
    assert await desk.add_checkpoint(body(7, 9))


async def test_a_size_zero_is_the_empty_tree():
    """A checkpoint of no entries with a root is refused, and a proof from zero must be empty."""
    desk, *_ = await make_desk()
    text = f"{ORIGIN}\n0\n{base64.b64encode(bytes(32)).decode()}\n"
    wrong = sign_note(text, [log_signer()]).format()
    assert await status(desk, Submission(0, (), wrong).format()) == 422
    assert await status(desk, Submission(0, (EMPTY_ROOT,), signed(3)).format()) == 422


async def test_who_dies_before_signing_signs_it_later():
    """The tree is remembered before the signature exists, so a fork of it is never signed."""
    desk, world, key, memory = await make_desk()
    await desk.add_checkpoint(body(0, 5))

    def die() -> None:
        raise KeyboardInterrupt

    key.die = die
    with pytest.raises(KeyboardInterrupt):
        await desk.add_checkpoint(body(5, 9))
    key.die = lambda: None
    again = WitnessDesk(world.services, key, memory)
    assert memory.trees[ORIGIN].size == 9
    assert await status(again, body(5, 9, OTHERS)) == 409
    assert await status(again, Submission(9, (), signed(9, OTHERS)).format()) == 422
    assert await again.add_checkpoint(body(9, 9))


async def test_nothing_is_signed_that_cannot_be_remembered():
    """A full disk is a refusal without a signature; afterwards the same request is signed."""
    desk, _, key, memory = await make_desk()
    memory.is_full = True
    with pytest.raises(UnavailableError):
        await desk.add_checkpoint(body(0, 5))
    assert not key.signed
    memory.is_full = False
    assert await status(desk, body(0, 5)) == 409
    assert await desk.add_checkpoint(body(5, 5))


@pytest.mark.parametrize("lost", ["database", "file"])
async def test_a_restored_half_of_the_memory_forgets_nothing(lost):
    """Either the database or the file may be older: the larger tree of both counts."""
    desk, world, _, memory = await make_desk()
    await desk.add_checkpoint(body(0, 5))
    before_file, before_rows = dict(memory.trees), dict(world.store.state.records)
    await desk.add_checkpoint(body(5, 9))
    if lost == "file":
        memory.trees = before_file
    else:
        world.store.state.records = before_rows
    assert await status(desk, body(5, 8)) == 409
    assert await status(desk, body(5, 9, OTHERS)) == 409
    assert await desk.add_checkpoint(body(9, 12))


async def test_a_memory_that_disagrees_signs_nothing():
    """Two trees of one size are a matter for people."""
    desk, world, key, _ = await make_desk()
    await desk.add_checkpoint(body(0, 5))
    records = world.store.state.records
    row, at = records[Cosigned, ORIGIN]
    records[Cosigned, ORIGIN] = (Cosigned(ORIGIN, 5, bytes(32), "", version=row.version), at)
    with pytest.raises(TamperError, match="two trees of 5 entries"):
        await desk.add_checkpoint(body(5, 9))
    assert len(key.signed) == 1


async def test_what_was_cosigned_can_be_fetched():
    """By the hash of the origin, with the log's signature and ours, and without a stranger's."""
    desk, *_ = await make_desk()
    spam = Signer("spam.example/x", b"s" * 32)
    text = parse_note(signed(5)).text
    padded = sign_note(text, [spam, log_signer()]).format()
    await desk.add_checkpoint(Submission(0, (), padded).format())
    wanted = hashlib.sha256(ORIGIN.encode()).hexdigest()
    note = parse_note((await desk.checkpoint(wanted)).encode())
    assert verify_note(note, [Verifier.parse(LOG_KEY)])
    assert cosigned(note, [WitnessKey.parse(desk.key)])
    assert len(note.signatures) == 2
    with pytest.raises(NotFoundError):
        await desk.checkpoint("0" * 64)


async def test_repeating_oneself_costs_no_key():
    """Within seconds the same checkpoint gets the same line; later a newer one."""
    desk, world, key, _ = await make_desk()
    first = await desk.add_checkpoint(body(0, 5))
    assert await desk.add_checkpoint(body(5, 5)) == first
    assert len(key.signed) == 1
    world.clock.jump(timedelta(minutes=1))
    assert await desk.add_checkpoint(body(5, 5)) != first


async def test_two_logs_are_kept_apart():
    """What one log did says nothing about another, and one log's key signs for no other."""
    theirs = Signer("callpoint/theirs", b"t" * 32)
    second = WitnessedLog("second", "callpoint/theirs", (theirs.verifier.format(),))
    desk, *_ = await make_desk(logs=(THIS_LOG, second))
    await desk.add_checkpoint(body(0, 5))
    other = signed(9, OTHERS, origin="callpoint/theirs", signer=theirs)
    assert await desk.add_checkpoint(Submission(0, (), other).format())
    crossed = signed(9, OTHERS, origin="callpoint/theirs")
    assert await status(desk, Submission(9, (), crossed).format()) == 403
    assert await desk.known() == {ORIGIN: 5, "callpoint/theirs": 9}


async def test_without_configuration_no_log_is_known():
    """A witness cosigns what its governors named, and nothing else."""
    world = await make_watched(watched_by("north"))
    _, _, key, memory = await make_desk()
    alone = WitnessDesk(world.services, key, memory)
    assert await status(alone, body(0, 5)) == 404


async def test_two_nodes_sign_one_history():
    """Nodes with one key and one store, each with a file of its own, never sign two trees."""
    first, world, key, _ = await make_desk()
    await first.add_checkpoint(body(0, 5))
    second = WitnessDesk(world.services, key, Notebook())
    answers = await asyncio.gather(
        *(
            desk.add_checkpoint(body(5, 9, leaves))
            for desk, leaves in (
                (first, LEAVES),
                (second, OTHERS),
                (first, OTHERS),
                (second, LEAVES),
            )
        ),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers].count(str) == 1
    roots = {text.split("\n")[2] for text in key.signed if text.split("\n")[1] == "9"}
    assert len(roots) == 1
