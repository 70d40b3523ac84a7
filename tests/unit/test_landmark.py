"""Going on where an earlier process had proven a stream: the same answers, and nothing believed."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from callpoint.bootstrap.home import Home
from callpoint.domain.errors import TamperError
from callpoint.domain.ids import activation_stream, incident_stream
from callpoint.lifecycle import give_back, incidents
from callpoint.lifecycle.landmark import Landmark, Landmarks, StreamMark
from callpoint.lifecycle.verified_log import VerifiedLog
from tests.fakes.world import World
from tests.unit.test_verified_log import from_the_beginning, prepared, prove

STREAM = incident_stream("inc-7")


async def marked(world: World, *streams: str, log: VerifiedLog | None = None) -> Landmark:
    """What a process leaves that was asked for these streams."""
    log = log or VerifiedLog()
    await prove(world, log, streams or [STREAM])
    installation = world.services.installation
    found = await world.store.read(lambda view: log.landmark(view, installation))
    assert found is not None
    return found


async def test_a_start_reads_what_was_logged_since():
    """Also what belongs to the stream; and the process after it goes on from there."""
    world, _ = await prepared()
    mark = await marked(world)
    assert mark.size == len(world.store.state.leaves)
    await world.ask()
    await incidents.resolve(world.services, world.caller("erin"), "inc-7")
    log = VerifiedLog(landmark=mark)
    found, read = await prove(world, log, [STREAM])
    assert found == await from_the_beginning(world, [STREAM])
    assert read == len(world.store.state.leaves) - mark.size
    newer = await marked(world, log=log)
    assert newer == await marked(world)


async def test_every_open_stream_is_at_hand_again():
    """One that ended meanwhile, too; one that began before everything is reached back for."""
    world, made = await prepared()
    first, other = activation_stream(made.id), activation_stream((await world.approved()).id)
    older = incident_stream("inc-7")
    mark = await marked(world, first, other)
    assert {first, other} <= set(mark.streams)
    assert older not in mark.streams
    await give_back.withdraw(world.services, world.caller("alice"), made.id)
    since = len(world.store.state.leaves) - mark.size
    log = VerifiedLog(landmark=mark)
    assert await prove(world, log, [other]) == (await from_the_beginning(world, [other]), since)
    for wanted in ([first], [older], [other, older]):
        assert (await prove(world, log, wanted))[0] == await from_the_beginning(world, wanted)


async def test_a_process_that_was_asked_nothing_leaves_what_it_found():
    """It grows the tree of the process before, and forgets none of its streams."""
    world, _ = await prepared()
    mark, installation = await marked(world), world.services.installation
    await world.ask()
    log = VerifiedLog(landmark=mark)
    found = await world.store.read(lambda view: log.landmark(view, installation))
    assert found is not None
    assert found == await marked(world)
    assert found.size > mark.size
    fresh = VerifiedLog()
    assert await world.store.read(lambda view: fresh.landmark(view, installation)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"origin": "another.example/log"},
        {"size": 3},
        {"size": 0},
        {"size": -1},
        {"size": 10**9},
        {"root": bytes(32)},
        {"root": b""},
        {"streams": {STREAM: StreamMark(1, "00" * 32)}},
        {"streams": {STREAM: StreamMark(2, "00" * 32)}},
        {"streams": {STREAM: StreamMark(99, "")}},
        {"streams": {"incident:none": StreamMark(1, "")}},
    ],
    ids=str,
)
async def test_one_that_does_not_fit_is_no_landmark(change):
    """It is another log's, or a wrong one: then everything is proven from the first entry."""
    world, _ = await prepared()
    mark = msgspec.structs.replace(await marked(world), **change)
    found, read = await prove(world, VerifiedLog(landmark=mark), [STREAM])
    whole = await from_the_beginning(world, [STREAM])
    assert found == whole
    assert read == len(world.store.state.leaves) - whole[STREAM][0].index


def _left_out(world: World) -> None:
    del world.store.state.streams[STREAM][-1]


def _changed(world: World) -> None:
    place = world.store.state.streams[STREAM][-1]
    leaves = world.store.state.leaves
    leaves[place] = leaves[place].replace(b'"seq":', b'"seq": ', 1)


def _grafted(world: World) -> None:
    world.store.state.leaves[-1] = world.store.state.leaves[0]


@pytest.mark.parametrize("tamper", [_changed, _grafted])
async def test_what_was_changed_is_found(tamper: Callable[[World], None]):
    """Before the landmark or after it: an entry that is not what was signed is told."""
    world, _ = await prepared()
    mark = await marked(world)
    await world.ask()
    tamper(world)
    with pytest.raises(TamperError):
        await prove(world, VerifiedLog(landmark=mark), [STREAM])


async def test_an_entry_that_the_index_hides_is_found():
    """The landmark knows how many there were; the proof from the first entry finds it again."""
    world, _ = await prepared()
    mark = await marked(world)
    whole = await from_the_beginning(world, [STREAM])
    _left_out(world)
    assert (await prove(world, VerifiedLog(landmark=mark), [STREAM]))[0] == whole


def test_it_is_kept_in_the_home_folder(tmp_path: Path):
    """Readable by its owner only; a file that is damaged costs time and nothing else."""
    home = Home(tmp_path)
    assert home.landmarks() == Landmarks()
    one = Landmark("log.example", 7, bytes(range(32)), {STREAM: StreamMark(2, "ab" * 32)})
    two = msgspec.structs.replace(one, size=9)
    home.note_landmarks(Landmarks(publications=one))
    home.note_landmarks(Landmarks(open=two))
    assert home.landmarks() == Landmarks(one, two), "what is not known now is kept"
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    for damaged in (b"", b"[]", b"\xff", file.read_bytes()[:-9]):
        file.write_bytes(damaged)
        assert home.landmarks() == Landmarks()
