"""The second node: it compares and sweeps all the time while the processes beside it die.

``python -m tests.crash.companion``: its site comes on standard input. It works until standard input
ends, and says how many leases it proved dead and how many accounts it found that nobody explained.
"""

import asyncio
import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from callpoint.domain.errors import CallpointError
from callpoint.lifecycle import reconcile, sweep
from tests.crash.fuse import Fuse
from tests.crash.site import Site, open_world

_PAUSE = 0.1
_ENDS_WITHIN = 30.0


class Done(msgspec.Struct, frozen=True):
    """What the second node did."""

    dead: int
    unknown: int


@contextmanager
def companion(site: Site) -> Iterator[list[Done]]:
    """Run it beside the block; what it did is in the list after the block."""
    with_home = msgspec.structs.replace(site, home=f"{site.home}/second")
    Path(with_home.home).mkdir()
    # A node keeps a checkpoint file of its own; a new one gets a copy.
    shutil.copy(site.checkpoint_file, with_home.checkpoint_file)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.companion"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(with_home) + b"\n")
    process.stdin.flush()
    done: list[Done] = []
    try:
        yield done
        said, _ = process.communicate(timeout=_ENDS_WITHIN)
        done.append(msgspec.json.decode(said, type=Done))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


async def _work(site: Site, over: asyncio.Event) -> Done:
    world = await open_world(site, Fuse(0))
    dead = unknown = 0
    try:
        while not over.is_set():
            try:
                unknown += len((await reconcile.reconcile(world.services)).unknown)
                dead += (await sweep.sweep(world.services)).dead
            except CallpointError as error:  # of one pass; a server's loop goes on as well
                sys.stderr.write(f"companion: {error}\n")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), _PAUSE)
    finally:
        await world.services.store.close()
    return Done(dead=dead, unknown=unknown)


async def _main() -> None:
    site = msgspec.json.decode(sys.stdin.buffer.readline(), type=Site)
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), over.set)  # nothing more comes but its end
    done = await _work(site, over)
    sys.stdout.buffer.write(msgspec.json.encode(done))


if __name__ == "__main__":
    asyncio.run(_main())
