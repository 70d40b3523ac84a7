"""Incidents, rules, log, status: who may read and change what over the HTTP API."""

import hashlib
from datetime import timedelta
from pathlib import Path

import msgspec

from callpoint.api.messages import ActivationView
from callpoint.domain.configuration import IncidentSource
from callpoint.domain.eligibility import Severity
from tests.fakes.clock import SimulatedClock
from tests.fakes.emergency import active, ask, opened
from tests.fakes.face import Face, kind_of, open_sqlite
from tests.fakes.world import World, make_world, signed


async def test_a_webhook_needs_its_token(tmp_path: Path):
    """A source proves itself with a bearer token; its firing alert is an open incident."""
    clock = SimulatedClock(auto=True)
    store = await open_sqlite(tmp_path, clock)
    world = await make_world(store=store, clock=clock)
    source = IncidentSource(
        id="prom",
        kind="alertmanager",
        token_sha256=hashlib.sha256(b"token").hexdigest(),
        severity={"page": Severity.SEV1},
        targets={"orders": ("orders-db",)},
    )
    rules = msgspec.structs.replace(world.bundle.configuration, sources={"prom": source})
    bundle = msgspec.structs.replace(
        world.bundle, number=2, previous=world.bundle.digest(), configuration=rules
    )
    alert = {
        "status": "firing",
        "labels": {"alertname": "down", "severity": "page", "service": "orders"},
        "annotations": {"summary": "orders is down"},
        "startsAt": "2026-03-01T02:59:00Z",
        "fingerprint": "0123456789abcdef",
    }
    delivery = {"version": "4", "alerts": [alert], "more": True}
    async with Face(world) as face:
        publication = {"bundle": bundle, "signatures": signed(bundle, "gina", "hugo")}
        await face.post("gina", "/v1/configuration", publication)
        refused = await face.client.post("/v1/webhooks/prom", json=delivery)
        assert kind_of(refused) == (401, "authentication")
        headers = {"authorization": "Bearer token"}
        taken = await face.client.post("/v1/webhooks/prom", json=delivery, headers=headers)
        assert taken.status_code == 200
        (incident,) = (await face.get("alice", "/v1/incidents"))["incidents"]
        assert [incident["id"]] == taken.json()["incidents"]
        assert (incident["state"], incident["title"]) == ("open", "orders is down")
        nonsense = await face.client.post("/v1/webhooks/prom", content=b"{}", headers=headers)
        assert kind_of(nonsense) == (400, "request")
    await store.close()


async def test_publishing_needs_the_governors(face: Face, world: World):
    """A widening line signed by one governor is refused and named; by two it is in force."""
    shown = await face.get("gina", "/v1/configuration")
    assert shown["bundle"]["number"] == 1
    old = world.bundle
    groups = old.configuration.groups
    wide = msgspec.structs.replace(groups["oncall"], members=(*groups["oncall"].members, "hugo"))
    rules = msgspec.structs.replace(old.configuration, groups={**groups, "oncall": wide})
    new = msgspec.structs.replace(old, number=2, previous=old.digest(), configuration=rules)
    one = {"bundle": new, "signatures": signed(new, "gina")}
    assert kind_of(await face.call("gina", "POST", "/v1/configuration", one)) == (403, "denied")
    both = {"bundle": new, "signatures": signed(new, "gina", "hugo")}
    done = await face.post("hugo", "/v1/configuration", both)
    assert done["number"] == 2
    assert any("oncall" in line for line in done["widens"])
    assert (await face.get("alice", "/v1/status"))["configuration"] == 2


async def test_a_bundle_that_no_file_could_say_is_refused(face: Face, world: World):
    """Governors cannot sign themselves out of the rules of configuration files."""
    old = world.bundle
    governance = msgspec.structs.replace(old.configuration.governance, quorum=3)
    rules = msgspec.structs.replace(old.configuration, governance=governance)
    new = msgspec.structs.replace(old, number=2, previous=old.digest(), configuration=rules)
    message = {"bundle": new, "signatures": signed(new, "gina", "hugo")}
    answer = await face.call("gina", "POST", "/v1/configuration", message)
    assert kind_of(answer) == (400, "config")


async def test_the_log_is_for_auditors(face: Face):
    """Security and governors read entries, others do not; the checkpoint comes with them."""
    await opened(face)
    page = await face.get("erin", "/v1/log/entries?start=1&limit=2")
    assert [entry["index"] for entry in page["entries"]] == [1, 2]
    assert page["size"] > 2
    assert page["checkpoint"] == (await face.client.get("/v1/checkpoint")).text
    assert kind_of(await face.call("alice", "GET", "/v1/log/entries")) == (403, "denied")
    assert kind_of(await face.call("erin", "GET", "/v1/log/entries?limit=5000")) == (
        400,
        "request",
    )
    assert kind_of(await face.call("alice", "GET", "/v1/configuration")) == (403, "denied")


async def test_evidence_is_for_auditors_and_reviewers(face: Face):
    """Who asked does not hand out the evidence about itself; who may review does read it."""
    made = await active(face)
    path = f"/v1/activations/{made}/bundle"
    assert kind_of(await face.call("alice", "GET", path)) == (403, "denied")
    assert (await face.get("gina", path))["activation"] == made
    assert (await face.get("frank", path))["activation"] == made
    for colleague in ("carol", "dave", "bob", "fixer"):
        assert kind_of(await face.call(colleague, "GET", path)) == (403, "denied")


async def test_a_machine_sees_its_own_alone(face: Face):
    """An agent reads what it asked for, and nothing of others in a list, a view or the status."""
    made = await active(face)
    assert (await face.get("fixer", "/v1/activations"))["activations"] == []
    seen = await face.call("fixer", "GET", f"/v1/activations/{made}")
    assert kind_of(seen) == (403, "denied")
    own = await face.post("fixer", "/v1/activations", ask())
    (listed,) = (await face.get("fixer", "/v1/activations"))["activations"]
    assert listed["id"] == own["id"]
    theirs = await face.call("fixer", "POST", "/v1/kill", {"scope": "activation", "about": made})
    assert kind_of(theirs) == (403, "denied")


async def test_the_status_names_what_is_stuck_and_late(face: Face, world: World):
    """A revocation that fails and a review that is overdue are shown to people, not to agents."""
    made = await active(face)
    world.target.down = True
    ended = await face.post("alice", f"/v1/activations/{made}/return", {})
    assert "revocation on orders-db is not proven yet" in ended["next"]
    world.clock.advance(timedelta(days=2))
    status = await face.get("bob", "/v1/status")
    (stuck,) = status["stuck"]
    assert (stuck["activation"], stuck["target"]) == (made, "orders-db")
    assert [late["activation"] for late in status["overdue"]] == [made]
    assert status["leases"] == {"ending": 1}
    assert (await face.get("deployer", "/v1/status"))["stuck"] == []


async def test_a_view_is_complete(face: Face):
    """The view decodes into the type that the client uses, and holds no secret."""
    made = await active(face)
    answer = await face.call("bob", "GET", f"/v1/activations/{made}")
    view = msgspec.json.decode(answer.content, type=ActivationView)
    assert view.leases[0].account.startswith("cp_")
    assert view.connectors == {"orders-db": "postgresql"}
    assert view.incident is not None
    assert (view.incident.id, view.incident.state) == (view.request.incident, "open")
    assert (view.incident.declared_by, view.incident.confirmed_by) == ("frank", "gina")
    assert (view.incident.title, view.incident.targets) == ("orders is down", ("orders-db",))
    (account,) = face.world.target.accounts.values()
    assert account.secret
    assert account.secret not in answer.text
    assert '"box"' not in answer.text
