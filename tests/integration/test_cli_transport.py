"""The command line's way to a server, over real sockets: what is signed arrives, or it is said."""

import asyncio
import contextlib
import socketserver
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from callpoint.cli import transport
from callpoint.cli.client import Client, NoAnswerError
from callpoint.cli.exit_codes import say
from callpoint.cli.keyring import PrincipalKey
from callpoint.domain.errors import UnavailableError
from callpoint.ports.identity import Caller, SignedRequest
from tests.fakes.canned_api import incident
from tests.fakes.certificates import write_certificate
from tests.fakes.machine import FakeMachine
from tests.fakes.signing import KEY, Door


class Desk:
    """What the server saw, and how it behaves.

    Attributes:
        arrived: Who signed each request, as the authenticator says.
        paths: Where they went, as they arrived.
        connections: How many there were.
        hangs_up: It ends a connection after each answer, without saying so beforehand.
        breaks_off: It ends a connection in the middle of an answer.
    """

    def __init__(self) -> None:
        self.door = Door()
        self.address = ""
        self.arrived: list[Caller] = []
        self.paths: list[str] = []
        self.connections = 0
        self.hung_up = threading.Event()
        self.hangs_up = self.breaks_off = False

    def client(self) -> Client:
        machine = FakeMachine({}, clock=self.door.clock)
        return Client(self.address, PrincipalKey("ana-laptop", KEY), machine)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    desk: Desk

    def setup(self) -> None:
        self.desk.connections += 1
        super().setup()

    def finish(self) -> None:
        super().finish()
        self.request.close()
        self.desk.hung_up.set()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Nothing: what matters is in the desk."""

    def _answer(self) -> None:
        desk = self.desk
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = SignedRequest(self.command, desk.address + self.path, headers, body)
        desk.arrived.append(asyncio.run(desk.door.authenticator.authenticate(request)))
        desk.paths.append(self.path)
        lists = {"incidents": [incident()], "activations": []}
        content = msgspec.json.encode(lists if self.command == "GET" else incident())
        self.send_response(200)
        self.send_header("content-length", str(len(content) + desk.breaks_off))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = desk.hangs_up or desk.breaks_off


@contextmanager
def served(scheme: str = "http", certificate: tuple[str, str] | None = None) -> Iterator[Desk]:
    desk = Desk()
    handler = type("_DeskHandler", (_Handler,), {"desk": desk})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        desk.address = f"{scheme}://localhost:{server.server_address[1]}"
        desk.door = Door(desk.address)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield desk
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def desk() -> Iterator[Desk]:
    with served() as made:
        yield made


def test_what_is_signed_is_what_arrives(desk: Desk):
    """Requests verify as they arrive, each with a new nonce, and share one connection."""
    client = desk.client()
    client.incidents()
    client.activations(state="a b&c=ü", mine=True)
    client.confirm("INC 7/ü?x")
    client.close()
    assert desk.paths == [
        "/v1/incidents",
        "/v1/activations?state=a%20b%26c%3D%C3%BC&mine=true",
        "/v1/incidents/inc%207%2F%C3%BC%3Fx/confirm",
    ]
    assert [caller.principal.id for caller in desk.arrived] == ["ana-laptop"] * 3
    assert len(set(desk.door.nonces.spent)) == 3
    assert desk.connections == 1


def test_a_connection_that_was_closed_meanwhile_is_opened_anew(desk: Desk):
    """A server may end an idle connection: nothing is sent into it, and nothing is sent twice."""
    desk.hangs_up = True
    client = desk.client()
    for _ in range(2):
        desk.hung_up.clear()
        client.incidents()
        assert desk.hung_up.wait(5)
    client.close()
    assert (desk.connections, len(desk.arrived)) == (2, 2)


def test_an_answer_that_breaks_off_is_not_called_a_failure(desk: Desk):
    """What was asked may have been done, and the caller is told to look; the next one goes on."""
    desk.breaks_off = True
    client = desk.client()
    with pytest.raises(NoAnswerError, match="did not answer: IncompleteRead") as told:
        client.confirm("inc-7")
    assert "look with `callpoint status`" in told.value.way_out
    desk.breaks_off = False
    client.incidents()
    client.close()
    assert len(desk.arrived) == 2


@pytest.mark.parametrize("host", ["127.0.0.1:1", "[::1]:1", "x" * 70 + ".invalid:80"])
def test_nobody_is_there(desk: Desk, host: str):
    """A refused connection, or a name that cannot be: nothing was sent, and it is said so."""
    desk.address = f"http://{host}"
    with pytest.raises(UnavailableError, match="no server answers at ") as told:
        desk.client().incidents()
    assert not isinstance(told.value, NoAnswerError)
    assert "`callpoint serve`" in told.value.way_out


def test_a_private_authority_is_trusted_when_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """TLS is verified with the machine's authorities, and with SSL_CERT_FILE."""
    certificate = write_certificate(tmp_path, "localhost")
    with served("https", certificate) as desk:
        with pytest.raises(UnavailableError, match="is not trusted here") as told:
            desk.client().incidents()
        assert "SSL_CERT_FILE" in told.value.way_out
        assert desk.arrived == []
        monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
        client = desk.client()
        assert client.incidents().incidents == (incident(),)
        client.close()


@contextmanager
def said(pieces: Callable[[], Iterator[bytes]]) -> Iterator[Client]:
    """A server that reads a request and then says these, until whoever asked goes away."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            with contextlib.suppress(OSError):
                for piece in pieces():
                    self.wfile.write(piece)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        machine = FakeMachine({}, clock=Door().clock)
        address = f"http://127.0.0.1:{server.server_address[1]}"
        client = Client(address, PrincipalKey("ana-laptop", KEY), machine)
        try:
            yield client
        finally:
            client.close()
            server.shutdown()
            thread.join()


_OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("begins", [b"", _OK, _OK + b"transfer-encoding: chunked\r\n\r\n"])
def test_a_server_that_drips_does_not_hold_the_command(
    monkeypatch: pytest.MonkeyPatch, begins: bytes
):
    """One byte now and then, in whatever part of the answer: after a while it is given up."""
    monkeypatch.setattr(transport, "EXCHANGE_TIMEOUT", 0.3)

    def pieces() -> Iterator[bytes]:
        yield begins
        while True:
            yield b"0"
            time.sleep(0.02)

    with said(pieces) as client:
        with pytest.raises(NoAnswerError, match="without end: it was not over after") as told:
            client.incidents()
        assert "look with `callpoint status`" in told.value.way_out


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 99999999999\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n7fffffff\r\n",
    ],
    ids=["announced", "in chunks"],
)
def test_an_answer_without_end_does_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch, head: bytes
):
    """No more is read than an answer of Callpoint's can have, and it is said that it was more."""
    monkeypatch.setattr(transport, "MOST_BYTES", 1 << 20)

    def pieces() -> Iterator[bytes]:
        yield _OK + head
        while True:
            yield bytes(1 << 16)

    with said(pieces) as client:
        tracemalloc.start()
        try:
            with pytest.raises(NoAnswerError, match="its answer has more than 1 MiB"):
                client.incidents()
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("rest", [b"", b"\r\n", b'\r\n{"incidents":[]}'])
def test_an_answer_that_could_have_been_cut_off_is_none(rest: bytes):
    """One that ends with the connection, in the middle of its headers or after what looks whole."""
    with (
        said(lambda: iter((_OK + rest,))) as client,
        pytest.raises(NoAnswerError, match="does not say where it ends"),
    ):
        client.incidents()


@pytest.mark.parametrize(
    "answer,says",
    [
        (b"\x1b[2J\x1b[1;1Hroot@host:~# " + b"y" * 60_000 + b"\r\n\r\n", "did not answer"),
        (_OK + b'content-length: 3200\r\n\r\n{"x":' + b"[" * 3195, "nested too deeply"),
        (_OK + b'content-length: 18\r\n\r\n{"incidents":"\xff\xff"}', "something else"),
    ],
    ids=["no status line", "nested", "no text"],
)
def test_a_stranger_has_no_words_for_the_terminal(
    capsys: pytest.CaptureFixture[str], answer: bytes, says: str
):
    """What answers there may be anything: it is an error in our words, on lines that end."""
    with said(lambda: iter((answer,))) as client:
        with pytest.raises(UnavailableError) as told:
            client.incidents()
        say(told.value)
    shown = capsys.readouterr().err
    assert says in shown
    assert len(shown) < 1000
    assert "\x1b" not in shown
