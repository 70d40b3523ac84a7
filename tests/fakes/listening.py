"""An application behind a real socket, in the event loop of a ``RunningApp``."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from litestar import Litestar

from tests.fakes.running_app import RunningApp


@contextmanager
def listening(running: RunningApp, app: Litestar) -> Iterator[str]:
    """Serve it over HTTP on a free port of this machine; gives the address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        server = uvicorn.Server(
            uvicorn.Config(app, lifespan="off", log_config=None, ws="none", access_log=False)
        )
        ended = running.begin(server.serve(sockets=[listener]))
        try:
            deadline = time.monotonic() + 10
            while not server.started and time.monotonic() < deadline:
                time.sleep(0.01)
            assert server.started
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            ended.result(timeout=20)
