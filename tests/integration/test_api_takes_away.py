"""What takes away works over the HTTP API when policy and configuration are broken (I11)."""

import sqlite3
from dataclasses import replace
from pathlib import Path

from callpoint.domain.decision import Decision, DecisionRequest
from callpoint.domain.governance import Bundle
from callpoint.lifecycle.rules import RuleBook
from callpoint.ports.decider import Decider
from tests.fakes.emergency import active, ask, vote
from tests.fakes.face import Face, kind_of
from tests.fakes.world import World


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
    rules = RuleBook(services.installation, services.store, broken, pinned=world.bundle)
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
