"""A receiver of pushed signals behind a real socket, which can be away, slow, or say no."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.stories.town import free_port


class ReceiverSite:
    """What a receiver got; ``up`` makes it listen, each time on the same port.

    Attributes:
        bodies: What was posted and taken, in order.
        fields: The fields of the last request, lower-case names.
        answer: Status and body for a token.
        delay: Seconds before it answers.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.bodies: list[str] = []
        self.fields: dict[str, str] = {}
        self.answer: Callable[[str], tuple[int, bytes]] = lambda _: (202, b"")
        self.delay = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    @contextmanager
    def up(self) -> Iterator[None]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                site._take(self)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["content-length"])).decode()
        self.fields = {name.lower(): value for name, value in request.headers.items()}
        time.sleep(self.delay)
        status, said = self.answer(body)
        if status == 202:
            self.bodies.append(body)
        try:
            request.send_response(status)
            request.send_header("content-length", str(len(said)))
            if status == 307:
                request.send_header("location", self.url + "/elsewhere")
            request.end_headers()
            request.wfile.write(said)
        except OSError:
            return  # whoever asked is gone
