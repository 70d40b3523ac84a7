"""Bodies of the decision API, whole and broken, through the real application.

What must hold, whatever is sent:

* the answer is 200, 400 or (about others, without the right) 403: a body is never our fault;
* another JSON parser reads what was accepted, and its plain question gets the same decision: so no
  two readers differ, and nothing but names has any effect;
* each decision is in the log under its id;
* a search's token goes on with it;
* an access request makes at most one activation of a denial, and none for somebody else.

A case is one byte that chooses who asks and where, and the body.
"""

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from callpoint.api.access_request_body import SEAL_TO
from callpoint.domain import event as ev
from callpoint.domain.decision import Action
from callpoint.domain.evaluation import Semantic
from tests.fakes.face import Face
from tests.fakes.invariants import told
from tests.fakes.world import INSTALLATION, WORDS, make_world
from tests.fuzz.target import Check, FoundError

ONE, MANY, SEARCH = "/access/v1/evaluation", "/access/v1/evaluations", "/access/v1/search/"
REQUESTS = "/access/v1/requests"
PATHS = (ONE, MANY, SEARCH + "subject", SEARCH + "resource", SEARCH + "action", REQUESTS)
ASKERS = ("erin", "alice")
"""Security, who may ask about everybody, and somebody who may not."""

CONTEXT = ("activation", "incident", "eligibility")

_OK, _BAD, _DENIED = 200, 400, 403
_ACCEPTED, _CONFLICT, _GONE = 202, 409, 410
RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
"""A valid one; nobody has its key at hand."""

_TEXTS = '\0\t"\\é\N{RIGHT-TO-LEFT OVERRIDE}\N{REPLACEMENT CHARACTER}\N{GRINNING FACE}'


@dataclass
class _Site:
    """An installation in the middle of an emergency.

    Attributes:
        logged: How many decisions are on record.
        tasks: Activations that access requests made.
    """

    face: Face
    logged: int = 0
    tasks: set[str] = field(default_factory=set)

    async def judge(self, case: bytes) -> str:
        """Send one body and judge the answer."""
        chosen = case[0] if case else 0
        who = ASKERS[chosen // len(PATHS) % len(ASKERS)]
        path, sent = PATHS[chosen % len(PATHS)], case[1:]
        status, answer = await self._send(who, path, sent)
        if path == REQUESTS:
            return await self._requested(who, status, answer)
        allowed = (_OK, _BAD, _DENIED) if who == "alice" else (_OK, _BAD)
        _must(status in allowed, f"status {status}")
        if status != _OK:
            return f"{path.rpartition('/')[2]} {status}"
        parsed = msgspec.json.decode(sent)
        if path.startswith(SEARCH):
            return await self._goes_on(who, path, parsed, answer)
        shown = answer.get("evaluations", [answer])
        decided = [item["context"].get("evaluation_id") for item in shown]
        _must({ident for ident in decided if ident} == set(self._new()), "not on record")
        if "evaluations" not in answer:
            _, plain = await self._send(who, ONE, json.dumps(_plain(parsed)).encode())
            _must(plain["decision"] is answer["decision"], "another decision")
            self._new()
        return f"{path.rpartition('/')[2]} {sorted({item['decision'] for item in shown})}"

    async def _requested(self, who: str, status: int, answer: Any) -> str:
        """Only alice can, once; whoever else sends it is refused."""
        _must(status in (_ACCEPTED, _BAD, _DENIED, _CONFLICT, _GONE), f"status {status}")
        if status == _ACCEPTED:
            _must(who == "alice", "asked for somebody else")
            ident = answer["task"]["id"]
            _must(ident not in self.tasks, "a denial was answered twice")
            self.tasks.add(ident)
            made = await self.face.world.get(ident)
            _must(made.request.principal == "alice", "made for somebody else")
            _must(len(self.tasks) == 1, "a denial was answered twice")
        return f"requests {status}"

    async def _goes_on(self, who: str, path: str, parsed: Any, answer: Any) -> str:
        token = answer["page"]["next_token"]
        if token:
            again = json.dumps({**parsed, "page": {"token": token}}).encode()
            status, _ = await self._send(who, path, again)
            _must(status == _OK, "its own token is refused")
        return f"{path.rpartition('/')[2]} {bool(answer['results'])}"

    async def _send(self, who: str, path: str, sent: bytes) -> tuple[int, Any]:
        request = self.face.request(who, "POST", path, body=sent)
        answer = await self.face.client.send(request)
        return answer.status_code, answer.json()

    def _new(self) -> list[str]:
        """Ids of the decisions that are on record since the last look."""
        events = told(self.face.world.store.state, ev.DecisionMade)
        found = [event.evaluation for event in events[self.logged :]]
        self.logged = len(events)
        return found


async def _site() -> tuple[_Site, list[str]]:
    """One activation that waits for votes and one that is active, and names that mean something.

    Identifiers come from a seed, so that a kept case means the same in every run.
    """
    world = await make_world()
    await world.incident()
    waiting, active = await world.ask(), await world.active()
    names = [waiting.id, active.id, "inc-7", "orders-repair", "orders-db:repair", INSTALLATION]
    return _Site(Face(world)), [*names, "alice", "carol", "erin", "fixer", "deployer"]


async def _submission(site: _Site) -> dict[str, Any]:
    """A denial of alice, and what asks for it."""
    asked: dict[str, Any] = {
        "subject": {"type": "human", "id": "alice"},
        "action": {"name": Action.CREDENTIAL_REVEAL},
        "resource": {"type": "target_role", "id": "orders-db:repair"},
        "context": {"incident": "inc-7"},
    }
    denied = (await site.face.post("alice", ONE, asked))["context"]
    hint = denied["access_request"]
    site.logged = len(told(site.face.world.store.state, ev.DecisionMade))
    return {
        **asked,
        "context": {**asked["context"], "business_justification": WORDS},
        "requested_access": {SEAL_TO: RECIPIENT, "emergency": True},
        "denial": {
            "evaluation_id": denied["evaluation_id"],
            **{name: hint[name] for name in ("expires_at", "binding_token", "template")},
        },
    }


def _plain(parsed: dict[str, Any]) -> dict[str, Any]:
    """The question without whatever must have no effect."""
    context = parsed.get("context", {})
    return {
        "subject": {name: parsed["subject"][name] for name in ("type", "id")},
        "action": {"name": parsed["action"]["name"]},
        "resource": {name: parsed["resource"][name] for name in ("type", "id")},
        "context": {name: context[name] for name in CONTEXT if name in context},
    }


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise FoundError(what)


@dataclass
class AuthzenTarget:
    """Implements ``tests.fuzz.target.Target``; ``names`` are those of its installation."""

    names: tuple[str, ...] = ()
    session: int = 250
    submission: dict[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> tuple[bytes, ...]:
        known = ["subject", "action", "resource", "context", "evaluations", "options", "page"]
        known += ["evaluations_semantic", "token", "limit", "id", "type", "name", *Semantic]
        quoted = [json.dumps(word).encode() for word in (*known, *self.names)]
        return (*quoted, b"{}", b"[]", b"null", b"\\ud800", b"\\u0000", b"\xed\xa0\x80", b"NaN")

    def make(self, chance: random.Random) -> bytes:
        chosen = chance.choice((0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 11, 11, 11))
        is_request = PATHS[chosen % len(PATHS)] == REQUESTS
        made = self.submission if is_request else _document(chance, self.names)
        if chance.random() < (0.95 if is_request else 0.4):
            made = _changed(chance, self.names, made)
        return bytes([chosen]) + json.dumps(made, ensure_ascii=chance.random() < 0.5).encode()

    @contextmanager
    def open(self) -> Iterator[Check]:
        with asyncio.Runner() as runner:
            site, names = runner.run(_site())
            self.names = tuple(names)
            self.submission = runner.run(_submission(site))
            try:
                yield lambda case: runner.run(site.judge(case))
            finally:
                runner.run(site.face.client.aclose())


TARGET = AuthzenTarget()


def _value(chance: random.Random, names: tuple[str, ...], depth: int = 0) -> Any:
    """Any JSON value, mostly a word that means something."""
    kinds: list[Callable[[], Any]] = [
        lambda: chance.choice(names),
        lambda: chance.choice(names),
        lambda: "".join(chance.choices(_TEXTS, k=4)),
        lambda: chance.choice((None, True, False, 0, -1, 2**63, 10**40, 0.1, -0.0, 1e308)),
        lambda: "x" * chance.choice((0, 64, 129, 5000)),
        lambda: [_value(chance, names, depth + 1) for _ in range(chance.randrange(3))],
        lambda: {chance.choice(names): _value(chance, names, depth + 1)},
    ]
    return chance.choice(kinds[: 5 if depth > 3 else None])()


def _entity(
    chance: random.Random, names: tuple[str, ...], kinds: tuple[str, ...]
) -> dict[str, Any]:
    """A subject or resource that may well exist."""
    found: dict[str, Any] = {"type": chance.choice(kinds), "id": chance.choice(names)}
    if chance.random() < 0.3:
        found["properties"] = {chance.choice(names): _value(chance, names)}
    return found


def _document(chance: random.Random, names: tuple[str, ...]) -> dict[str, Any]:
    """A body as it should be."""
    if chance.random() < 0.3:
        return _sensible(chance, names)
    resources = ("target_role", "activation", "incident", "installation")
    found: dict[str, Any] = {
        "subject": _entity(chance, names, ("human", "agent", "workload")),
        "action": {"name": chance.choice(list(Action))},
        "resource": _entity(chance, names, resources),
        "context": {name: chance.choice(names) for name in CONTEXT if chance.random() < 0.5},
    }
    if chance.random() < 0.2:
        found["page"] = {"limit": chance.choice((1, 2, 100, 0, True))}
    if chance.random() < 0.3:
        items = [_changed(chance, names, found) for _ in range(chance.randrange(4))]
        found["options"] = {"evaluations_semantic": chance.choice(list(Semantic))}
        found["evaluations"] = items
    return found


def _sensible(chance: random.Random, names: tuple[str, ...]) -> dict[str, Any]:
    """A question that may be answered yes, which random words seldom make."""
    waiting, active, incident, eligibility, role, installation, *_ = names
    who, verb, kind, name, context = chance.choice(
        (
            ("alice", Action.CREDENTIAL_REVEAL, "activation", active, {}),
            ("alice", Action.CREDENTIAL_REVEAL, "target_role", role, {"activation": active}),
            ("carol", Action.ACTIVATION_APPROVE, "activation", waiting, {}),
            ("erin", Action.LOG_READ, "installation", installation, {}),
            (
                "alice",
                Action.ACTIVATION_REQUEST,
                "target_role",
                role,
                {"incident": incident, "eligibility": eligibility},
            ),
        )
    )
    return {
        "subject": {"type": "human", "id": who},
        "action": {"name": verb},
        "resource": {"type": kind, "id": name},
        "context": context,
    }


def _changed(
    chance: random.Random, names: tuple[str, ...], found: dict[str, Any]
) -> dict[str, Any]:
    """The same with one member gone, replaced or added."""
    copy: dict[str, Any] = json.loads(json.dumps(found))
    place = copy
    while chance.random() < 0.5:
        deeper = [part for part in place.values() if isinstance(part, dict)]
        if not deeper:
            break
        place = chance.choice(deeper)
    member = chance.choice([*place, "unknown"])
    if chance.random() < 0.3:
        place.pop(member, None)
    else:
        place[member] = _value(chance, names)
    return copy
