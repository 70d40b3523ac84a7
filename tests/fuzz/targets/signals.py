"""Bodies of receivers of signals, whole and broken, through the real application.

What must hold, whatever is sent:

* the answer is 200, 204 or 400: a body is never our fault;
* another JSON parser reads what was accepted, and finds in it what had an effect: what it confirms
  is gone, everything else still waits;
* no more tokens come than were asked for, each is ours, and none that was confirmed.

A case is one byte that chooses what is asked, and the body.
"""

import asyncio
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from callpoint.domain.kill import Scope
from callpoint.lifecycle import kill
from callpoint.lifecycle.poll_signals import MOST
from callpoint.lifecycle.sweep import sweep
from tests.fakes.face import Face
from tests.fakes.signals import claims, make_told, outbox, polled
from tests.fuzz.target import Check, FoundError

POLL, VERIFY = "/ssf/v1/poll/idp", "/ssf/v1/verify"
PATHS = (POLL, POLL, POLL, VERIFY)

_OK, _NOTHING, _BAD, _NOT_FOUND = 200, 204, 400, 404
_VALUES: tuple[Any, ...] = (None, True, False, 0, 1, 3, -1, 2**63, 10**40, 0.5, "", "\0é", [], {})


@dataclass
class _Site:
    """A stream on which something waits.

    Attributes:
        told: Everything that its receiver is to be told, by ``jti``.
        confirmed: What it said that it has.
    """

    face: Face
    told: frozenset[str]
    confirmed: set[str] = field(default_factory=set)

    async def judge(self, case: bytes) -> str:
        """Send one body and judge the answer."""
        path, sent = PATHS[(case[0] if case else 0) % len(PATHS)], case[1:]
        request = self.face.request("deployer", "POST", path, body=sent)
        answer = await self.face.client.send(request)
        if path == VERIFY:
            known = (_NOTHING, _BAD, _NOT_FOUND)
            _must(answer.status_code in known, f"status {answer.status_code}")
            return f"verify {answer.status_code}"
        _must(answer.status_code in (_OK, _BAD), f"status {answer.status_code}")
        if answer.status_code == _BAD:
            return "poll 400"
        asked, found = json.loads(sent), answer.json()["sets"]
        self.confirmed |= set(asked.get("ack", ()))
        most = asked.get("maxEvents")
        _must(len(found) <= (MOST if most is None else most), "more than was asked for")
        for jti, token in found.items():
            _must(claims(token)["jti"] == jti, "another token")
        _must(not self.confirmed & set(found), "what was confirmed is back")
        row = await outbox(self.face.world, "idp")
        waiting = {one.jti for one in row.waiting}
        _must(waiting == self.told - self.confirmed, "something was lost, or was not taken out")
        return f"poll {len(found)} {answer.json()['moreAvailable']}"


async def _site() -> _Site:
    world = await make_told(polled())
    await world.incident()
    face = Face(world)
    for _ in range(3):
        await world.active()
    await kill.kill(world.services, world.caller("gina"), Scope.EVERYTHING, "")
    await sweep(world.services)
    found = await face.post("deployer", POLL, {"returnImmediately": True})
    return _Site(face, frozenset(found["sets"]))


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise FoundError(what)


@dataclass
class SignalsTarget:
    """Implements ``tests.fuzz.target.Target``; ``names`` are the ``jti`` of its installation."""

    names: tuple[str, ...] = ("x",)
    session: int = 60

    @property
    def words(self) -> tuple[bytes, ...]:
        known = ("maxEvents", "returnImmediately", "ack", "setErrs", "err", "description")
        quoted = [json.dumps(word).encode() for word in (*known, "stream_id", "state", *self.names)]
        return (*quoted, b"{}", b"[]", b"null", b"true", b"\\ud800", b"\\u0000", b"\xed\xa0\x80")

    def make(self, chance: random.Random) -> bytes:
        chosen = chance.randrange(len(PATHS))
        made: dict[str, Any] = {"returnImmediately": chance.random() < 0.9}
        if PATHS[chosen] == VERIFY:
            made = {"stream_id": chance.choice(("idp", "idp", "other")), "state": "x" * 3}
        else:
            made |= {
                "maxEvents": chance.choice((0, 1, 2, 100)),
                "ack": chance.sample(self.names, chance.choice((0, 0, 0, 1))),
                "setErrs": {
                    name: {"err": "invalid_request", "description": "no"}
                    for name in chance.sample(self.names, chance.choice((0, 0, 1)))
                },
            }
        if chance.random() < 0.4:
            made[chance.choice([*made, "unknown"])] = chance.choice(_VALUES)
        return bytes([chosen]) + json.dumps(made, ensure_ascii=chance.random() < 0.5).encode()

    @contextmanager
    def open(self) -> Iterator[Check]:
        with asyncio.Runner() as runner:
            site = runner.run(_site())
            self.names = tuple(sorted(site.told))
            try:
                yield lambda case: runner.run(site.judge(case))
            finally:
                runner.run(site.face.client.aclose())


TARGET = SignalsTarget()
