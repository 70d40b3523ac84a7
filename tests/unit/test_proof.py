"""Reading state back from the log: what is proven, and what gives a change away."""

import msgspec
import pytest

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.errors import DeniedError, LogUnavailableError, TamperError
from callpoint.domain.ids import INSTALLATION_STREAM, activation_stream, incident_stream
from callpoint.lifecycle import give_back
from callpoint.lifecycle.proof import (
    Proven,
    checkpoint_line,
    must_agree,
    must_be_ours,
    newest_checkpoint,
    proven,
)
from tests.fakes.keys import MemoryLogSigner
from tests.fakes.memory_store import MemoryStore
from tests.fakes.world import ORIGIN, World, make_world


async def prepared() -> tuple[World, Activation]:
    """Several streams that lie between each other in the log."""
    world = await make_world()
    await world.incident()
    await world.ask()
    made = await world.approved()
    await world.ask()
    return world, made


async def prove(world: World, *streams: str) -> dict[str, tuple[Proven, ...]]:
    return await world.store.read(lambda view: proven(view, world.services.installation, streams))


async def test_a_stream_is_read_back_whole_and_in_order():
    """Every event of each wanted stream, and no event of another."""
    world, made = await prepared()
    stream, other = activation_stream(made.id), incident_stream("inc-7")
    found = await prove(world, stream, other)
    kinds = [type(item.event) for item in found[stream]]
    assert kinds == [
        ev.ActivationRequested,
        ev.ApprovalRecorded,
        ev.ApprovalRecorded,
        ev.ActivationApproved,
    ]
    assert [type(item.event) for item in found[other]] == [
        ev.IncidentDeclared,
        ev.IncidentConfirmed,
    ]
    assert [item.index for item in found[stream]] == sorted(item.index for item in found[stream])
    must_agree(made, found[stream])


async def test_a_stream_without_entries_is_proven_empty():
    """Nothing is found, and nothing is missing."""
    world, _ = await prepared()
    assert await prove(world, "activation:nothing") == {"activation:nothing": ()}


async def test_words_inside_another_entry_do_not_make_it_part_of_a_stream():
    """An entry belongs to the stream that it names, whatever its text says."""
    world, made = await prepared()
    stream = activation_stream(made.id)
    refused = ev.RequestRefused(action="x", about=f'"stream":"{stream}"', reason="")
    await world.store.transact(lambda tx: tx.append("refusals", refused))
    assert len((await prove(world, stream))[stream]) == 4


@pytest.mark.parametrize("place", ["first", "middle", "last"])
@pytest.mark.parametrize("how", ["change", "remove", "repeat", "swap"])
async def test_a_change_of_any_entry_since_is_found(place, how):
    """Changed, removed, repeated or swapped: the tree no longer has the signed root."""
    world, made = await prepared()
    stream = activation_stream(made.id)
    first = (await prove(world, stream))[stream][0].index
    leaves = world.store.state.leaves
    at = {"first": first, "middle": first + 2, "last": len(leaves) - 1}[place]
    match how:
        case "change":
            leaves[at] = leaves[at].replace(b'"actor":"', b'"actor":"x', 1)
        case "remove":
            del leaves[at]
        case "repeat":
            leaves.insert(at - 1, leaves[at])
        case _:
            leaves[at], leaves[at - 1] = leaves[at - 1], leaves[at]
    with pytest.raises(TamperError):
        await prove(world, stream)


async def test_an_index_that_hides_an_entry_hides_nothing():
    """Which entries belong to a stream is read off the entries, not off the database's index."""
    world, made = await prepared()
    stream = activation_stream(made.id)
    world.store.state.streams[stream].pop()
    assert len((await prove(world, stream))[stream]) == 4
    world.store.state.streams[stream].clear()
    with pytest.raises(TamperError):
        must_agree(made, (await prove(world, stream))[stream])


async def test_an_index_that_hides_the_beginning_is_found():
    """A chain that begins in the middle is broken."""
    world, made = await prepared()
    stream = activation_stream(made.id)
    del world.store.state.streams[stream][0]
    with pytest.raises(TamperError, match="breaks the chain"):
        await prove(world, stream)


async def test_a_checkpoint_by_another_key_or_of_another_log_is_refused():
    """The key is pinned outside the database."""
    world, made = await prepared()
    note = world.store.state.note
    text = note.split("\n\n")[0] + "\n"
    for name in (ORIGIN, "callpoint/other1"):
        forged = MemoryLogSigner(name + "x").sign(text.replace(ORIGIN, name))
        world.store.state.note = forged
        with pytest.raises(TamperError, match="does not verify"):
            await prove(world, activation_stream(made.id))


async def test_before_the_first_checkpoint_there_is_nothing_to_prove():
    """An empty log says what to do first."""
    world, _ = await prepared()
    world.store.state.note = ""
    with pytest.raises(LogUnavailableError, match="no checkpoint yet"):
        await prove(world, INSTALLATION_STREAM)


async def test_events_that_wait_for_the_log_prove_nothing_yet():
    """A stream with an unnumbered event is not proven complete."""
    world, made = await prepared()
    world.store.log_down = True
    await give_back.withdraw(world.services, world.caller("alice"), made.id)
    world.store.log_down = False
    with pytest.raises(LogUnavailableError, match="wait for the log"):
        await prove(world, activation_stream(made.id))
    await world.store.merge_spool()
    assert len((await prove(world, activation_stream(made.id)))[activation_stream(made.id)]) == 5


@pytest.mark.parametrize(
    "changes",
    [
        {"state": ActivationState.ACTIVE},
        {"approvals": ()},
        {"uses": 1},
        {"digest": "0" * 64},
        {"end_reason": "killed"},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_row_that_says_anything_else_is_tampering(changes):
    """Whatever member of the row differs from what the events say."""
    world, made = await prepared()
    stream = activation_stream(made.id)
    events = (await prove(world, stream))[stream]
    with pytest.raises(TamperError, match="not the one in the log"):
        must_agree(msgspec.structs.replace(made, **changes), events)


async def test_a_request_whose_digest_is_wrong_in_the_log_itself_is_tampering():
    """Votes are over the digest, so the digest must be that of the request."""
    world, made = await prepared()
    stream = activation_stream(made.id)
    events = (await prove(world, stream))[stream]
    asked = events[0].event
    assert isinstance(asked, ev.ActivationRequested)
    request = msgspec.structs.replace(asked.request, incident="inc-8")
    forged = msgspec.structs.replace(
        events[0], event=msgspec.structs.replace(asked, request=request)
    )
    with pytest.raises(TamperError, match="does not have the digest"):
        must_agree(made, (forged, *events[1:]))


async def test_every_checkpoint_that_the_log_ever_had_is_its_own():
    """Earlier sizes with their roots are recognised, and nothing else is."""
    world, _ = await prepared()
    lines: list[str] = []

    def line(store: MemoryStore) -> str:
        _, size, root = store.state.note.split("\n")[:3]
        return f"{size} {root}"

    for _ in range(3):
        lines.append(line(world.store))
        await world.ask()
    here = world.services.installation
    for one in lines:
        await world.store.read(lambda view, x=one: must_be_ours(view, here, x))  # type: ignore[misc]  # bound now
    newest = await world.store.read(lambda view: newest_checkpoint(view, here))
    assert checkpoint_line(newest) == line(world.store)
    size, root = lines[0].split(" ")
    for wrong in (
        f"{int(size) + 1} {root}",
        f"{size} {lines[1].split(' ')[1]}",
        f"0{size} {root}",
        f"{size}  {root}",
        f"{size} {root} ",
        f"{size} {root[:-4]}AAA=",
        f"-{size} {root}",
        f"9999999999999999999999 {root}",
        size,
    ):
        with pytest.raises(DeniedError, match="not a checkpoint of this log"):
            await world.store.read(lambda view, w=wrong: must_be_ours(view, here, w))  # type: ignore[misc]  # bound now
