"""What takes away works over the HTTP API when policy and configuration are broken (I11)."""

import sqlite3
from dataclasses import replace
from pathlib import Path

from callpoint.domain.decision import Decision, DecisionRequest
from callpoint.domain.governance import Bundle
from callpoint.lifecycle import sweep
from callpoint.lifecycle.attest import LEAST_ATTEMPTS
from callpoint.lifecycle.rules import RuleBook
from callpoint.ports.decider import Decider
from tests.fakes.emergency import active, ask, vote
from tests.fakes.face import Face, kind_of
from tests.fakes.world import World, make_world


class BrokenDecider:
    """Implements ``ports.decider.Decider`` as one that fails at every question."""

    def evaluate(self, request: DecisionRequest) -> Decision:
        raise RuntimeError("the policy engine is gone")


def broken(_: Bundle) -> Decider:
    return BrokenDecider()


async def test_what_takes_away_works_with_a_broken_policy_engine(face: Face, world: World):
    """Kill, return, withdraw, deny and resolve do not ask the PDP (I11)."""
    first = await active(face)
    pending = (await face.post("alice", "/v1/activations", ask()))["id"]
    other = (await face.post("alice", "/v1/activations", ask()))["id"]
    async with Face(world.with_decider(broken)) as lame:
        assert kind_of(await lame.call("alice", "POST", "/v1/activations", ask())) == (
            403,
            "denied",
        )
        assert kind_of(await vote(lame, "carol", pending)) == (403, "denied")
        assert (await vote(lame, "carol", pending, "deny")).json()["state"] == "denied"
        withdrawn = await lame.post("alice", f"/v1/activations/{other}/withdraw")
        assert withdrawn["state"] == "withdrawn"
        returned = await lame.post("alice", f"/v1/activations/{first}/return", {})
        assert returned["leases"][0]["state"] == "ended"
        killed = await lame.post("bob", "/v1/kill", {"scope": "everything"})
        assert killed == {"activations": [], "alive": []}
        resolved = await lame.post("bob", "/v1/incidents/inc-7/resolve")
        assert resolved["state"] == "resolved"
        assert (await lame.get("alice", "/v1/status"))["stuck"] == []


def damage(store: Path) -> None:
    """Change the published bundle behind the store's back."""
    with sqlite3.connect(store) as database:
        done = database.execute(
            "UPDATE records SET body ="
            " CAST(replace(CAST(body AS TEXT), 'oncall', 'onhold') AS BLOB) WHERE key = '00000001'"
        )
        assert done.rowcount == 1
    database.close()


async def test_a_kill_works_with_a_tampered_bundle(face: Face, world: World, tmp_path: Path):
    """The last proven configuration still tells who somebody is; what gives is refused (I11)."""
    first = await active(face)
    store = tmp_path / "store.db"
    damage(store)
    services = world.services
    rules = RuleBook(
        services.installation,
        services.store,
        broken,
        verifier=services.verifier,
        pinned=world.bundle,
    )
    restarted = replace(world, services=replace(services, rules=rules))
    async with Face(restarted) as lame:
        refused = await lame.call("alice", "POST", "/v1/activations", ask())
        assert kind_of(refused) == (500, "tamper")
        assert lame.lines[-1]["event"] == "tampering_found"
        status = await lame.get("alice", "/v1/status")
        assert status["trouble"]
        killed = await lame.post("bob", "/v1/kill", {"scope": "activation", "about": first})
        assert killed == {"activations": [first], "alive": []}
    assert not world.target.accounts


async def test_with_a_dead_log_nothing_is_given_and_everything_is_taken():
    """No evidence, no secret (I2): issue answers 503 while a kill goes through and is spooled."""
    world = await make_world()
    async with Face(world) as face:
        first = await active(face)
        made = (await face.post("alice", "/v1/activations", ask()))["id"]
        for approver in ("carol", "dave"):
            await vote(face, approver, made)
        world.store.log_down = True
        refused = await face.call("alice", "POST", f"/v1/activations/{made}/issue")
        assert kind_of(refused) == (503, "log_unavailable")
        status = await face.get("bob", "/v1/status")
        assert (status["log"]["works"], len(status["trouble"])) == (False, 1)
        killed = await face.post("bob", "/v1/kill", {"scope": "incident", "about": "inc-7"})
        assert (sorted(killed["activations"]), killed["alive"]) == (sorted((first, made)), [])
        assert (await face.get("bob", "/v1/status"))["log"]["waiting"] > 0
        world.store.log_down = False
        assert (await face.get("bob", "/v1/status"))["log"]["waiting"] == 0
    assert not world.target.accounts


async def test_a_dead_store_is_told_as_such():
    """Nobody can be authenticated without the store, and the answer says whose fault it is."""
    world = await make_world()
    async with Face(world) as face:
        await face.get("alice", "/v1/status")
        world.store.dead = True
        answer = await face.call("alice", "POST", "/v1/kill", {"scope": "everything"})
        assert kind_of(answer) == (503, "store_unavailable")
        assert (await face.client.get("/healthz")).status_code == 200


async def test_two_governors_attest_over_http():
    """A lease whose target is gone is closed by the second governor's request."""
    world = await make_world()
    async with Face(world) as face:
        made = await active(face)
        world.target.down = True
        await face.post("alice", f"/v1/activations/{made}/return", {})
        for _ in range(LEAST_ATTEMPTS):
            world.clock.advance(world.services.limits.backoff_cap)
            await sweep.sweep(world.services)
        (lease,) = await world.leases(made)
        path, body = f"/v1/leases/{lease.id}/attest", {"because": "deleted, change 4711"}
        refused = await face.call("carol", "POST", path, body)
        assert kind_of(refused) == (403, "denied")
        first = await face.post("gina", path, body)
        assert (first["state"], first["attested_by"], first["needed"]) == ("ending", ["gina"], 2)
        world.clock.advance(world.services.limits.backoff_cap)
        assert (await face.post("hugo", path, body))["state"] == "ended"
