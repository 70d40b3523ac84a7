"""Access requests (AuthZEN profile): from a denial through an approval to a yes, over HTTP."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pyrage
import pytest

from callpoint.adapters.denials.compact import CompactDenialTokens
from callpoint.api.access_request_body import SEAL_TO
from callpoint.api.access_requests import FAULT
from callpoint.api.app import make_app
from callpoint.domain.access_request import EMERGENCY
from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.approval import Verdict
from callpoint.domain.eligibility import Opening
from callpoint.lifecycle import incidents
from callpoint.lifecycle.sweep import sweep
from callpoint.ports.stores import Where
from tests.fakes.face import ADDRESS, Face, kind_of
from tests.fakes.keys import Ed25519Checker, Signer
from tests.fakes.world import WORDS, eligibility, make_world

ONE, REQUESTS = "/access/v1/evaluation", "/access/v1/requests"
AGE = str(pyrage.x25519.Identity.generate().to_public())


def question(who: str = "alice", **context: Any) -> dict[str, Any]:
    """May this human have a credential of the role?"""
    return {
        "subject": {"type": "human", "id": who, "properties": {"department": "ops"}},
        "action": {"name": "credential:reveal"},
        "resource": {"type": "target_role", "id": "orders-db:repair"},
        "context": {"incident": "inc-7", **context},
    }


async def denied(face: Face, asked: dict[str, Any], who: str = "erin") -> dict[str, Any]:
    """The context of a denial."""
    answer = await face.post(who, ONE, asked)
    assert answer["decision"] is False
    context: dict[str, Any] = answer["context"]
    return context


def submission(asked: dict[str, Any], told: dict[str, Any], **access: Any) -> dict[str, Any]:
    """What asks for what was denied."""
    hint = told["access_request"]
    return {
        **asked,
        "context": {**asked["context"], "business_justification": WORDS},
        "requested_access": {SEAL_TO: AGE, **access},
        "denial": {
            "evaluation_id": told["evaluation_id"],
            "evaluated_at": told["evaluated_at"],
            "reason": told["reason"],
            **{name: hint[name] for name in ("expires_at", "binding_token", "template")},
        },
        "client": {"id": "portal", "actor": {"id": "alice"}},
    }


async def submitted(face: Face, body: object, who: str = "alice", key: str = "") -> httpx.Response:
    """The answer to a submission."""
    request = face.request(who, "POST", REQUESTS, body)
    if key:
        request.headers["idempotency-key"] = key
    return await face.client.send(request)


def fault_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and the profile's name of what is wrong."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    return answer.status_code, answer.json()["type"].removeprefix(FAULT)


async def made_so_far(face: Face) -> tuple[Activation, ...]:
    """Every activation that there is."""
    return await face.world.services.store.read(lambda view: view.select(Activation, Where()))


async def test_a_denial_becomes_a_yes_through_people(face: Face):
    """Denied, asked for, approved, begun: a yes; given back: expired, and it can be asked again."""
    await face.world.incident()
    asked = question()
    no = await denied(face, asked)
    assert no["reason"] == "approval_required"
    assert no["access_request"]["template"] == "orders-repair"
    answer = await submitted(face, submission(asked, no))
    assert answer.status_code == 202, answer.text
    task = answer.json()["task"]
    assert task["status"] == "pending"
    assert answer.headers["location"] == task["status_endpoint"]
    assert task["progress"] == {
        "current_step": 1,
        "total_steps": 2,
        "awaiting": ["bob", "carol", "dave"],
    }
    place = task["status_endpoint"].removeprefix(ADDRESS)
    early = question(approval={"id": task["id"]})
    assert (await denied(face, early))["reason"] == "approval_unverifiable"
    for who in ("carol", "dave"):
        assert (await face.get("alice", place))["task"]["status"] == "pending"
        await face.world.vote(who, task["id"])
    done = await face.get("alice", place)
    assert done["task"]["status"] == "approved"
    assert done["result"]["mode"] == "reevaluate"
    again = question(approval=done["result"]["approval"])
    waits = await denied(face, again)
    assert (waits["reason"], waits["next_action"], waits["retry_after"]) == (
        "grant_pending",
        "retry",
        5,
    )
    await face.post("alice", f"/v1/activations/{task['id']}/issue")
    yes = await face.post("erin", ONE, again)
    assert yes["decision"] is True
    ends = (await face.get("alice", f"/v1/activations/{task['id']}"))["not_after"]
    assert yes["context"]["approval"] == {"id": task["id"], "approved_until": ends}
    assert ends <= again["context"]["approval"]["approved_until"]
    await face.post("alice", f"/v1/activations/{task['id']}/return", {})
    over = await denied(face, again)
    assert (over["reason"], over["next_action"]) == ("approval_expired", "request")
    assert (await face.get("alice", place))["task"]["status"] == "approved"
    entries = (await face.get("erin", "/v1/log/entries?start=0"))["entries"]
    leaves = [json.loads(base64.b64decode(entry["leaf"])) for entry in entries]
    (logged,) = [leaf["data"] for leaf in leaves if leaf["type"] == "activation:requested"]
    assert logged["answers"]["evaluation"] == no["evaluation_id"]
    (first,) = [
        leaf["data"]
        for leaf in leaves
        if leaf["type"] == "decision:made" and leaf["data"]["evaluation"] == no["evaluation_id"]
    ]
    assert first["requestable"] == "orders-repair"
    assert (await submitted(face, submission(asked, over))).status_code == 202


async def test_a_submission_is_bound_to_the_denial(face: Face):
    """Another question, another token, somebody else's signature: refused, and nothing is made."""
    await face.world.incident()
    asked = question()
    no = await denied(face, asked)
    good = submission(asked, no)
    token = no["access_request"]["binding_token"]
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = CompactDenialTokens(Signer("mallory"), Ed25519Checker())
    surface = replace(face.surface, denials=forged)
    face.client._transport.app = make_app(surface)  # type: ignore[attr-defined]
    foreign = (await denied(face, asked))["access_request"]["binding_token"]
    face.client._transport.app = face.app  # type: ignore[attr-defined]
    claims["template"] = "other"
    changed = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")

    def bound(**changes: Any) -> dict[str, Any]:
        return {**good, "denial": {**good["denial"], **changes}}

    wrong = [
        {**good, "resource": {"type": "target_role", "id": "orders-db:read"}},
        {**good, "resource": {**good["resource"], "properties": {"x": 1}}},
        {**good, "subject": {"type": "human", "id": "alice"}},
        {**good, "context": {**good["context"], "incident": "inc-8"}},
        {**good, "context": {**good["context"], "eligibility": "orders-repair"}},
        {**good, "action": {**good["action"], "properties": {"forced": True}}},
        bound(binding_token=foreign),
        bound(binding_token=f"{head}.{changed}.{signature}"),
        bound(binding_token=f"{none}.{body}."),
        bound(binding_token=f"{head}.{body}.{signature[:-4]}AAAA"),
        bound(binding_token="x" * 20_000),
        bound(binding_token=""),
        bound(expires_at="2031-01-01T00:00:00Z"),
        bound(template="other"),
        bound(evaluation_id="0" * 32),
    ]
    for body_ in wrong:
        answer = await submitted(face, body_)
        assert fault_of(answer) == (400, "invalid_denial_binding"), body_
    assert kind_of(await submitted(face, good, who="erin")) == (403, "denied")
    actor = {"id": "alice", "act": {"sub": "erin", "iss": "x"}}
    assert kind_of(await submitted(face, {**good, "client": {"actor": actor}})) == (403, "denied")
    log_read = {**good, "action": {"name": "log:read"}}
    assert fault_of(await submitted(face, log_read)) == (400, "not_requestable")
    for lacking in (
        {**good, "items": []},
        {**good, "callback": {"endpoint": "https://x.example"}},
        {**good, "denial": None},
        {**good, "requested_access": {}},
        {**good, "requested_access": {SEAL_TO: "age1nonsense"}},
        {**good, "requested_access": {SEAL_TO: AGE, "emergency": "yes"}},
        {**good, "requested_access": {SEAL_TO: AGE, "requested_until": "2031-01-01T00:00:00"}},
        {**good, "context": {"incident": "inc-7"}},
    ):
        assert kind_of(await submitted(face, lacking)) == (400, "request"), lacking
    face.world.clock.advance(timedelta(minutes=11))
    assert fault_of(await submitted(face, good)) == (410, "expired_denial")
    assert await made_so_far(face) == ()


async def test_a_denial_is_answered_once(face: Face):
    """With its Idempotency-Key the same submission finds its task again; all else is refused."""
    await face.world.incident()
    asked = question()
    good = submission(asked, await denied(face, asked))
    first = await submitted(face, good, key="k1")
    assert first.status_code == 202
    again = await submitted(face, dict(reversed(good.items())), key="k1")
    assert again.json()["task"]["id"] == first.json()["task"]["id"]
    other = {**good, "requested_access": {SEAL_TO: AGE, "emergency": True}}
    assert fault_of(await submitted(face, other, key="k1")) == (409, "duplicate_request")
    for key in ("", "k2"):
        answer = await submitted(face, good, key=key)
        assert fault_of(answer) == (400, "invalid_denial_binding")
    face.world.clock.advance(timedelta(minutes=11))
    assert (await submitted(face, good, key="k1")).json()["task"]["status"] == "pending"
    assert len(await made_so_far(face)) == 1


async def test_an_emergency_is_a_signal_and_no_override(face: Face):
    """It is shown to those who approve; quorum, incident and policy are what they are without."""
    await face.world.incident()
    asked = question()
    good = submission(asked, await denied(face, asked), emergency=True)
    task = (await submitted(face, good)).json()["task"]
    made = await face.world.get(task["id"])
    assert EMERGENCY in made.request.findings
    assert (made.state, made.request.quorum.total) == (ActivationState.REQUESTED, 2)
    late = submission(asked, await denied(face, asked), emergency=True)
    await incidents.resolve(face.world.services, face.world.caller("frank"), "inc-7")
    assert (await submitted(face, late)).status_code == 403
    assert "access_request" not in await denied(face, asked)


async def test_what_nobody_could_ask_for_is_not_requestable(face: Face):
    """No incident, no eligibility, no key, too long a question: the denial is final."""
    assert "access_request" not in await denied(face, question())
    await face.world.incident()
    for asked in (
        question("carol"),
        question(eligibility="other"),
        question(eligibility=1),
        question(activation="k3v9x2m1q8za"),
        {**question(), "context": {}},
        {**question(), "resource": {"type": "activation", "id": "k3v9x2m1q8za"}},
        {**question(), "action": {"name": "activation:issue"}},
        {
            **question(),
            "subject": {"type": "human", "id": "alice", "properties": {"x": "y" * 5000}},
        },
    ):
        assert "access_request" not in await denied(face, asked), asked
    assert "access_request" in await denied(face, question(eligibility="orders-repair"))
    batch = {"evaluations": [question(), question("carol")]}
    answers = (await face.post("erin", ONE + "s", batch))["evaluations"]
    assert ["access_request" in answer["context"] for answer in answers] == [True, False]
    found = (await face.client.get("/.well-known/authzen-configuration")).json()
    assert found["access_request_endpoint"] == ADDRESS + REQUESTS
    assert found["capabilities"] == ["urn:openid:authzen:capability:access-request"]
    face.client._transport.app = make_app(replace(face.surface, denials=None))  # type: ignore[attr-defined]
    assert "access_request" not in await denied(face, question())
    found = (await face.client.get("/.well-known/authzen-configuration")).json()
    assert "access_request_endpoint" not in found
    assert kind_of(await submitted(face, question())) == (503, "unavailable")


async def test_a_binding_token_is_a_signed_jwt(face: Face):
    """Its key is published under the key id that it names, and its claims are the profile's."""
    await face.world.incident()
    no = await denied(face, question())
    head, body, _ = no["access_request"]["binding_token"].split(".")
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in (head, body))
    metadata = (await face.client.get("/.well-known/authzen-configuration")).json()
    keys = (await face.client.get(metadata["jwks_uri"])).json()["keys"]
    assert [key["kid"] for key in keys] == [header["kid"]]
    assert header["alg"] == keys[0]["alg"] == "Ed25519"
    assert (claims["iss"], claims["aud"]) == (ADDRESS, ADDRESS)
    assert claims["jti"] == claims["evaluation_id"] == no["evaluation_id"]
    assert claims["binding_context_members"] == ["incident"]
    assert claims["subject"] == question()["subject"]
    assert 590 <= claims["exp"] - claims["iat"] <= 600
    schema = (await face.client.get(no["access_request"]["request_schema_url"])).json()
    assert SEAL_TO in schema["properties"]["requested_access"]["required"]


async def test_an_approval_of_something_else_does_not_help():
    """Somebody else's, of another role, incident or activation, or none: a no, with its word."""
    both = (Opening("orders-db", "repair"), Opening("orders-db", "read"))
    async with Face(await make_world(eligibility(opens=both))) as face:
        world = face.world
        await world.incident()
        mine, theirs = await world.active(opens=("orders-db:repair",)), await world.active("bob")
        read = {"type": "target_role", "id": "orders-db:read"}
        for changes, reason in (
            ({}, None),
            ({"context": {"approval": {"id": mine.id}, "incident": "INC-7"}}, None),
            ({"resource": read}, "out_of_scope"),
            ({"context": {"approval": {"id": mine.id}, "incident": "inc-8"}}, "out_of_scope"),
            ({"context": {"approval": {"id": theirs.id}}}, "approval_unverifiable"),
            ({"context": {"approval": {"id": "k3v9x2m1q8za"}}}, "approval_unverifiable"),
            ({"context": {"approval": {"id": 1}}}, "approval_unverifiable"),
            ({"context": {"approval": mine.id}}, "approval_unverifiable"),
            (
                {"context": {"approval": {"id": mine.id}, "activation": theirs.id}},
                "approval_unverifiable",
            ),
        ):
            asked = {**question(approval={"id": mine.id}), **changes}
            answer = await face.post("erin", ONE, asked)
            assert answer["decision"] is (reason is None), changes
            assert answer["context"].get("reason") == reason
        wider = await denied(face, {**question(approval={"id": mine.id}), "resource": read})
        assert wider["next_action"] == "request"
        assert wider["access_request"]["template"] == "orders-repair"
        await incidents.resolve(world.services, world.caller("frank"), "inc-7")
        closed = await denied(face, question(approval={"id": mine.id}))
        assert (closed["reason"], closed["next_action"]) in (
            ("policy_denied", "none"),
            ("approval_expired", "none"),
        )


async def test_a_task_says_how_it_ended(face: Face):
    """Denied, taken back, lapsed; what is decided is cancelled no more; strangers see no task."""
    await face.world.incident()
    asked = question()

    async def task() -> str:
        answer = await submitted(face, submission(asked, await denied(face, asked)))
        ident: str = answer.json()["task"]["id"]
        return ident

    async def status(ident: str) -> str:
        found: str = (await face.get("alice", f"{REQUESTS}/{ident}"))["task"]["status"]
        return found

    refused, cancelled, lapsed = await task(), await task(), await task()
    await face.world.vote("carol", refused, Verdict.DENY)
    assert await status(refused) == "denied"
    answer = await face.post("alice", f"{REQUESTS}/{cancelled}/cancel", {"reason": "over"})
    assert answer["task"]["status"] == "cancelled"
    for ident in (refused, cancelled):
        answer = await face.call("alice", "POST", f"{REQUESTS}/{ident}/cancel")
        assert fault_of(answer) == (409, "invalid_task_state")
    assert kind_of(await face.call("carol", "POST", f"{REQUESTS}/{lapsed}/cancel")) == (
        403,
        "denied",
    )
    for ident in ("k3v9x2m1q8za", "nonsense"):
        answer = await face.call("alice", "GET", f"{REQUESTS}/{ident}")
        assert fault_of(answer) == (404, "unknown_task")
    assert fault_of(await face.call("deployer", "GET", f"{REQUESTS}/{lapsed}")) == (
        404,
        "unknown_task",
    )
    face.world.clock.advance(timedelta(minutes=11))
    await sweep(face.world.services)
    assert await status(lapsed) == "expired"


@pytest.mark.parametrize("minutes,ends", [(5, 5), (600, 30)])
async def test_access_is_asked_for_until_a_time(face: Face, minutes: int, ends: int):
    """The time that is left until then, and at most the eligibility's; the approval says which."""
    await face.world.incident()
    asked = question()
    now = face.world.services.clock.now()
    until = (now + timedelta(minutes=minutes, seconds=30)).isoformat()
    body = submission(asked, await denied(face, asked), requested_until=until)
    task = (await submitted(face, body)).json()["task"]
    made = await face.world.get(task["id"])
    assert abs(made.request.ttl - timedelta(minutes=ends)) <= timedelta(seconds=31)
    past = submission(asked, await denied(face, asked), requested_until=now.isoformat())
    assert kind_of(await submitted(face, past)) == (400, "request")
