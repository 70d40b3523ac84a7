"""The published AuthZEN decision sets, over our HTTP API, with a policy pack of their own.

What is shown is the protocol: bodies, defaults, batches and answers are read and written as their
authors meant. The pack is decided by Cedar, as ours is; its world is theirs, so it believes the
properties that its askers send, which the life cycle never does.
"""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import cedarpy
import pytest

from callpoint.api.app import make_app
from callpoint.domain.evaluation import Answer, Entity, Evaluation, Page, Search, Semantic
from callpoint.ports.identity import Caller, PendingNonce
from tests.conformance.vectors import vectors_or_skip
from tests.fakes.face import Face
from tests.fakes.world import make_world

PACKS = Path(__file__).parent / "authzen"

# The subject ids of the scenarios differ in one digit; addresses and roles are the scenario's.
PEOPLE = {
    f"CiRmZD{mark}2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs": who
    for mark, who in {
        "A": ("rick@the-citadel.com", ("admin", "evil_genius")),
        "E": ("morty@the-citadel.com", ("editor",)),
        "I": ("summer@the-smiths.com", ("editor",)),
        "M": ("beth@the-smiths.com", ("viewer",)),
        "Q": ("jerry@the-smiths.com", ("viewer",)),
    }.items()
}
TYPES = {"user": "User", "identity": "User", "todo": "Todo", "route": "Route"}


class PackEvaluator:
    """Implements ``ports.evaluator.Evaluator`` over one Cedar file and the scenario's people."""

    def __init__(self, policies: str) -> None:
        self._policies = policies

    async def evaluate(
        self,
        caller: Caller,
        asked: Sequence[Evaluation],
        semantic: Semantic,
        nonce: PendingNonce | None = None,
    ) -> tuple[Answer, ...]:
        answers: list[Answer] = []
        for evaluation in asked:
            answers.append(Answer(allowed=self._allows(evaluation)))
            if semantic.ends_with(allowed=answers[-1].allowed):
                break
        return tuple(answers)

    async def search(self, caller: Caller, search: Search) -> Page:
        raise AssertionError("the decision sets hold no search")

    def _allows(self, asked: Evaluation) -> bool:
        entities = [_person(name) for name in PEOPLE]
        uid = _uid(asked.resource)
        if asked.resource.type != "user":
            attributes = dict(asked.resource.properties)
            entities.append({"uid": uid, "attrs": attributes, "parents": []})
        request = {
            "principal": f"{_uid(asked.subject)['type']}::{json.dumps(asked.subject.id)}",
            "action": f"Action::{json.dumps(asked.action.name)}",
            "resource": f"{uid['type']}::{json.dumps(uid['id'])}",
            "context": {},
        }
        return cedarpy.is_authorized(request, self._policies, entities).allowed


def _uid(entity: Entity) -> dict[str, str]:
    return {"type": TYPES[entity.type], "id": entity.id}


def _person(name: str) -> dict[str, Any]:
    email, roles = PEOPLE[name]
    return {
        "uid": {"type": "User", "id": name},
        "attrs": {"email": email},
        "parents": [{"type": "Role", "id": role} for role in roles],
    }


@pytest.fixture(params=["todo", "gateway"])
async def scenario(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Face, dict[str, Any]]]:
    """Our API before the scenario's rules, and what it must decide."""
    folder = vectors_or_skip("authzen")
    decisions = json.loads((folder / f"{request.param}-decisions.json").read_text())
    evaluator = PackEvaluator((PACKS / f"{request.param}.cedar").read_text())
    async with Face(await make_world()) as face:
        face.client._transport.app = make_app(face.surface, evaluator)  # type: ignore[attr-defined]
        yield face, decisions


async def test_every_published_decision_is_ours(scenario):
    """Each evaluation, and each batch as a whole, is answered as the working group published."""
    face, decisions = scenario
    wrong = []
    for case in decisions["evaluation"]:
        answer = await face.post("deployer", "/access/v1/evaluation", case["request"])
        if answer["decision"] is not case["expected"]:
            wrong.append(case["request"])
    for case in decisions.get("evaluations", []):
        answer = await face.post("deployer", "/access/v1/evaluations", case["request"])
        given = [{"decision": item["decision"]} for item in answer["evaluations"]]
        if given != case["expected"]:
            wrong.append(case["request"])
    assert wrong == []
    verdicts = {case["expected"] for case in decisions["evaluation"]}
    assert verdicts == {True, False}


async def test_a_single_evaluation_is_a_batch_without_evaluations(scenario):
    """Sent to the batch endpoint, the same bodies get the same single answers."""
    face, decisions = scenario
    for case in decisions["evaluation"][:10]:
        for body in (case["request"], {**case["request"], "evaluations": []}):
            answer = await face.post("deployer", "/access/v1/evaluations", body)
            assert answer["decision"] is case["expected"]


async def test_a_batch_of_all_is_answered_one_by_one(scenario):
    """All evaluations of a set in one call give the published answers, in their order."""
    face, decisions = scenario
    cases = decisions["evaluation"]
    body = {"evaluations": [case["request"] for case in cases]}
    answer = await face.post("deployer", "/access/v1/evaluations", body)
    given = [item["decision"] for item in answer["evaluations"]]
    assert given == [case["expected"] for case in cases]
