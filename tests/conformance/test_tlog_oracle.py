"""Our log, served over HTTP, verified whole by an implementation that is not ours.

``aics-tlog`` needs Python 3.12: on an older one another interpreter of the machine that has it runs
the same questions, or the test is skipped and says so.
"""

import base64
import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from callpoint.audit.cosignature import Cosigner, verify_cosignature
from callpoint.audit.merkle import leaf_hash, root_of
from callpoint.audit.note import parse_note, parse_signature
from callpoint.audit.tiles import TILE_WIDTH, entries_path
from callpoint.domain.event import LeaseIssued
from callpoint.lifecycle.ask_witnesses import ask_witnesses
from tests.conformance import tlog_oracle
from tests.fakes.face import Face
from tests.fakes.listening import listening
from tests.fakes.running_app import RunningApp
from tests.fakes.witnesses import (
    LOG_KEY,
    Streets,
    cosigner,
    make_desk,
    make_watched,
    watched_by,
)
from tests.fakes.world import ORIGIN, World

OTHERS = ("python3.14", "python3.13", "python3.12")
VARIABLE = "CALLPOINT_TEST_TLOG_PYTHON"
"""Names an interpreter that has aics-tlog, where it is none of ``OTHERS`` on the path."""

ORACLE = Cosigner("oracle.example/w", b"o" * 32)

Examine = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def examine() -> Examine:
    """The oracle, here or in another interpreter."""
    if sys.version_info >= (3, 12):
        import aics_tlog  # noqa: F401 -- it is in the lock from 3.12 on: missing it is a failure

        return tlog_oracle.examine
    named = os.environ.get(VARIABLE)
    for python in (named,) if named else OTHERS:
        if _has_oracle(python):
            return functools.partial(_elsewhere, python)
    pytest.skip(f"no Python from 3.12 on has aics-tlog (name one in {VARIABLE})")


def _has_oracle(python: str) -> bool:
    try:
        done = subprocess.run([python, "-c", "import aics_tlog"], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _elsewhere(python: str, question: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [python, tlog_oracle.__file__],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def running() -> Iterator[RunningApp]:
    """An event loop in a thread."""
    made = RunningApp()
    yield made
    made.stop()


async def grow(world: World, length: int) -> None:
    """One transaction, and so one checkpoint."""

    def work(tx: Any) -> None:
        for n in range(length):
            event = LeaseIssued(lease=f"lease-{length}-{n:03}", target="t", box_sha256="a" * 64)
            tx.append("lease:all", event)

    await world.services.store.transact(work)


async def auditor_reads(face: Face, size: int, folder: Path) -> list[bytes]:
    """Fetch the entry bundles as somebody who may, and keep them as a mirror would."""
    leaves: list[bytes] = []
    for n in range(0, size, TILE_WIDTH):
        path = entries_path(n // TILE_WIDTH, min(TILE_WIDTH, size - n))
        answer = await face.call("erin", "GET", f"/tlog/{ORIGIN}/{path}")
        assert answer.status_code == 200, answer.text
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(answer.content)
        rest = answer.content
        while rest:
            end = 2 + int.from_bytes(rest[:2], "big")
            leaves.append(rest[2:end])
            rest = rest[end:]
    return leaves


@pytest.mark.parametrize("length", [1, 254, 600])
def test_another_implementation_verifies_everything(
    examine: Examine, running: RunningApp, tmp_path: Path, length: int
):
    """Checkpoint, cosignature, every tile and bundle, inclusion and consistency all hold."""
    world = running.do(make_watched(watched_by("north")))
    running.do(grow(world, length))
    desk, *_ = running.do(make_desk("north", clock=world.clock))
    asked = running.do(ask_witnesses(world.services, Streets(north=desk)))
    face = Face(world)
    leaves = running.do(auditor_reads(face, asked.size, tmp_path))
    hashes = [leaf_hash(leaf) for leaf in leaves]
    old = max(1, asked.size - 30)
    index = len(leaves) * 2 // 3
    with listening(running, face.app) as address:
        proof = httpx.get(f"{address}/v1/log/proof?leaf={hashes[index].hex()}").json()
        answer = examine(
            {
                "prefix": f"{address}/tlog/{ORIGIN}/",
                "folder": tmp_path.as_uri(),
                "vkey": LOG_KEY,
                "origin": ORIGIN,
                "witness": cosigner("north").public.format(),
                "now": int(world.clock.now().timestamp()),
                "old": {"size": old, "root": base64.b64encode(root_of(hashes[:old])).decode()},
                "proof": {"index": proof["index"], "hashes": proof["proof"]},
                "cosigner": [ORACLE.name, ORACLE.seed.hex()],
            }
        )
    assert answer == {
        "log": True,
        "cosigned": True,
        "witnesses": ["north.example/w"],
        "size": len(leaves),
        "tiles": answer["tiles"],
        "bundles": -(-len(leaves) // TILE_WIDTH),
        "root_from_tiles": True,
        "old_root_from_tiles": True,
        "consistent": True,
        "same_proof": True,
        "included": True,
        "refused": True,
        "entry": base64.b64encode(leaves[index]).decode(),
        "line": answer["line"],
    }
    text = parse_note(proof["checkpoint"].encode()).text
    seen = verify_cosignature(text, parse_signature(answer["line"]), ORACLE.public)
    assert seen.time == int(world.clock.now().timestamp())
    assert answer["tiles"] >= answer["bundles"]
    running.do(face.client.aclose())
