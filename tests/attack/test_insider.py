"""An insider who can write to the database never gets a credential out of it.

The log key and the pinned files are not in the database: that is all that is trusted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import msgspec
import pytest

from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.approval import Approval, Verdict
from callpoint.domain.errors import CallpointError, TamperError
from callpoint.domain.governance import InForce, StoredBundle
from callpoint.domain.ids import activation_stream
from callpoint.domain.incident import Incident
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.lease import Lease, LeaseState
from callpoint.lifecycle import give_back, issue, use
from tests.fakes.memory_store import State
from tests.fakes.world import World, build_decider, make_world


@dataclass
class Database:
    """What the insider does to rows, without going through the store."""

    state: State

    def change(self, kind: type, key: str, **changes: object) -> None:
        record, first_at = self.state.records[kind, key]
        assert isinstance(record, msgspec.Struct)
        self.state.records[kind, key] = (msgspec.structs.replace(record, **changes), first_at)

    def change_request(self, key: str, **changes: object) -> None:
        record, _ = self.state.records[Activation, key]
        assert isinstance(record, Activation)
        request = msgspec.structs.replace(record.request, **changes)
        self.change(Activation, key, request=request)

    def rewrite_leaf(self, stream: str, old: bytes, new: bytes) -> None:
        for index in self.state.streams[stream]:
            self.state.leaves[index] = self.state.leaves[index].replace(old, new)

    def forget_last(self, stream: str) -> None:
        """Cut the newest entry of a stream out of the index and of the log."""
        index = self.state.streams[stream].pop()
        del self.state.leaves[index]


async def attempt(world: World, activation: str) -> None:
    """Every way to a credential; the rules are loaded afresh, as after a restart."""
    services = world.with_decider(build_decider).services
    try:
        await issue.issue(services, world.caller("alice"), activation)
        for lease in await world.leases(activation):
            await use.reveal(services, world.caller("alice"), lease.id)
    except CallpointError:
        return
    pytest.fail("a credential was given out")


ForgedState = Callable[[Database, str], None]


def approve_by_state(db: Database, key: str) -> None:
    db.change(Activation, key, state=ActivationState.APPROVED)


def approve_by_vote(db: Database, key: str) -> None:
    _, at = db.state.records[Activation, key]
    votes = tuple(
        Approval(p, p, Verdict.APPROVE, "e30=", "AAAA", "AAAA", at) for p in ("carol", "dave")
    )
    db.change(Activation, key, approvals=votes, state=ActivationState.APPROVED)


def lower_quorum(db: Database, key: str) -> None:
    record, _ = db.state.records[Activation, key]
    assert isinstance(record, Activation)
    lower = msgspec.structs.replace(record.request.quorum, need=1)
    db.change_request(key, quorum=lower)
    approve_by_state(db, key)


def rewrite_digest(db: Database, key: str) -> None:
    db.change_request(key, ttl=timedelta(hours=200))
    record, _ = db.state.records[Activation, key]
    assert isinstance(record, Activation)
    db.change(Activation, key, digest=record.request.digest(), state=ActivationState.APPROVED)


@pytest.mark.parametrize("forge", [approve_by_state, approve_by_vote, lower_quorum, rewrite_digest])
async def test_a_forged_row_of_a_pending_request_gives_nothing(forge: ForgedState):
    """A request that nobody approved stays without a credential, whatever its row says."""
    world = await make_world()
    await world.incident()
    asked = await world.ask()
    forge(Database(world.store.state), asked.id)
    await attempt(world, asked.id)
    assert not world.target.accounts


@pytest.mark.parametrize(
    "changes",
    [
        {"ttl": timedelta(hours=24)},
        {"opens": ("orders-db:read",)},
        {"principal": "bob"},
        {"seal_to": "age1other"},
        {"incident": "inc-8"},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_changed_request_of_an_approved_activation_gives_nothing(changes):
    """What was approved is what is issued, or nothing."""
    world = await make_world()
    await world.incident()
    made = await world.approved()
    Database(world.store.state).change_request(made.id, **changes)
    with pytest.raises(CallpointError):
        await issue.issue(world.services, world.caller("alice"), made.id)
    assert not world.target.accounts


@pytest.mark.parametrize("member", ["person", "statement", "signature", "key", "approver"])
async def test_a_changed_vote_gives_nothing(member: str):
    """A vote whose row was changed is not the vote in the log."""
    world = await make_world()
    await world.incident()
    made = await world.approved()
    vote = msgspec.structs.replace(made.approvals[0], **{member: "erin"})
    votes = (vote, *made.approvals[1:])
    Database(world.store.state).change(Activation, made.id, approvals=votes)
    with pytest.raises(TamperError):
        await issue.issue(world.services, world.caller("alice"), made.id)
    assert not world.target.accounts


async def test_a_changed_entry_gives_nothing():
    """Row and entry changed alike, and still the signed root gives it away."""
    world = await make_world()
    await world.incident()
    made = await world.approved()
    db = Database(world.store.state)
    db.rewrite_leaf(activation_stream(made.id), b'"ttl":"PT1800S"', b'"ttl":"PT9800S"')
    db.change_request(made.id, ttl=timedelta(seconds=9800))
    with pytest.raises(TamperError, match="signed root"):
        await issue.issue(world.services, world.caller("alice"), made.id)
    assert not world.target.accounts


async def test_a_removed_end_gives_nothing():
    """Cutting the withdrawal out of the log does not make the approval usable again."""
    world = await make_world()
    await world.incident()
    made = await world.approved()
    await give_back.withdraw(world.services, world.caller("alice"), made.id)
    db = Database(world.store.state)
    db.forget_last(activation_stream(made.id))
    db.state.records[Activation, made.id] = (made, made.request.requested_at)
    with pytest.raises(TamperError):
        await issue.issue(world.services, world.caller("alice"), made.id)
    assert not world.target.accounts


@pytest.mark.parametrize(
    "changes",
    [
        {"state": IncidentState.OPEN},
        {"state": IncidentState.OPEN, "confirmed_by": "", "resolved_at": None},
        {"severity": "sev4"},
        {"confirmed_by": "hugo"},
    ],
)
async def test_a_forged_incident_gives_nothing(changes):
    """An incident row that the log does not tell justifies nothing."""
    world = await make_world()
    await world.incident()
    made = await world.approved()
    Database(world.store.state).change(Incident, "inc-7", **changes)
    if changes == {"state": IncidentState.OPEN}:
        Database(world.store.state).change(Incident, "inc-7", targets=("orders-db", "all"))
    with pytest.raises(TamperError):
        await issue.issue(world.services, world.caller("alice"), made.id)
    assert not world.target.accounts


async def test_a_changed_configuration_row_gives_nothing():
    """A bundle whose digest is not the one in the log is not loaded."""
    world = await make_world()
    await world.incident()
    made = await world.approved()
    record, _ = world.store.state.records[StoredBundle, "00000001"]
    assert isinstance(record, StoredBundle)
    rules = record.bundle.configuration
    groups = {
        **rules.groups,
        "commanders": msgspec.structs.replace(
            rules.groups["commanders"], members=("alice", "bob", "carol")
        ),
    }
    loose = msgspec.structs.replace(
        record.bundle, configuration=msgspec.structs.replace(rules, groups=groups)
    )
    db = Database(world.store.state)
    db.change(StoredBundle, "00000001", bundle=loose, digest=loose.digest())
    db.change(InForce, "bundle", digest=loose.digest())
    restarted = world.with_decider(build_decider)
    with pytest.raises(TamperError, match="not the one in the log"):
        await issue.issue(restarted.services, world.caller("alice"), made.id)
    assert not world.target.accounts


async def test_an_older_configuration_is_not_taken_back():
    """A running process refuses a pointer to an earlier bundle than it has seen."""
    world = await make_world()
    await world.services.rules.current()
    Database(world.store.state).change(InForce, "bundle", number=0, digest="other")
    with pytest.raises(TamperError, match="older"):
        await world.services.rules.current()


async def test_a_swapped_box_is_not_handed_out():
    """Only the box that was issued leaves, so nobody can plant another credential."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    lease = (await world.leases(made.id))[0]
    Database(world.store.state).change(Lease, lease.id, box="b3RoZXI=")
    with pytest.raises(TamperError, match="box"):
        await use.reveal(world.services, world.caller("alice"), lease.id)


async def test_an_ended_lease_set_live_again_gives_nothing():
    """Rows of an ended activation set back to life hand out nothing: the account is gone."""
    world = await make_world()
    await world.incident()
    made = await world.active()
    live = (await world.leases(made.id))[0]
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    db = Database(world.store.state)
    db.change(Lease, live.id, state=LeaseState.LIVE, box=live.box)
    db.change(Activation, made.id, state=ActivationState.ACTIVE)
    with pytest.raises(TamperError):
        await use.reveal(world.services, world.caller("alice"), live.id)
    assert not world.target.accounts
