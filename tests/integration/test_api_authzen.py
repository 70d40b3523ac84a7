"""The decision API (AuthZEN Authorization API 1.0) of a real installation, over HTTP."""

import base64
import json
from dataclasses import replace
from typing import Any

import httpx

from callpoint.api.app import make_app
from callpoint.api.evaluation_body import MAX_EVALUATIONS, MAX_PAGE
from callpoint.api.evaluation_places import MAX_BODY
from tests.fakes.face import ADDRESS, Face, kind_of
from tests.fakes.world import INSTALLATION

ONE, MANY = "/access/v1/evaluation", "/access/v1/evaluations"
SEARCH = "/access/v1/search/"
WELL_KNOWN = "/.well-known/authzen-configuration"


def question(who: str = "frank", **others: Any) -> dict[str, Any]:
    """May this human read the log?"""
    return {
        "subject": {"type": "human", "id": who},
        "action": {"name": "log:read"},
        "resource": {"type": "installation", "id": INSTALLATION},
        **others,
    }


async def send(face: Face, body: bytes, path: str = ONE, **headers: str) -> httpx.Response:
    """These very bytes, signed by erin, who is security."""
    request = face.request("erin", "POST", path, body=body)
    request.headers.update({name.replace("_", "-"): text for name, text in headers.items()})
    return await face.client.send(request)


async def test_an_emergency_is_answered_over_http(face: Face):
    """A yes with what decided it, a no with its reasons; both are found in the log by their id."""
    await face.world.incident()
    active = await face.world.active()
    asked = {
        "subject": {"type": "human", "id": "alice"},
        "action": {"name": "credential:reveal"},
        "resource": {"type": "target_role", "id": "orders-db:repair"},
        "context": {"activation": active.id, "unknown": [1, {"a": None}]},
        "unknown": True,
    }
    yes = await face.post("erin", ONE, asked)
    assert yes["decision"] is True
    assert yes["context"]["policies"]
    assert yes["context"]["evaluated_at"].endswith("Z")
    await face.post("alice", f"/v1/activations/{active.id}/return", {"used": True})
    no = await face.post("erin", ONE, asked)
    assert no["decision"] is False
    assert no["context"]["reasons"] == [
        f"activation {active.id} has no live credential for orders-db:repair"
    ]
    entries = (await face.get("erin", "/v1/log/entries?start=0"))["entries"]
    leaves = [json.loads(base64.b64decode(entry["leaf"])) for entry in entries]
    logged = [leaf["data"] for leaf in leaves if leaf["type"] == "decision:made"]
    assert [(e["evaluation"], e["allowed"]) for e in logged] == [
        (answer["context"]["evaluation_id"], answer["decision"]) for answer in (yes, no)
    ]


MISSING = [
    {},
    {"subject": "frank"},
    question(subject={"type": "human"}),
    question(subject={"id": "frank"}),
    question(subject={"type": 1, "id": "frank"}),
    question(subject=None),
    question(action={}),
    question(action="log:read"),
    question(resource={"type": "installation"}),
    question(resource=[]),
    question(context="x"),
    question(subject={"type": "human", "id": "frank", "properties": []}),
]


async def test_what_lacks_a_member_is_refused(face: Face):
    """400 that names the member, for a single evaluation and for a batch without evaluations."""
    for body in MISSING:
        for path, sent in ((ONE, body), (MANY, body), (MANY, {**body, "evaluations": []})):
            answer = await face.call("erin", "POST", path, sent)
            assert kind_of(answer) == (400, "request"), body
            named = ("subject", "action", "resource", "context")
            assert answer.json()["detail"].startswith(named)


BAD_JSON = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xef\xbb\xbf{}",
    b'{"subject":{"type":"a","id":"\xff"}}',
    b'{"a":1,"a":1}',
    b'{"a":[{"b":1,"b":2}]}',
    b'{"a":"\\ud800"}',
    b'{"\\udc00":1}',
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":1e999}',
    b'{"a":' + b"9" * 5000 + b"}",
    b'{"a":' + b"[" * 40 + b"]" * 40 + b"}",
    b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
]


async def test_what_is_not_i_json_is_refused(face: Face):
    """Whatever two readers could understand differently is a 400, and nothing is decided."""
    for body in BAD_JSON:
        for path in (ONE, MANY, SEARCH + "subject"):
            assert kind_of(await send(face, body, path)) == (400, "request"), body[:40]


async def test_a_body_is_json_and_not_too_long(face: Face):
    """Another content type is a 400, with or without a charset it is read; too long is a 413."""
    body = json.dumps(question()).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""):
        assert kind_of(await send(face, body, content_type=kind)) == (400, "request")
    for kind in ("application/json; charset=utf-8", "Application/JSON"):
        assert (await send(face, body, content_type=kind)).json()["decision"] is True
    assert (await send(face, b" " * (MAX_BODY + 1))).status_code == 413


async def test_a_batch_has_defaults_and_semantics(face: Face):
    """A member of an item replaces the whole default; a malformed item is denied alone."""
    body = {
        **question("alice", subject={"type": "human", "id": "alice", "properties": {"x": 1}}),
        "evaluations": [
            {},
            {"subject": {"type": "human", "id": "frank"}},
            {"subject": {"id": "frank"}},
            {"action": {"name": "no:such"}},
        ],
    }

    async def decided(semantic: str) -> list[bool]:
        sent = {**body, "options": {"evaluations_semantic": semantic, "other": 1}}
        answers = (await face.post("erin", MANY, sent))["evaluations"]
        return [answer["decision"] for answer in answers]

    assert await decided("execute_all") == [False, True, False, False]
    assert await decided("deny_on_first_deny") == [False]
    assert await decided("permit_on_first_permit") == [False, True]
    answers = (await face.post("erin", MANY, body))["evaluations"]
    assert answers[2]["context"] == {"error": {"status": 400, "message": "subject.type is missing"}}
    body["evaluations"] = [{"subject": {}}, *body["evaluations"][1:]]
    assert await decided("deny_on_first_deny") == [False]
    assert await decided("permit_on_first_permit") == [False, True]
    single = await face.post("erin", MANY, {**question(), "evaluations": []})
    assert single["decision"] is True


MALFORMED: list[dict[str, Any]] = [
    {"evaluations": {}},
    {"evaluations": [1]},
    {"evaluations": [{}] * (MAX_EVALUATIONS + 1)},
    {"evaluations": [{}], "options": []},
    {"evaluations": [{}], "options": {"evaluations_semantic": "all"}},
    {"evaluations": [{}], "options": {"evaluations_semantic": {}}},
    {"evaluations": [{}], "subject": 5},
]


async def test_a_malformed_batch_is_refused_as_a_whole(face: Face):
    """400: nobody can tell which evaluations were meant."""
    for changes in MALFORMED:
        answer = await face.call("erin", "POST", MANY, question(**changes))
        assert kind_of(answer) == (400, "request"), changes


async def test_searches_go_on_from_page_to_page(face: Face):
    """A token goes on with its own search and limit; with any other search it is refused."""
    body = question(subject={"type": "human", "id": "ignored"})
    first = await face.post("erin", SEARCH + "subject", {**body, "page": {"limit": 3}})
    assert [found["id"] for found in first["results"]] == ["erin", "frank", "gina"]
    token = first["page"]["next_token"]
    rest = await face.post(
        "erin", SEARCH + "subject", {**body, "page": {"token": token, "limit": 3}}
    )
    assert rest["results"] == [{"type": "human", "id": "hugo"}]
    assert rest["page"] == {"next_token": "", "count": 1}
    page = {"page": {"token": token}}
    for changed in (
        {**question(subject={"type": "agent"}), **page},
        {**body, "action": {"name": "incident:declare"}, **page},
        {**body, "context": {"incident": "inc-7"}, **page},
        {**body, "page": {"token": token + "A"}},
        {**body, "page": {"token": "\N{SNOWMAN}"}},
        {**body, "page": {"token": ""}},
        {**body, "page": {"token": 1}},
        {**body, "page": {"token": token, "limit": 1}},
        {**body, "page": {"limit": 0}},
        {**body, "page": {"limit": True}},
        {**body, "page": []},
    ):
        answer = await face.call("erin", "POST", SEARCH + "subject", changed)
        assert kind_of(answer) == (400, "request")
    assert kind_of(
        await face.call("erin", "POST", SEARCH + "resource", {**question(), **page})
    ) == (
        400,
        "request",
    )
    huge = {**body, "page": {"limit": MAX_PAGE * 10}}
    assert (await face.post("erin", SEARCH + "subject", huge))["page"]["count"] == 4


async def test_resources_and_actions_are_found(face: Face):
    """A resource search names what it was asked for by type; an action search needs no action."""
    await face.world.incident()
    asked = question("alice", context={"incident": "inc-7", "eligibility": "orders-repair"})
    asked |= {"action": {"name": "activation:request"}, "resource": {"type": "target_role"}}
    found = await face.post("alice", SEARCH + "resource", asked)
    assert found["results"] == [{"type": "target_role", "id": "orders-db:repair"}]
    free = {name: part for name, part in question("alice").items() if name != "action"}
    assert (await face.post("alice", SEARCH + "action", free))["results"] == [
        {"name": "incident:declare"}
    ]


async def test_a_request_id_comes_back_on_every_answer(face: Face):
    """On a decision, on a refusal of any layer and on the metadata; not when it is two."""
    body = json.dumps(question()).encode()
    named = {"x-request-id": "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"}
    answers = [
        await send(face, body, **named),
        await send(face, b"{", **named),
        await send(face, b" " * (MAX_BODY + 1), **named),
        await face.client.post(ONE, headers=named),
        await face.client.put(ONE, headers=named),
        await face.client.get(ONE + "/none", headers=named),
        await face.client.get(WELL_KNOWN, headers=named),
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 413, 401, 405, 404, 200]
    assert {answer.headers.get("x-request-id") for answer in answers} == set(named.values())
    assert "x-request-id" not in (await send(face, body)).headers
    twice = [("x-request-id", "a"), ("x-request-id", "b")]
    assert "x-request-id" not in (await face.client.get(WELL_KNOWN, headers=twice)).headers


async def test_who_may_ask_is_told_by_the_status(face: Face):
    """401 without a signature, 403 about somebody else, 200 about oneself."""
    assert kind_of(await face.client.post(ONE, json=question())) == (401, "authentication")
    assert kind_of(await face.call("alice", "POST", ONE, question())) == (403, "denied")
    assert (await face.post("alice", ONE, question("alice")))["decision"] is False
    search = question(subject={"type": "human"})
    assert kind_of(await face.call("alice", "POST", SEARCH + "subject", search)) == (403, "denied")


async def test_the_metadata_is_of_the_address_that_was_asked(face: Face):
    """A configured address is itself; a name that a stranger makes up is never repeated."""
    other, behind = "https://callpoint.internal:8443", "https://proxy.example/callpoint"
    served: Any = make_app(replace(face.surface, origins=(ADDRESS, other, behind + "/")))
    transport = httpx.ASGITransport(app=served)
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
        for host, base, path in (
            ("callpoint.internal:8443", other, ""),
            ("callpoint.example", ADDRESS, ""),
            ("evil.example", ADDRESS, ""),
            ("proxy.example", behind, "/callpoint"),
            ("evil.example", behind, "/callpoint"),
        ):
            answer = await client.get(WELL_KNOWN + path, headers={"host": host})
            assert answer.headers["content-type"].startswith("application/json")
            found = answer.json()
            assert found["policy_decision_point"] == base
            assert found["access_evaluation_endpoint"] == base + ONE
            assert found["access_evaluations_endpoint"] == base + MANY
            assert found["search_action_endpoint"] == f"{base}{SEARCH}action"
        assert kind_of(await client.get(WELL_KNOWN + "/other")) == (404, "not_found")
