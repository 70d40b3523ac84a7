"""The HTTP API: a whole emergency, and how it can end otherwise."""

import base64

import msgspec
import pyrage
import pytest

from callpoint.ports.box import SealedCredential
from tests.fakes.emergency import INCIDENT, ask, opened, vote
from tests.fakes.face import Face, kind_of
from tests.fakes.simulated_target import LoginRefusedError
from tests.fakes.world import WORDS


async def test_a_whole_emergency(face: Face):  # noqa: PLR0915 -- a story is read in one piece
    """Alert, request, two votes, credential, work, return, dead, review, evidence: all signed."""
    declared = await face.post("frank", "/v1/incidents", INCIDENT)
    assert (declared["state"], declared["title"]) == ("declared", "orders is down")
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
    assert (closed["state"], closed["next"]) == (
        "reviewed",
        "the verdict is justified; nothing is left to do",
    )

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
