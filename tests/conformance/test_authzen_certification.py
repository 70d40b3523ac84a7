"""The working group's certification scenario (openid/authzen, `certification/`), over our API.

Its fixture is two people, two records, three actions and eight rules; the pack of the test says
them in Cedar. Levels: basic, batch, search, with and without properties.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cedarpy
import pytest

from callpoint.api.app import make_app
from callpoint.domain.evaluation import Answer, Evaluation, Page, Search, Semantic, Sought
from callpoint.ports.identity import Caller, PendingNonce
from tests.fakes.face import Face
from tests.fakes.world import make_world

PACK = Path(__file__).parent / "authzen" / "certification.cedar"
TYPES = {"user": "User", "record": "Record"}
STORED: Mapping[str, Mapping[str, object]] = {
    "alice": {},
    "bob": {"role": "admin"},
    "record-1": {"status": "active"},
    "record-2": {"status": "archived"},
}
NAMES = {
    Sought.SUBJECT: ["alice", "bob"],
    Sought.RESOURCE: ["record-1", "record-2"],
    Sought.ACTION: ["delete", "read", "write"],
}

ONE, MANY, SEARCH = "/access/v1/evaluation", "/access/v1/evaluations", "/access/v1/search/"


class FixtureEvaluator:
    """Implements ``ports.evaluator.Evaluator`` over the fixture; what is sent outweighs it."""

    async def evaluate(
        self,
        caller: Caller,
        asked: Sequence[Evaluation],
        semantic: Semantic,
        nonce: PendingNonce | None = None,
    ) -> tuple[Answer, ...]:
        answers: list[Answer] = []
        for evaluation in asked:
            answers.append(Answer(allowed=_allows(evaluation)))
            if semantic.ends_with(allowed=answers[-1].allowed):
                break
        return tuple(answers)

    async def search(self, caller: Caller, search: Search) -> Page:
        found = [name for name in NAMES[search.sought] if _allows(search.with_name(name))]
        left = [name for name in found if name > search.after]
        page, rest = left[: search.limit], left[search.limit :]
        return Page(tuple(page), page[-1] if rest else None)


def _allows(asked: Evaluation) -> bool:
    entities, uids = [], []
    for entity in (asked.subject, asked.resource):
        if entity.type not in TYPES or entity.id not in STORED:
            return False
        uid = {"type": TYPES[entity.type], "id": entity.id}
        attributes = {**STORED[entity.id], **entity.properties}
        entities.append({"uid": uid, "attrs": attributes, "parents": []})
        uids.append(f'{uid["type"]}::"{uid["id"]}"')
    request = {
        "principal": uids[0],
        "action": f'Action::"{asked.action.name}"',
        "resource": uids[1],
        "context": dict(asked.action.properties),
    }
    return cedarpy.is_authorized(request, PACK.read_text(), entities).allowed


@pytest.fixture
async def face() -> AsyncIterator[Face]:
    async with Face(await make_world()) as made:
        made.client._transport.app = make_app(made.surface, FixtureEvaluator())  # type: ignore[attr-defined]
        yield made


def question(who: str, verb: str, record: str, **properties: Any) -> dict[str, Any]:
    """May this user do this to that record? Properties by the name of the member they are of."""
    asked: dict[str, Any] = {
        "subject": {"type": "user", "id": who},
        "action": {"name": verb},
        "resource": {"type": "record", "id": record},
    }
    for member, found in properties.items():
        asked[member]["properties"] = found
    return asked


RULES = [
    (question("alice", "read", "record-1"), True),
    (question("alice", "write", "record-1"), True),
    (question("bob", "read", "record-1"), True),
    (question("bob", "write", "record-1"), False),
    (question("alice", "write", "record-1", resource={"status": "archived"}), False),
    (
        question(
            "bob",
            "write",
            "record-2",
            subject={"role": "admin"},
            resource={"status": "archived", "more": [1, {"x": "y"}]},
        ),
        True,
    ),
    (question("alice", "delete", "record-1", action={"soft": True}), True),
    (question("alice", "delete", "record-1", action={"soft": False}), False),
]


async def test_the_eight_rules_are_decided(face: Face):
    """One by one, with and without context and unknown members, and always alike."""
    for asked, expected in RULES:
        for body in (asked, asked, {**asked, "context": {"time": "now"}, "unknown": {"a": 1}}):
            answer = await face.call("deployer", "POST", ONE, body)
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "application/json"
            assert answer.json()["decision"] is expected, asked


async def test_a_batch_follows_its_semantic(face: Face):
    """As many answers as the semantic lets through, in the order of the questions."""
    items = [RULES[index][0] for index in (1, 3, 0)]

    async def decided(**options: Any) -> list[bool]:
        answer = await face.post("deployer", MANY, {"evaluations": items, **options})
        return [item["decision"] for item in answer["evaluations"]]

    assert await decided() == [True, False, True]
    assert await decided(options={"evaluations_semantic": "execute_all"}) == [True, False, True]
    assert await decided(options={"evaluations_semantic": "deny_on_first_deny"}) == [True, False]
    assert await decided(options={"evaluations_semantic": "permit_on_first_permit"}) == [True]
    inherited = {
        **question("alice", "write", "record-1"),
        "evaluations": [{}, {"subject": {"type": "user", "id": "bob"}}, {"resource": {}}],
    }
    answer = await face.post("deployer", MANY, inherited)
    assert [item["decision"] for item in answer["evaluations"]] == [True, False, False]


SEARCHES = [
    ("subject", "alice", "read", "record-1", {}, ["alice", "bob"]),
    ("resource", "alice", "read", "record-1", {}, ["record-1", "record-2"]),
    ("action", "alice", "", "record-1", {}, ["read", "write"]),
    ("subject", "", "write", "record-2", {"resource": {"status": "archived"}}, ["bob"]),
    ("resource", "bob", "write", "", {"subject": {"role": "admin"}}, ["record-2"]),
    (
        "action",
        "bob",
        "",
        "record-2",
        {"subject": {"role": "admin"}, "resource": {"status": "archived"}},
        ["read", "write"],
    ),
]


async def test_the_six_searches_find_what_they_must(face: Face):
    """Also page by page; an id of what is sought has no effect."""
    for sought, who, verb, record, properties, expected in SEARCHES:
        asked = question(who, verb, record, **properties)
        if sought == "action":
            del asked["action"]
        found: list[str] = []
        page: dict[str, Any] = {"limit": 1}
        for _ in range(len(expected) + 1):
            answer = await face.post("deployer", SEARCH + sought, {**asked, "page": page})
            found += [item.get("id") or item["name"] for item in answer["results"]]
            if not answer["page"]["next_token"]:
                break
            page = {"token": answer["page"]["next_token"]}
        assert found == expected, (sought, asked)
        whole = await face.post("deployer", SEARCH + sought, {**asked, "context": {}})
        assert [item.get("id") or item["name"] for item in whole["results"]] == expected


async def test_a_search_for_the_unknown_finds_nothing(face: Face):
    """200 with no results for a name or a type that nobody has; 400 for what is missing."""
    unknown = question("nobody", "read", "record-1")
    spaceship = {**unknown, "subject": {"type": "spaceship", "id": "enterprise"}}
    for sought in ("subject", "resource", "action"):
        assert (await face.post("deployer", SEARCH + sought, spaceship))["results"] == []
    for sought in ("resource", "action"):
        assert (await face.post("deployer", SEARCH + sought, unknown))["results"] == []
    for sought, lacking in (
        ("subject", {**unknown, "resource": {"type": "record"}}),
        ("resource", {**unknown, "subject": {"type": "user"}}),
        ("action", {**unknown, "subject": {"type": "user"}}),
        ("subject", {name: unknown[name] for name in ("subject", "resource")}),
    ):
        answer = await face.call("deployer", "POST", SEARCH + sought, lacking)
        assert answer.status_code == 400
