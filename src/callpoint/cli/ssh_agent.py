"""An SSH agent for one key and one session: the private key is in this process and nowhere else.

``ssh`` asks it for a signature over a socket in a folder that only its owner enters. It is over
with the session, or with this process however that ends, so that no file is left to remove. The
protocol is draft-ietf-sshm-ssh-agent; of its messages a client needs two, and is answered "no" to
all others.
"""

import base64
import contextlib
import socketserver
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
)

from callpoint.domain.errors import RequestError

_FAILURE, _REQUEST_IDENTITIES, _IDENTITIES = 5, 11, 12
_SIGN_REQUEST, _SIGN_RESPONSE = 13, 14
_ALGORITHM = b"ssh-ed25519"
_LONGEST = 256 * 1024
"""Bytes of one message, as in OpenSSH's own agent."""


def load_key(private: str) -> Ed25519PrivateKey:
    """Read an unencrypted OpenSSH private key.

    Raises:
        RequestError: It is none, or not of Ed25519; without the cause, which could quote it.
    """
    try:
        key = load_ssh_private_key(private.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise RequestError("the secret is no OpenSSH private key that can be read here") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise RequestError(
            "the secret is an SSH key of another kind than Ed25519",
            way_out="write it to a file with `callpoint credentials ID --file FILE`, and use that",
        )
    return key


def public_line(key: Ed25519PrivateKey) -> str:
    """``ssh-ed25519 AAAA…``."""
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@contextlib.contextmanager
def agent(key: Ed25519PrivateKey, path: Path) -> Iterator[None]:
    """Answer at ``path``, a new socket in a private folder, until the block ends."""
    with _Server(key, path) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="ssh agent")
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False  # a client that keeps its connection open does not keep us

    def __init__(self, key: Ed25519PrivateKey, path: Path) -> None:
        self.key = key
        self.blob = base64.b64decode(public_line(key).split()[1])
        super().__init__(str(path), _Client)


class _Client(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            while (message := self._read()) is not None:
                answer = respond(message, self.server.key, self.server.blob)
                self.wfile.write(_string(answer))

    def _read(self) -> bytes | None:
        """The next message; None at the end, or for what no agent takes."""
        head = self.rfile.read(4)
        if len(head) < 4:  # noqa: PLR2004 -- a length is four bytes
            return None
        (length,) = struct.unpack(">I", head)
        if not 0 < length <= _LONGEST:
            return None
        message = self.rfile.read(length)
        return message if len(message) == length else None


def respond(message: bytes, key: Ed25519PrivateKey, blob: bytes) -> bytes:
    """The answer to one message.

    Args:
        message: At least one byte; the first says what it is.
        key: The only one.
        blob: Its public half in SSH's form.
    """
    if message[0] == _REQUEST_IDENTITIES:
        return bytes([_IDENTITIES]) + struct.pack(">I", 1) + _string(blob) + _string(b"callpoint")
    if message[0] == _SIGN_REQUEST:
        asked = _strings(message[1:])
        if len(asked) == 2 and asked[0] == blob:  # noqa: PLR2004 -- key and data, then flags
            signature = _string(_ALGORITHM) + _string(key.sign(asked[1]))
            return bytes([_SIGN_RESPONSE]) + _string(signature)
    return bytes([_FAILURE])


def _string(value: bytes) -> bytes:
    """A string of RFC 4251: its length, then itself."""
    return struct.pack(">I", len(value)) + value


def _strings(body: bytes) -> list[bytes]:
    """The first two strings of a message; fewer if it is cut off."""
    found = []
    for _ in range(2):
        (length,) = struct.unpack(">I", body[:4]) if len(body) >= 4 else (0,)  # noqa: PLR2004 -- likewise
        value, rest = body[4 : 4 + length], body[4 + length :]
        if len(body) < 4 or len(value) < length:  # noqa: PLR2004 -- likewise
            break
        found.append(value)
        body = rest
    return found
