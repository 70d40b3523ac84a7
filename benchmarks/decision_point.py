"""Our decision API in a process of its own, as ``callpoint serve`` runs it; for ``authzen``.

    python -m benchmarks.decision_point FOLDER

The first line is ``{"port", "activation", "holder", "asker"}``: where it listens, and what can be
asked about. It serves until its standard input ends, and then says what is on record.
"""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import structlog
import uvicorn

from benchmarks.installation import Installed, installed
from benchmarks.instant_target import instant
from benchmarks.loop import run
from callpoint.adapters.identity.nonces import StoreNonceBook
from callpoint.adapters.identity.signatures import SignatureAuthenticator
from callpoint.adapters.incidents.tokens import authenticate_source
from callpoint.api.app import make_app
from callpoint.api.surface import Surface
from callpoint.audit.checkpoint import parse_checkpoint
from callpoint.audit.note import parse_note
from callpoint.config.soundness import check_bundle
from callpoint.domain.ids import DECISIONS_STREAM
from callpoint.ports.stores import View

HOLDER, ASKER, OTHER = "alice", "erin", "carol"
TARGET = "orders-db"


class Typed(msgspec.Struct):
    """An entry's kind."""

    type: str


def surface(installation: Installed, origin: str) -> Surface:
    """The face that is measured; nothing of it is left out but witnesses and webhooks."""
    services = installation.services
    nonces = StoreNonceBook(services.store, services.clock)
    return Surface(
        services=services,
        authenticator=SignatureAuthenticator(
            lambda: services.rules.last_proven,
            nonces,
            services.clock,
            origins=(origin,),
        ),
        pending_nonces=nonces.pending,
        authenticate_source=authenticate_source,
        feeds={},
        check=check_bundle,
        unusable=dict,
        logger=structlog.get_logger(),
        version="benchmark",
        origins=(origin,),
    )


def on_record(view: View) -> dict[str, int]:
    """How many decisions the log holds, and how many of them stand under its checkpoint."""
    size = parse_checkpoint(parse_note(view.checkpoint().encode()).text).size
    entries = view.entries(DECISIONS_STREAM)
    kinds = [msgspec.json.decode(entry.leaf, type=Typed).type for entry in entries]
    made = [e for e, kind in zip(entries, kinds, strict=True) if kind == "decision:made"]
    return {"made": len(made), "proven": sum(entry.index < size for entry in made)}


@contextlib.asynccontextmanager
async def served(installation: Installed, listener: socket.socket) -> AsyncIterator[None]:
    """Answer on the socket, with uvicorn set up as ``callpoint serve`` does."""
    port = listener.getsockname()[1]
    app = make_app(surface(installation, f"http://127.0.0.1:{port}"))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield
        finally:
            server.should_exit = True


async def measured(folder: Path) -> None:
    """One active activation, then whatever is asked about it."""
    async with installed(folder, (), connectors=instant(TARGET)) as installation:
        await installation.open_incident()
        active = await installation.credential(TARGET)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            async with served(installation, listener):
                told = {
                    "port": listener.getsockname()[1],
                    "activation": active.id,
                }
                print(json.dumps(told), flush=True)
                await asyncio.to_thread(sys.stdin.read)
        print(json.dumps(await installation.services.store.read(on_record)), flush=True)


if __name__ == "__main__":
    run(measured(Path(sys.argv[1])))
