"""Dies by SIGKILL at every file that `callpoint key rotate` opens, renames or removes.

``python -m tests.fault.key_deaths FOLDER USE [full]``: the folder holds a founded home with a
staged key and ``*.signature`` files. With ``full`` it does not die there, but the disk is full from
then on. It prints one JSON line: how many deaths there were, and what was wrong after them. A
module of its own, so that what forks has no threads.
"""

import asyncio
import gc
import importlib
import io
import json
import os
import resource
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

from callpoint.adapters.keys.files import KeyUse, public_keys, staged_key
from callpoint.bootstrap.home import Home
from callpoint.bootstrap.key_change import key_in_use
from callpoint.bootstrap.outside import Outside
from callpoint.bootstrap.process import open_process
from callpoint.bootstrap.rotation import rotate_key
from callpoint.cli.signature_file import read_signatures
from callpoint.config.settings import load_settings
from callpoint.domain.errors import CallpointError
from callpoint.domain.event import BundleRefused
from callpoint.domain.ids import INSTALLATION_STREAM
from callpoint.lifecycle.proof import newest_checkpoint, proven
from callpoint.ports.stores import Transaction

_AT = {"os.rename", "os.remove", "open"}
_MOST = 200
_LATE = ("callpoint.adapters.targets.postgresql.connector", "anyio", "anyio._backends._asyncio")
"""What a server loads when it needs it; here once, and not in each child anew."""


_DONE, _FAILED, _CRASHED, _DONE_ALL_THE_SAME = range(4)


def main(folder: Path, use: str, how: str = "") -> int:
    """Deaths at the first event, the second, … until a run ends by itself."""
    for module in _LATE:
        importlib.import_module(module)
    gc.freeze()  # so that a collection in a child copies no memory
    wrong: list[str] = []
    expected = staged_key(Home(folder / "home").keys, KeyUse(use))
    for length in range(1, _MOST):
        # What a server adds meanwhile matters to the checkpoint, so to the log's key alone.
        for goes_on in (False, True) if use == "log" else (False,):
            home = folder / "scratch"
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(folder / "home", home)
            _settle(home)
            died = _forked(partial(_rotate, folder, home, use, length, how))
            if died == _CRASHED:
                wrong.append(f"point {length}: not an error of ours")
            if died == _DONE:
                sys.stdout.write(json.dumps({"deaths": length - 1, "wrong": wrong}))
                return 0
            if goes_on and _forked(partial(_serve_a_little, home)) != 0:
                wrong.append(f"death {length}: a server does not start after it")
            if _forked(partial(_rotate, folder, home, use, 0)) != 0:
                wrong.append(f"death {length}: the command cannot be repeated")
            if _forked(partial(_look, home, use, str(expected))) != 0:
                wrong.append(f"death {length}, went on {goes_on}: the end is not as it should be")
    return 1


def _settle(home: Path) -> None:
    """A copy is at home where it is: what dies here is not told from an original."""
    with closing(sqlite3.connect(home / "callpoint.sqlite3")) as database, database:
        database.execute("UPDATE head SET place = ''")


def _rotate(folder: Path, home: Path, use: str, fuse: int, how: str = "") -> None:
    records = read_signatures(sorted(folder.glob("*.signature")))
    left = [fuse]
    if fuse:

        def burn(event: str, arguments: tuple[Any, ...]) -> None:
            if event not in _AT or str(home) not in str(arguments[0]):
                return
            left[0] -= 1
            if left[0] == 0 and how == "full":
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
            elif left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(burn)
    try:
        asyncio.run(rotate_key(home, use, records, _outside()))
    except CallpointError:
        if how != "full":
            raise
        os._exit(_FAILED)
    if fuse and left[0] <= 0:
        os._exit(_DONE_ALL_THE_SAME)


def _serve_a_little(home: Path) -> None:
    """A server that starts, follows the rules, and writes an entry that it can prove."""
    asyncio.run(_served(home))


async def _served(home: Path) -> list[str]:
    """The kinds of the installation's events, as they were proven before that entry."""

    def work(tx: Transaction) -> None:
        event = BundleRefused(actor="erin", digest="", widens=(), reason="of a test")
        tx.append(INSTALLATION_STREAM, event)

    async with open_process(load_settings(home), _outside()) as process:
        installation, store = process.services.installation, process.services.store

        async def told() -> list[str]:
            await store.read(lambda view: newest_checkpoint(view, installation))
            events = await store.read(
                lambda view: proven(view, installation, [INSTALLATION_STREAM])
            )
            return [type(item.event).__name__ for item in events[INSTALLATION_STREAM]]

        before = await told()
        await process.services.rules.current()
        await store.transact(work)
        assert await told() == [*before, "BundleRefused"]
        return before


def _look(home: Path, use: str, expected: str) -> None:
    """The new key is the one in use, nothing is staged, and everything proves with it."""
    place = Home(home)
    installation = place.installation()
    assert key_in_use(installation, KeyUse(use)) == expected
    assert expected in msgspec.structs.astuple(public_keys(place.keys))
    assert staged_key(place.keys, KeyUse(use)) is None
    assert len(installation.former_log_keys) == (1 if use == "log" else 0)
    kinds = asyncio.run(_served(home))
    assert kinds.count("KeyRotated") in ((1, 2) if use == "log" else (1,)), kinds


def _outside() -> Outside:
    return Outside({}, stream=io.StringIO())


def _forked(work: Callable[[], None]) -> int:
    """The exit status of a child that did it; a death counts as ``_FAILED``."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 -- a child reports by its status, whatever it met
            traceback.print_exc()
            os._exit(_CRASHED)
        os._exit(_DONE)
    _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else _FAILED


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
