"""The log as far as a process has verified it: the same answers as from the beginning, for less."""

from collections.abc import Iterable

import pytest

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.errors import DeniedError, TamperError
from callpoint.domain.ids import activation_stream, incident_stream
from callpoint.lifecycle import give_back, issue
from callpoint.lifecycle.proof import Proven, checkpoint_line, proven
from callpoint.lifecycle.verified_log import VerifiedLog
from callpoint.ports.stores import Entry, View
from tests.fakes.keys import MemoryLogSigner
from tests.fakes.memory_store import MemoryStore
from tests.fakes.world import INSTALLATION, ORIGIN, World, make_world


class CountingView:
    """Implements ``View``; counts the entries of the log that are read."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.read = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._view, name)

    def log_slice(self, start: int, limit: int) -> tuple[Entry, ...]:
        found = self._view.log_slice(start, limit)
        self.read += len(found)
        return found


async def prepared() -> tuple[World, Activation]:
    """An approved activation between others."""
    world = await make_world()
    await world.incident()
    await world.ask()
    made = await world.approved()
    await world.ask()
    return world, made


async def prove(
    world: World, log: VerifiedLog, streams: Iterable[str]
) -> tuple[dict[str, tuple[Proven, ...]], int]:
    """The answer, and how many entries were read for it."""

    def read(view: View) -> tuple[dict[str, tuple[Proven, ...]], int]:
        counting = CountingView(view)
        found = log.proven(counting, world.services.installation, streams)  # type: ignore[arg-type]  # delegates
        return found, counting.read

    return await world.store.read(read)


async def from_the_beginning(world: World, streams: Iterable[str]) -> dict[str, tuple[Proven, ...]]:
    return await world.store.read(lambda view: proven(view, world.services.installation, streams))


async def test_it_answers_as_the_whole_proof_does_after_every_step():
    """Open, ended and reviewed activations, incidents and streams that never were."""
    world, made = await prepared()
    log = VerifiedLog()
    streams = [activation_stream(made.id), incident_stream("inc-7"), "activation:nothing"]

    async def compare() -> None:
        for wanted in ([s] for s in streams):
            assert (await prove(world, log, wanted))[0] == await from_the_beginning(world, wanted)
        assert (await prove(world, log, streams))[0] == await from_the_beginning(world, streams)

    await compare()
    await issue.issue(world.services, world.caller("alice"), made.id)
    await compare()
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    await compare()
    withdrawn = await world.approved()
    await give_back.withdraw(world.services, world.caller("alice"), withdrawn.id)
    streams.append(activation_stream(withdrawn.id))
    await compare()


async def test_only_what_is_new_is_read():
    """A proof costs the entries that were logged since the one before, whoever logged them."""
    world, made = await prepared()
    log = VerifiedLog()
    stream = activation_stream(made.id)
    await prove(world, log, [stream, incident_stream("inc-7")])
    assert (await prove(world, log, [stream]))[1] == 0
    before = len(world.store.state.leaves)
    await world.approved()
    new = len(world.store.state.leaves) - before
    assert new > 0
    assert (await prove(world, log, [stream]))[1] == new


async def test_it_begins_where_the_oldest_open_stream_begins():
    """What was logged before the stream is not read, and an older stream is reached back for."""
    world, made = await prepared()
    log = VerifiedLog()
    first = (await from_the_beginning(world, [activation_stream(made.id)]))[
        activation_stream(made.id)
    ][0].index
    size = len(world.store.state.leaves)
    assert (await prove(world, log, [activation_stream(made.id)]))[1] == size - first
    older = incident_stream("inc-7")
    assert (await prove(world, log, [older]))[0] == await from_the_beginning(world, [older])
    assert (await prove(world, log, [older, activation_stream(made.id)]))[1] == 0


@pytest.mark.parametrize("how", ["change", "remove", "repeat", "swap"])
async def test_a_change_of_what_is_new_is_found_and_spoils_nothing(how):
    """The tree no longer has the signed root; put right, it goes on as if nothing had been."""
    world, made = await prepared()
    log = VerifiedLog()
    stream = activation_stream(made.id)
    await prove(world, log, [stream])
    await world.approved()
    leaves = world.store.state.leaves
    whole = list(leaves)
    match how:
        case "change":
            leaves[-1] = leaves[-1].replace(b'"actor":"', b'"actor":"x', 1)
        case "remove":
            del leaves[-1]
        case "repeat":
            leaves.insert(-2, leaves[-1])
        case _:
            leaves[-1], leaves[-2] = leaves[-2], leaves[-1]
    with pytest.raises(TamperError):
        await prove(world, log, [stream])
    leaves[:] = whole
    assert (await prove(world, log, [stream]))[0] == await from_the_beginning(world, [stream])


async def test_what_was_verified_is_not_believed_to_have_changed():
    """A row changed behind its back changes no answer: the log is remembered, not read again."""
    world, made = await prepared()
    log = VerifiedLog()
    stream = activation_stream(made.id)
    whole, _ = await prove(world, log, [stream])
    world.store.state.streams[stream].clear()
    world.store.state.leaves[whole[stream][0].index] = b"{}"
    assert (await prove(world, log, [stream]))[0] == whole


async def test_an_end_that_is_hidden_from_the_index_stays_an_end():
    """A withdrawn activation that is logged once more from its first event on is tampering."""
    world, made = await prepared()
    log = VerifiedLog()
    stream = activation_stream(made.id)
    life = (await prove(world, log, [stream]))[0][stream]
    await give_back.withdraw(world.services, world.caller("alice"), made.id)
    await prove(world, log, [incident_stream("inc-7")])
    # Whoever numbers now takes it for a new stream.
    world.store.state.streams[stream].clear()
    del world.store.state.ends[stream]
    for item in life:
        await world.store.transact(lambda tx, e=item.event: tx.append(stream, e))  # type: ignore[misc]  # bound now
    with pytest.raises(TamperError, match="after its end"):
        await prove(world, log, [stream])


async def test_an_older_view_gets_the_answer_of_its_time():
    """Readers come in any order: what is newer than a view is not told to it."""
    world, made = await prepared()
    log = VerifiedLog()
    stream = activation_stream(made.id)
    told, _ = await prove(world, log, [stream])
    older = await world.store.read(lambda view: view)
    await give_back.withdraw(world.services, world.caller("alice"), made.id)
    await world.ask()
    newest = incident_stream("inc-7")
    await prove(world, log, [newest])
    again = log.proven(older, world.services.installation, [stream, newest])
    assert again[stream] == told[stream]
    assert len(again[newest]) == 2


async def test_what_is_put_aside_is_proven_from_its_beginning():
    """With more open streams than are kept, the answers are the same."""
    world, made = await prepared()
    log = VerifiedLog(keep=1)
    streams = [incident_stream("inc-7"), activation_stream(made.id)]
    for _ in range(2):
        assert (await prove(world, log, streams))[0] == await from_the_beginning(world, streams)


async def test_after_a_recovery_everything_begins_anew():
    """Under another origin entries may be lost that were verified under the old one."""
    world, made = await prepared()
    log = VerifiedLog()
    stream = activation_stream(made.id)
    await prove(world, log, [stream])
    line = await world.store.read(
        lambda view: checkpoint_line(log.checkpoint(view, world.services.installation))
    )
    lost = MemoryStore(
        signer=MemoryLogSigner(ORIGIN),
        clock=world.clock,
        origin=f"{ORIGIN}/2",
        installation=INSTALLATION,
    )
    refused = ev.RequestRefused(action="x", about="", reason="")
    await lost.transact(lambda tx: tx.append("refusals", refused))

    def read(view: View) -> dict[str, tuple[Proven, ...]]:
        with pytest.raises(DeniedError, match="not a checkpoint of this log"):
            log.must_be_ours(view, world.services.installation, line)
        return log.proven(view, world.services.installation, [stream])

    assert await lost.read(read) == {stream: ()}
