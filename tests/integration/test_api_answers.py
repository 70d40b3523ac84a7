"""What the HTTP API answers to what is asked wrongly."""

import pytest

from tests.fakes.emergency import INCIDENT, ask, opened, vote
from tests.fakes.face import Face, kind_of
from tests.fakes.world import World


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


async def test_the_openapi_document_lists_every_route(face: Face):
    """The document that is served names each route, and how errors look."""
    served = (await face.client.get("/schema/openapi.json")).json()
    routes = {r.path_format for r in face.app.routes if not r.path.startswith("/schema")}
    assert set(served["paths"]) == routes
    for path, operations in served["paths"].items():
        for method, operation in operations.items():
            oauth = path.startswith("/oauth") and method == "post"
            media = "application/json" if oauth else "application/problem+json"
            error = operation["responses"]["400"]["content"][media]
            name = "OAuthRefusal" if oauth else "Problem"
            assert error["schema"] == {"$ref": f"#/components/schemas/{name}"}
