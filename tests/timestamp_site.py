"""A time-stamping authority for tests: `openssl ts` behind HTTP, with certificates of its own.

Every misbehaviour is one that a real authority could have: another request's answer, an expired
certificate, something else than an answer.
"""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CONFIG = """\
[ tsa ]
default_tsa = tsa1
[ tsa1 ]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""
_FILES = ("-config", "tsa.cnf", "-queryfile", "query", "-out", "reply")
_DAY = timedelta(days=1)


@dataclass
class Authority:
    """One authority in a folder.

    Attributes:
        stale: Answer with what was answered first, whatever is asked.
        says: Answer with these bytes instead.
        asked: How often it was asked.
    """

    folder: Path
    name: str = "tsa.example"
    url: str = ""
    stale: bool = False
    says: bytes | None = None
    asked: int = 0
    _first: bytes = field(default=b"", repr=False)

    @property
    def root(self) -> Path:
        """What a verifier is given: the root certificate, PEM."""
        return self.folder / "root.pem"

    def found(self, *, ended: bool = False) -> None:
        """Make the certificates; with ``ended``, one that was over yesterday."""
        now = datetime.now(UTC)
        span = (now - 9 * _DAY, now - _DAY if ended else now + 9 * _DAY)
        root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        root_name, name = _named(f"root of {self.name}"), _named(self.name)
        long = (now - 9 * _DAY, now + 9 * _DAY)
        root = (
            _certificate(root_name, root_name, root_key.public_key(), long)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(root_key, hashes.SHA256())
        )
        use = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        leaf = (
            _certificate(name, root_name, key.public_key(), span)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(use, critical=True)
            .sign(root_key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        self.folder.mkdir(parents=True, exist_ok=True)
        self.root.write_bytes(root.public_bytes(pem))
        (self.folder / "tsa.pem").write_bytes(leaf.public_bytes(pem))
        (self.folder / "tsa.key").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        (self.folder / "serial").write_text("01")
        (self.folder / "tsa.cnf").write_text(_CONFIG.format(folder=self.folder))

    def answer(self, query: bytes) -> bytes:
        """The DER answer to a DER query."""
        self.asked += 1
        if self.says is not None:
            return self.says
        if self.stale and self._first:
            return self._first
        (self.folder / "query").write_bytes(query)
        subprocess.run(
            ["openssl", "ts", "-reply", *_FILES],
            cwd=self.folder,
            check=True,
            capture_output=True,
        )
        made = (self.folder / "reply").read_bytes()
        self._first = self._first or made
        return made


@contextmanager
def stamping(authority: Authority) -> Iterator[Authority]:
    """The authority over HTTP on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["content-type"] == "application/timestamp-query"
            body = authority.answer(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-type", "application/timestamp-reply")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a test's output is for its failures."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="authority")
    thread.start()
    authority.url = f"http://127.0.0.1:{server.server_port}/tsr"
    try:
        yield authority
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    span: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(span[0])
        .not_valid_after(span[1])
    )
