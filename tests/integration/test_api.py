"""The HTTP API on SQLite and a simulated target: a whole emergency, and what is refused."""

import base64
import hashlib
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pyrage
import pytest

from callpoint.api.messages import ActivationView, StatementView
from callpoint.domain.approval import signed_message
from callpoint.domain.configuration import IncidentSource
from callpoint.domain.decision import Decision, DecisionRequest
from callpoint.domain.eligibility import Severity
from callpoint.domain.event_form import Private
from callpoint.domain.governance import Bundle
from callpoint.lifecycle.issue import SealedCredential
from callpoint.lifecycle.rules import RuleBook
from callpoint.ports.decider import Decider
from tests.fakes.clock import SimulatedClock
from tests.fakes.face import ADDRESS, Face, kind_of, open_sqlite
from tests.fakes.keys import Signer
from tests.fakes.simulated_target import LoginRefusedError
from tests.fakes.world import WORDS, World, make_world, signed

INCIDENT = {
    "incident": "INC-7",
    "severity": "sev1",
    "targets": ["orders-db"],
    "title": "orders is down",
}


class BrokenDecider:
    """Implements ``ports.decider.Decider`` as one that fails at every question."""

    def evaluate(self, request: DecisionRequest) -> Decision:
        raise RuntimeError("the policy engine is gone")


def broken(_: Bundle) -> Decider:
    return BrokenDecider()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """An installation on SQLite."""
    clock = SimulatedClock(auto=True)
    store = await open_sqlite(tmp_path, clock)
    yield await make_world(store=store, clock=clock)
    await store.close()


@pytest.fixture
async def face(world: World) -> AsyncIterator[Face]:
    """Its API."""
    async with Face(world) as made:
        yield made


def ask(recipient: str = "", **changes: object) -> dict[str, object]:
    """A request for the usual eligibility."""
    to = recipient or str(pyrage.x25519.Identity.generate().to_public())
    asked = {
        "eligibility": "orders-repair",
        "incident": "inc-7",
        "justification": WORDS,
        "seal_to": to,
    }
    return {**asked, **changes}


async def vote(face: Face, who: str, activation: str, verdict: str = "approve") -> httpx.Response:
    """Look at what is to be signed, check it, sign it, send it."""
    path = f"/v1/activations/{activation}"
    shown = await face.call(who, "GET", f"{path}/statement?verdict={verdict}")
    if shown.status_code != 200:
        return shown
    view = msgspec.json.decode(shown.content, type=StatementView)
    request = view.activation.request
    assert request.digest() == view.activation.digest
    words = Private(view.activation.justification_salt, view.activation.justification)
    assert words.commitment() == request.justification
    message = {
        "statement": base64.b64encode(view.statement).decode(),
        "signature": Signer(who).sign(signed_message(view.statement)),
        "comment": "seen",
    }
    return await face.call(who, "POST", f"{path}/{verdict}", message)


async def opened(face: Face) -> None:
    """Declared by frank and confirmed by gina."""
    await face.post("frank", "/v1/incidents", INCIDENT)
    await face.post("gina", "/v1/incidents/inc-7/confirm")


async def active(face: Face, key: pyrage.x25519.Identity | None = None) -> str:
    """An active activation of alice's."""
    await opened(face)
    made = await face.post("alice", "/v1/activations", ask(str(key.to_public()) if key else ""))
    for approver in ("carol", "dave"):
        assert (await vote(face, approver, made["id"])).status_code == 200
    await face.post("alice", f"/v1/activations/{made['id']}/issue")
    return str(made["id"])


async def test_a_whole_emergency(face: Face):  # noqa: PLR0915 -- a story is read in one piece
    """Alert, request, two votes, credential, work, return, dead, review, evidence: all signed."""
    declared = await face.post("frank", "/v1/incidents", INCIDENT)
    assert (declared["id"], declared["state"], declared["title"]) == (
        "inc-7",
        "declared",
        "orders is down",
    )
    assert (await face.post("gina", "/v1/incidents/inc-7/confirm"))["state"] == "open"

    key = pyrage.x25519.Identity.generate()
    made = await face.post("alice", "/v1/activations", ask(str(key.to_public())))
    path = f"/v1/activations/{made['id']}"
    assert made["state"] == "requested"
    assert made["tally"]["can_still_approve"] == ["bob", "carol", "dave"]
    assert made["justification"] == WORDS
    assert "2 more of the approvers must approve before" in made["next"]

    first = (await vote(face, "carol", made["id"])).json()
    assert (first["tally"]["counted"], first["tally"]["missing"]) == (["carol"], 1)
    second = (await vote(face, "dave", made["id"])).json()
    assert (second["state"], second["votes"][0]["comment"]) == ("approved", "seen")
    assert "alice takes it up" in second["next"]

    issued = await face.post("alice", f"{path}/issue")
    (lease,) = issued["leases"]
    assert (issued["state"], lease["state"], lease["target"]) == ("active", "live", "orders-db")

    boxes = (await face.post("alice", f"{path}/credentials"))["boxes"]
    sealed = msgspec.json.decode(
        pyrage.decrypt(base64.b64decode(boxes[0]["box"]), [key]), type=SealedCredential
    )
    secret = sealed.credential
    target = face.world.target
    session = target.open_session(secret.username, secret.secret)
    assert session.work()

    ended = await face.post("alice", f"{path}/return", {"used": True})
    assert (ended["state"], ended["end_reason"]) == ("ended", "used")
    assert ended["leases"][0]["state"] == "ended"
    assert ended["leases"][0]["evidence"] == "absent, refused"
    assert "every credential is proven dead; a first look is due" in ended["next"]
    assert not session.alive
    with pytest.raises(LoginRefusedError):
        target.open_session(secret.username, secret.secret)
    again = await face.call("alice", "POST", f"{path}/credentials")
    assert kind_of(again) == (409, "conflict")

    triaged = await face.post("erin", f"{path}/triage")
    assert triaged["review"]["triaged_by"] == "erin"
    checkpoint = (await face.client.get("/v1/checkpoint")).text
    judgement = {"verdict": "justified", "checkpoint": " ".join(checkpoint.split("\n")[1:3])}
    closed = await face.post("erin", f"{path}/review", judgement)
    assert (closed["state"], closed["next"]) == ("reviewed", "closed: justified")

    evidence = await face.get("erin", f"{path}/bundle")
    assert evidence["activation"] == made["id"]
    assert len(evidence["entries"]) >= 10
    listed = await face.get("alice", "/v1/activations?state=reviewed&mine=true")
    assert [a["id"] for a in listed["activations"]] == [made["id"]]
    assert (await face.get("alice", "/v1/activations?state=active"))["activations"] == []


async def test_a_denial_closes_it(face: Face):
    """One signed no is enough, and opens nothing."""
    await opened(face)
    made = await face.post("alice", "/v1/activations", ask())
    denied = (await vote(face, "carol", made["id"], "deny")).json()
    assert denied["state"] == "denied"
    assert kind_of(await vote(face, "dave", made["id"])) == (409, "conflict")


async def test_a_pending_request_can_be_taken_back(face: Face):
    """Withdraw needs no policy and leaves nothing to approve."""
    await opened(face)
    made = await face.post("alice", "/v1/activations", ask())
    gone = await face.post("alice", f"/v1/activations/{made['id']}/withdraw")
    assert gone["state"] == "withdrawn"


async def test_self_approval_is_refused_with_the_way_out(face: Face):
    """Who asks cannot approve, whatever hat it wears, and is told who can."""
    await opened(face)
    made = await face.post("bob", "/v1/activations", ask())
    answer = await vote(face, "bob", made["id"])
    assert kind_of(answer) == (403, "denied")
    assert answer.json()["way_out"] == "ask one of: carol, dave"


# -- who calls -----------------------------------------------------------------------------------


async def test_a_replayed_request_is_refused(face: Face):
    """The same bytes a second time are not accepted."""
    request = face.request("alice", "GET", "/v1/status")
    assert (await face.client.send(request)).status_code == 200
    replay = await face.client.send(request)
    assert kind_of(replay) == (401, "authentication")
    assert "nonce is spent" in replay.json()["detail"]


@pytest.mark.parametrize(
    "tamper,says",
    [
        ({"content": b'{"scope":"everything" }'}, "SHA-256 of the body"),
        ({"url": f"{ADDRESS}/v1/kill?x=1"}, "does not verify"),
        ({"url": f"{ADDRESS}/v1/kil%6C"}, "does not verify"),
        ({"method": "PUT"}, None),
    ],
)
async def test_a_changed_request_is_refused(face: Face, tamper, says):
    """Body, address and method are what the key signed, byte for byte."""
    request = face.request("alice", "POST", "/v1/kill", {"scope": "everything"})
    parts = {"method": "POST", "url": str(request.url), "content": request.content, **tamper}
    headers = {k: v for k, v in request.headers.items() if k not in ("content-length", "host")}
    answer = await face.client.request(headers=headers, **parts)
    if says is None:
        assert answer.status_code == 405
    else:
        assert kind_of(answer) == (401, "authentication")
        assert says in answer.json()["detail"]
        assert "www-authenticate" in answer.headers


async def test_an_old_request_is_refused(face: Face):
    """What was signed more than a minute ago is not accepted."""
    request = face.request("alice", "GET", "/v1/status")
    face.world.clock.advance(timedelta(seconds=61))
    assert kind_of(await face.client.send(request)) == (401, "authentication")


async def test_only_the_public_routes_answer_strangers(face: Face):
    """Every route but a listed few asks for a signature before it looks at anything else."""
    public = {"/healthz", "/v1/installation", "/v1/checkpoint"}
    asked = 0
    for path, operations in openapi(face)["paths"].items():
        for method in set(operations) & {"get", "post"}:
            place = path.replace("{activation}", "a" * 12).replace("{incident}", "inc-7")
            answer = await face.client.request(method, place.replace("{source}", "nobody"))
            expected = 200 if path in public else 401
            assert answer.status_code == expected, path
            asked += 1
    assert asked > 20


async def test_a_stranger_and_a_wrong_key_look_the_same(face: Face):
    """Nobody learns from an answer whether a principal exists."""
    face.world.services.random.token(1)
    stranger = face.request("mallory", "GET", "/v1/status")
    wrong = face.request("mallory", "GET", "/v1/status")
    wrong.headers["signature-input"] = wrong.headers["signature-input"].replace("mallory", "alice")
    first, second = await face.client.send(stranger), await face.client.send(wrong)
    assert first.json() == second.json()


# -- what is asked -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path,message,says",
    [
        ("/v1/activations", {**ask(), "surprise": 1}, "surprise"),
        ("/v1/activations", {"eligibility": "orders-repair"}, "incident"),
        ("/v1/activations", {**ask(), "ttl": "soon"}, "uration"),
        ("/v1/kill", {"scope": "galaxy"}, "galaxy"),
        ("/v1/incidents", {**INCIDENT, "severity": "sev9"}, "sev9"),
    ],
)
async def test_a_wrong_body_is_told_with_its_member(face: Face, path, message, says):
    """Unknown, missing and wrong members are refused and named."""
    answer = await face.call("alice", "POST", path, message)
    assert kind_of(answer) == (400, "request")
    assert says in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"", b'"x"', b"\xff", b"[" * 5000])
async def test_what_is_no_json_object_is_refused(face: Face, body):
    """Whatever the bytes are, the answer is a problem and no defect."""
    answer = await face.client.send(face.request("alice", "POST", "/v1/kill", body=body))
    assert kind_of(answer) == (400, "request")


async def test_a_long_body_is_refused(face: Face):
    """A body over the limit is not read to its end."""
    body = b'{"scope":"everything","about":"' + b"x" * (1 << 20) + b'"}'
    answer = await face.client.send(face.request("alice", "POST", "/v1/kill", body=body))
    assert kind_of(answer) == (413, "request")


async def test_each_kind_of_error_has_its_status(face: Face):
    """Not found, denied with reasons, conflict, a refusing and a silent target, a dead log."""
    unknown = await face.call("alice", "GET", "/v1/activations/abcdefghijkl")
    assert kind_of(unknown) == (404, "not_found")
    assert kind_of(await face.call("alice", "GET", "/v1/activations/no-id")) == (400, "request")

    await opened(face)
    twice = await face.call("frank", "POST", "/v1/incidents", INCIDENT)
    assert kind_of(twice) == (409, "conflict")
    denied = await face.call("alice", "POST", "/v1/activations", ask(incident="inc-8"))
    assert kind_of(denied) == (403, "denied")
    assert denied.json()["reasons"]

    made = await face.post("alice", "/v1/activations", ask())
    for approver in ("carol", "dave"):
        await vote(face, approver, made["id"])
    face.world.target.fail("issue", "refused")
    refused = await face.call("alice", "POST", f"/v1/activations/{made['id']}/issue")
    assert kind_of(refused) == (502, "target_refused")
    assert (refused.json()["target"], refused.json()["code"]) == ("orders-db", "XX000")

    made = await face.post("alice", "/v1/activations", ask())
    for approver in ("carol", "dave"):
        await vote(face, approver, made["id"])
    face.world.target.fail("issue", "not done")
    silent = await face.call("alice", "POST", f"/v1/activations/{made['id']}/issue")
    assert kind_of(silent) == (504, "target_unknown")


async def test_a_defect_says_nothing_but_is_logged(face: Face, world: World):
    """What is not in the tree is an internal error without detail."""

    def broken_feed() -> dict[str, str]:
        raise ZeroDivisionError("the secret is hunter2")

    object.__setattr__(face.surface, "unusable", broken_feed)
    answer = await face.call("alice", "GET", "/v1/status")
    assert kind_of(answer) == (500, "internal")
    assert "hunter2" not in answer.text
    assert [line["event"] for line in face.lines] == ["request_failed"]
    assert "hunter2" not in str({k: v for k, v in face.lines[0].items() if k != "exc_info"})


def openapi(face: Face) -> dict[str, Any]:
    return face.app.openapi_schema.to_schema()


async def test_the_openapi_document_lists_every_route(face: Face):
    """The document that is served names each route, and how errors look."""
    served = (await face.client.get("/schema/openapi.json")).json()
    routes = {r.path_format for r in face.app.routes if not r.path.startswith("/schema")}
    assert set(served["paths"]) == routes
    for operations in served["paths"].values():
        for operation in operations.values():
            error = operation["responses"]["400"]["content"]
            assert error["application/problem+json"]["schema"] == {
                "$ref": "#/components/schemas/Problem"
            }


# -- what takes away -----------------------------------------------------------------------------


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


# -- incidents, rules, log -----------------------------------------------------------------------


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
    assert (await face.get("dave", path))["activation"] == made


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
    (account,) = face.world.target.accounts.values()
    assert account.secret
    assert account.secret not in answer.text
    assert '"box"' not in answer.text
