"""A process with the log key that stops (SIGSTOP) in the middle of a commit.

``python -m tests.fault.fenced DSN SCHEMA CHECKPOINT_FILE PAUSE``. It says ``ready`` once its store
works, then adds an event and stops at the pause. When it is let go on it says, as JSON, what became
of the event and what it had signed for it, and adds another event.
"""

import asyncio
import json
import os
import signal
import sys
import time
from enum import StrEnum
from pathlib import Path

from callpoint.adapters.stores.postgresql.connection import PostgresConnection
from callpoint.adapters.stores.postgresql.store import PostgresStore
from callpoint.domain.errors import CallpointError
from tests.contract.store_benches import INSTALLATION, ORIGIN, FragileSigner, add, issued


class Pause(StrEnum):
    """Where it stops."""

    LOCKED = "it holds the writers' lock"
    SIGNED = "it has signed"
    WRITTEN = "before the commit"
    COMMITTED = "before the checkpoint file"


class _Stopper:
    """Stops this process once, at its pause, after it was armed."""

    def __init__(self, pause: Pause) -> None:
        self._pause = pause
        self.armed = False

    def at(self, pause: Pause) -> None:
        if self.armed and pause is self._pause:
            self.armed = False
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(0.2)  # another thread may be the first to stop; this one shall not go on


class _Signer(FragileSigner):
    def __init__(self, stopper: _Stopper) -> None:
        super().__init__()
        self._stopper = stopper

    def sign(self, text: str) -> str:
        note = super().sign(text)
        self._stopper.at(Pause.SIGNED)
        return note


def _stop_in_connections(stopper: _Stopper) -> None:
    begin, commit = PostgresConnection.begin_write, PostgresConnection.commit

    def begin_write(self: PostgresConnection) -> None:
        begin(self)
        stopper.at(Pause.LOCKED)

    def commit_it(self: PostgresConnection) -> None:
        stopper.at(Pause.WRITTEN)
        commit(self)
        stopper.at(Pause.COMMITTED)

    PostgresConnection.begin_write = begin_write  # type: ignore[method-assign]  # of this process
    PostgresConnection.commit = commit_it  # type: ignore[method-assign]  # of this process


async def _main(dsn: str, schema: str, checkpoint_file: str, pause: str) -> None:
    stopper = _Stopper(Pause(pause))
    _stop_in_connections(stopper)
    signer = _Signer(stopper)
    store = await PostgresStore.open(
        dsn,
        signer=signer,
        checkpoint_file=Path(checkpoint_file),
        origin=ORIGIN,
        installation=INSTALLATION,
        schema=schema,
    )
    await store.check_log()
    _say("ready")
    signer.signed.clear()
    stopper.armed = True
    outcome = ""
    try:
        await store.transact(add("paused:1", issued()))
    except CallpointError as error:
        outcome = type(error).__name__
    _say(json.dumps({"outcome": outcome, "signed": signer.signed}))
    await store.transact(add("after:1", issued()))
    await store.close()
    _say("done")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
