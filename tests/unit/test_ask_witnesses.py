"""Asking witnesses, believing them, and giving nothing while too few have seen the log."""

from copy import deepcopy
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from callpoint.audit.cosignature import WitnessKey, cosigned
from callpoint.audit.note import Signature, parse_note
from callpoint.domain.errors import LogUnavailableError
from callpoint.domain.kill import Scope
from callpoint.domain.lease import LeaseState
from callpoint.domain.witnessing import Answer, Watch
from callpoint.lifecycle import kill
from callpoint.lifecycle.ask_witnesses import ask_witnesses
from callpoint.lifecycle.published import newest_shown, published
from callpoint.lifecycle.seen_by import must_be_witnessed, sightings
from callpoint.lifecycle.sweep import sweep
from callpoint.ports.witnesses import Reply
from tests.fakes.witnesses import Streets, cosigner, make_desk, make_watched, watched_by
from tests.fakes.world import ORIGIN, World


async def seen(world: World):
    """What the witnesses have seen."""
    services = world.services
    watching = services.rules.last_proven.watched
    return await services.store.read(lambda v: sightings(v, services.installation, watching))


async def shown(world: World, how=published):
    """What outsiders are shown."""
    watching = world.services.rules.last_proven.watched
    return await world.services.store.read(lambda v: how(v, ORIGIN, watching))


async def scene(*names: str, **watching: Any) -> tuple[World, Streets]:
    """A log that witnesses of these names see, and the way to them; all have one time."""
    world = await make_watched(watched_by(*names, **watching))
    desks = {name: (await make_desk(name, clock=world.clock))[0] for name in names}
    return world, Streets(**desks)


async def test_the_newest_checkpoint_is_cosigned_and_shown():
    """Each witness signs what is newest; outsiders get the note with both lines."""
    world, way = await scene("north", "south")
    asked = await ask_witnesses(world.services, way)
    assert {name: w.answer for name, w in asked.answers.items()} == {
        "north": Answer.COSIGNED,
        "south": Answer.COSIGNED,
    }
    found = await shown(world)
    keys = [cosigner(n).public for n in ("north", "south")]
    assert {s.witness for s in cosigned(parse_note(found.note.encode()), keys)} == set(keys)
    assert found.witnesses == ("north", "south")


async def test_a_pass_asks_only_who_has_something_to_sign():
    """Nothing new, nothing asked; and asking logs nothing, or two logs would never rest."""
    world, way = await scene("north")
    first = await ask_witnesses(world.services, way)
    assert not (await ask_witnesses(world.services, way)).answers
    assert (await ask_witnesses(world.services, way, all_of_them=True)).size == first.size
    await world.incident()
    assert (await ask_witnesses(world.services, way)).size > first.size
    world.clock.jump(timedelta(minutes=31))  # half of `within`
    assert (await ask_witnesses(world.services, way)).answers
    assert way.asked == ["north"] * 4


async def test_a_witness_that_knows_another_size_is_asked_from_there():
    """We may have forgotten what it saw; it tells, and gets the proof from there on."""
    world, way = await scene("north")
    await ask_witnesses(world.services, way)
    world.store.state.records = {
        key: row for key, row in world.store.state.records.items() if key[0] is not Watch
    }
    await world.incident()
    asked = await ask_witnesses(world.services, way)
    assert asked.answers["north"].answer is Answer.COSIGNED
    assert len(way.asked) == 3


@pytest.mark.parametrize(
    "reply, answer",
    [
        (Reply(404, b"this witness does not know the log\n"), Answer.REFUSED),
        (Reply(403, b""), Answer.REFUSED),
        (Reply(500, b"\xff\x1b[2J"), Answer.REFUSED),
        (Reply(302, b""), Answer.REFUSED),
        (Reply(200, b""), Answer.REFUSED),
        (Reply(200, b"\xff"), Answer.REFUSED),
        (Reply(409, b"many\n"), Answer.REFUSED),
        (Reply(409, b"0\n"), Answer.REFUSED),
        (Reply(422, b""), Answer.CONTRADICTED),
        (Reply(409, b"99999\n"), Answer.CONTRADICTED),
    ],
)
async def test_no_other_answer_counts(reply, answer):
    """Whatever else comes back is kept as a reason, harmless on a screen, and signs nothing."""
    world, way = await scene("north", quorum=1)
    way.replies["north"] = reply
    asked = await ask_witnesses(world.services, way)
    assert asked.answers["north"].answer is answer
    assert asked.answers["north"].detail.isprintable()
    assert not (await seen(world))[0].counts


async def test_a_silent_witness_does_not_hold_up_another():
    """One that does not answer is known as silent; the other's signature is there."""
    world, way = await scene("north", "south")
    way.silent.add("north")
    asked = await ask_witnesses(world.services, way)
    assert asked.answers["north"].answer is Answer.SILENT
    assert [one.name for one in await seen(world) if one.counts] == ["south"]


async def test_a_forged_cosignature_is_not_kept():
    """Another's key, another text, a cut line, a time without a signature: none of them counts."""
    world, way = await scene("north")
    text = parse_note((await shown(world, newest_shown)).note.encode()).text
    good = cosigner("north").cosign(text, 1_700_000_000)
    stranger = cosigner("south").cosign(text, 1_700_000_000)
    for line in (
        stranger.line(),
        Signature(good.name, good.key_id, stranger.signature).line(),
        Signature(good.name, good.key_id, good.signature[:-1]).line(),
        Signature(good.name, good.key_id, bytes(8) + good.signature[8:]).line(),
        Signature(good.name, good.key_id, bytes(7) + b"\x01" + good.signature[8:]).line(),
        cosigner("north").cosign(f"{text}x\n", 1_700_000_000).line(),
    ):
        way.replies["north"] = Reply(200, line.encode())
        asked = await ask_witnesses(world.services, way)
        assert asked.answers["north"].answer is Answer.REFUSED, line
    assert not world.store.state.cosignatures
    way.replies["north"] = Reply(200, (stranger.line() + good.line()).encode())
    asked = await ask_witnesses(world.services, way)
    assert asked.answers["north"].answer is Answer.COSIGNED


async def test_a_rolled_back_log_is_noticed_once_and_loudly():
    """The witness saw more than we have: people are told at once, and nothing hides it."""
    world, way = await scene("north")
    before = deepcopy(world.store.state)
    await world.incident()
    await ask_witnesses(world.services, way)
    world.store.state = before
    for _ in range(2):
        asked = await ask_witnesses(world.services, way)
        assert asked.answers["north"].answer is Answer.CONTRADICTED
        assert "rolled back" in asked.answers["north"].detail
    told = [notice for notice in world.notices.said if notice.kind == "log:contradicted"]
    assert [notice.urgent for notice in told] == [True]
    assert set(told[0].to) >= {"gina", "hugo", "erin"}


async def test_a_fork_is_noticed():
    """The same length with another entry: the witness does not sign it, and says why."""
    world, way = await scene("north")
    before = deepcopy(world.store.state)
    await world.incident("inc-7")
    await ask_witnesses(world.services, way)
    world.store.state = before
    await world.incident("inc-8")
    await world.incident("inc-9")
    asked = await ask_witnesses(world.services, way)
    assert asked.answers["north"].answer is Answer.CONTRADICTED
    assert "forked" in asked.answers["north"].detail


async def test_nothing_is_issued_that_too_few_have_seen():
    """With a quorum, issue waits for witnesses; what was live is revoked without them."""
    world, way = await scene("north", "south", quorum=2, within=timedelta(minutes=15))
    await ask_witnesses(world.services, way)
    await world.incident()
    live = await world.active()
    way.silent.add("south")
    world.clock.jump(timedelta(minutes=16))
    await ask_witnesses(world.services, way)
    await world.incident("inc-8")
    with pytest.raises(LogUnavailableError, match="1 has; missing: south") as refused:
        await world.active(incident="inc-8")
    assert "callpoint log status" in refused.value.way_out
    await kill.kill(world.services, world.caller("gina"), Scope.EVERYTHING, "")
    await sweep(world.services)
    (lease,) = await world.leases(live.id)
    assert lease.state is LeaseState.ENDED


async def test_a_row_in_the_database_is_no_witness():
    """Who writes to the database makes no cosignature: it must be over the tree that is there."""
    world, way = await scene("north", quorum=1)
    await ask_witnesses(world.services, way)
    services, rules = world.services, world.services.rules.last_proven
    await world.incident()
    rows = world.store.state.cosignatures
    ((origin, name, size), line) = next(iter(rows.items()))
    rows[origin, name, size + 1] = line
    del rows[origin, name, size]
    rows[origin, name, 10**9] = line
    with pytest.raises(LogUnavailableError):
        await services.store.read(
            lambda v: must_be_witnessed(v, services.installation, rules.watched)
        )


async def test_a_time_in_the_future_never_grows_old_and_does_not_count():
    """A witness whose clock is days ahead would otherwise vouch for days to come."""
    world, way = await scene("north", quorum=1)
    shown_now = await shown(world, newest_shown)
    text = parse_note(shown_now.note.encode()).text
    for time, counts in (
        (int(world.clock.now().timestamp()) + 86_400, False),
        (2**63 - 1, False),
        (int(world.clock.now().timestamp()) + 60, True),
    ):
        line = cosigner("north").cosign(text, time).line()
        way.replies["north"] = Reply(200, line.encode())
        await ask_witnesses(world.services, way)
        assert (await seen(world))[0].counts is counts, time


async def test_a_former_key_of_a_witness_counts_no_more():
    """After its key is replaced, what the former one signed is not shown and not counted."""
    world, way = await scene("north")
    await ask_witnesses(world.services, way)
    watching = watched_by("north")
    other = WitnessKey(cosigner("north").name, b"k" * 32).format()
    changed = msgspec.structs.replace(watching.witnesses["north"], key=other)
    watching = msgspec.structs.replace(watching, witnesses={"north": changed})
    found = await world.services.store.read(lambda v: published(v, ORIGIN, watching))
    assert found.witnesses == ()


async def test_outsiders_get_the_checkpoint_that_enough_have_seen():
    """A newer one without cosignatures waits; the newest that the quorum signed is shown."""
    world, way = await scene("north", "south", quorum=2)
    await ask_witnesses(world.services, way)
    both = (await shown(world)).checkpoint.size
    way.silent.add("south")
    await world.incident()
    await ask_witnesses(world.services, way)
    newest = await shown(world, newest_shown)
    assert newest.checkpoint.size > both
    assert newest.witnesses == ("north",)
    assert (await shown(world)).checkpoint.size == both


async def test_many_cosignatures_are_kept_by_size():
    """A second signature over one size takes the first one's place."""
    world, way = await scene("north")
    for _ in range(3):
        world.clock.jump(timedelta(minutes=40))
        await ask_witnesses(world.services, way)
    assert len(world.store.state.cosignatures) == 1
