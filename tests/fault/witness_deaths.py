"""Dies by SIGKILL at every step of a witness between the request and the answer.

``python -m tests.fault.witness_deaths FOLDER``: it prints one JSON line: how many deaths there
were, how many of them after a signature had begun, and what was wrong after them. A module of its
own, so that what forks has no threads.
"""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from callpoint.adapters.witnesses.memory_file import MemoryFile
from callpoint.audit.checkpoint import Checkpoint
from callpoint.audit.merkle import consistency_proof, leaf_hash, root_of, subtree_root
from callpoint.audit.note import Signer, sign_note
from callpoint.audit.submission import Submission, SubmissionError
from callpoint.domain.witnessing import Witnessing
from callpoint.lifecycle.cosign import WitnessDesk
from tests.fakes.clock import SeededRandom, SimulatedClock
from tests.fakes.face import open_sqlite
from tests.fakes.witnesses import THIS_LOG, MemoryKey
from tests.fakes.world import ORIGIN, assemble, found_world

STEPS = {"open", "os.rename", "callpoint.signing", "callpoint.signed"}
MOST = 60
HONEST = [leaf_hash(bytes([n])) for n in range(12)]
FORKED = [*HONEST[:5], *(leaf_hash(b"other" + bytes([n])) for n in range(7))]


def body(old: int, new: int, leaves: list[bytes]) -> bytes:
    """A submission of the log that is witnessed."""
    text = Checkpoint(ORIGIN, new, root_of(leaves[:new])).format()
    signer = Signer(ORIGIN, hashlib.sha256(ORIGIN.encode()).digest())

    def nodes(level: int, index: int) -> bytes:
        return subtree_root(leaves[index << level : (index + 1) << level])

    note = sign_note(text, [signer]).format()
    return Submission(old, tuple(consistency_proof(old, new, nodes)), note).format()


class TellingKey(MemoryKey):
    """Lets the audit hook see when a signature begins and when it is there."""

    def cosign(self, text: str, time: int) -> str:
        sys.audit("callpoint.signing", str(Path.cwd()))
        line = super().cosign(text, time)
        sys.audit("callpoint.signed", str(Path.cwd()))
        return line


async def _ask(folder: Path, content: bytes, *, is_new: bool = False) -> int:
    """What the witness in this folder answers: a status."""
    clock = SimulatedClock(auto=True)
    store = await open_sqlite(folder, clock)
    try:
        world = assemble(store=store, clock=clock, random=SeededRandom(1), targets={})
        rules = world.bundle.configuration
        seen = msgspec.structs.replace(rules, witnessing=Witnessing(logs={"log": THIS_LOG}))
        world.bundle = msgspec.structs.replace(world.bundle, configuration=seen)
        key = TellingKey("north")
        if is_new:
            MemoryFile.begin(folder / "witness.json", key.public)
            await found_world(world)
        await world.services.rules.current()
        desk = WitnessDesk(world.services, key, MemoryFile(folder / "witness.json", key.public))
        _arm()
        await desk.add_checkpoint(content)
    except SubmissionError as error:
        return error.status
    else:
        return 200
    finally:
        await store.close()


def _settle(folder: Path) -> None:
    """A copy is at home where it is: what dies here is not told from an original."""
    with closing(sqlite3.connect(folder / "store.db")) as database, database:
        database.execute("UPDATE head SET place = ''")


_fuse: list[int] = []


def _arm() -> None:
    """From here on steps count; before it only the world was built."""
    if _fuse:
        sys.addaudithook(_burn)


def _burn(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in STEPS or ("callpoint" not in event and "witness.json" not in str(arguments)):
        return
    if event == "callpoint.signing":
        os.write(1, b"s")
    _fuse[0] -= 1
    if _fuse[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def _asking(folder: Path, content: bytes, fuse: int) -> None:
    os.chdir(folder)
    _fuse[:] = [fuse] if fuse else []
    status = asyncio.run(_ask(folder, content))
    os.write(1, f" {status}".encode())


def _forked(work: Callable[[], None]) -> tuple[bool, str]:
    """Whether a child ended by itself, and what it wrote."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 1)
        try:
            work()
        except BaseException:  # noqa: BLE001 -- a child reports by its status, whatever it met
            traceback.print_exc()
            os._exit(2)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0, said


def main(folder: Path) -> int:
    """Deaths at the first step, the second, … until a run ends by itself."""
    start = folder / "start"
    start.mkdir()
    asyncio.run(_ask(start, body(0, 5, HONEST), is_new=True))
    wrong: list[str] = []
    signed = 0
    for fuse in range(1, MOST):
        scratch = folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(start, scratch)
        _settle(scratch)
        ended, said = _forked(partial(_asking, scratch, body(5, 9, HONEST), fuse))
        if ended:
            told = {"deaths": fuse - 1, "signed": signed, "wrong": wrong}
            sys.stdout.write(json.dumps(told))
            return 0
        may_be_out = "s" in said
        signed += may_be_out
        _, fork = _forked(partial(_asking, scratch, body(5, 10, FORKED), 0))
        if may_be_out and fork.split()[-1] not in {"409", "422"}:
            wrong.append(f"death {fuse}: a fork of what was signed is answered with {fork}")
        answers = [
            _forked(partial(_asking, scratch, body(old, 9, HONEST), 0))[1].split()[-1]
            for old in (5, 9)
        ]
        if "200" not in answers and "200" not in fork:
            wrong.append(f"death {fuse}: the log is never cosigned again: {answers}")
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
