"""One request carried to the server, and its answer back: HTTP/1.1 by the standard library.

A client with connection pools, proxies and redirects takes a sixth of a second to load, and most
commands send three small requests. Nothing here follows a redirect, or a proxy of the environment:
that one would see, and could hold back, a kill.
"""

import http.client
import select
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from callpoint.cli.timed_socket import OvertimeError, TimedSocket
from callpoint.domain.untrusted import printable

CONNECT_TIMEOUT = 5.0
"""Seconds until a server that does not answer at all is called unreachable."""

ANSWER_TIMEOUT = 180.0
"""Seconds for an answer to begin or go on: revoking waits for targets, each call up to 15 s
(ports.targets)."""

EXCHANGE_TIMEOUT = 300.0
"""Seconds for request and answer as a whole, however busily a server sends."""

MOST_BYTES = 96 << 20
"""Longest answer: a page of the log, a thousand entries as large as entries can be, in base64. Of a
bundle `callpoint verify` reads no more than 64 MiB."""

_PIECE: Final = 1 << 16


class UnreachedError(Exception):
    """There was no connection, so nothing was sent."""


class UnansweredError(Exception):
    """The request may have arrived: what it asked for may have been done."""


class EndlessError(UnansweredError):
    """Something answered, and did not come to an end in time, or at a size that an answer has."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is.

    Attributes:
        scheme: ``http`` or ``https``.
        host: A name, or an IP address without brackets.
    """

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent.

    Attributes:
        url: Absolute and encoded.
        target: What of it follows the origin: path and query.
        headers: Names in lower case.
    """

    method: str
    url: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole. Names of ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        """The server did what was asked."""
        return 200 <= self.status < 300  # noqa: PLR2004 -- RFC 9110, 15.3


class Transport(Protocol):
    """What carries requests to one server."""

    def carry(self, request: Request) -> Answer:
        """Send it and wait for the answer.

        Raises:
            UnreachedError: There is no connection.
            UnansweredError: It was sent, or a part of it, and no answer came.
            EndlessError: None that ended.
        """
        ...

    def close(self) -> None:
        """End what connections there are."""
        ...


class Network:
    """Implements ``Transport`` over one connection, which is opened when it is needed."""

    def __init__(self, address: Address) -> None:
        self._connection: http.client.HTTPConnection
        if address.scheme == "https":
            # The machine's own authorities, and SSL_CERT_FILE: a private one is common here.
            context = ssl.create_default_context()
            context.set_alpn_protocols(["http/1.1"])
            self._connection = http.client.HTTPSConnection(
                address.host, address.port, timeout=CONNECT_TIMEOUT, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(
                address.host, address.port, timeout=CONNECT_TIMEOUT
            )

    def carry(self, request: Request) -> Answer:
        """See the protocol."""
        connection = self._connected()
        try:
            connection.request(
                request.method, request.target, request.body or None, dict(request.headers)
            )
            with connection.getresponse() as response:
                content = _whole(response)
        except EndlessError:
            connection.close()
            raise
        except OvertimeError as error:
            connection.close()
            raise EndlessError(str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            # The library quotes what it could not read, up to 64 KiB of it.
            raise UnansweredError(printable(str(error)) or type(error).__name__) from error
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, content)

    def close(self) -> None:
        """End the connection; the next request opens another one."""
        self._connection.close()

    def _connected(self) -> http.client.HTTPConnection:
        connection = self._connection
        if isinstance(connection.sock, TimedSocket) and not _is_spent(connection):
            connection.sock.begin()
            return connection
        connection.close()
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:  # a name that DNS cannot say is a UnicodeError
            connection.close()
            raise UnreachedError(printable(str(error)) or "timed out") from error
        timed = TimedSocket(connection.sock, ANSWER_TIMEOUT, EXCHANGE_TIMEOUT)
        connection.sock = cast("socket.socket", timed)  # all that the library uses of one
        return connection


def _whole(response: http.client.HTTPResponse) -> bytes:
    """All of an answer. In pieces: how large it will be is the server's word until it has come.

    Raises:
        EndlessError: It is too large.
        http.client.HTTPException: It broke off; or it ends with the connection, so that nobody
            could tell, among its headers either (RFC 9112, section 8).
    """
    if response.length is None and not response.chunked:
        raise http.client.HTTPException("the answer does not say where it ends")
    content = bytearray()
    while (response.length or 0) + len(content) <= MOST_BYTES:
        piece = response.read(_PIECE)
        content += piece
        if not piece:
            if response.length:
                raise http.client.IncompleteRead(bytes(content), response.length)
            return bytes(content)
    raise EndlessError(f"its answer has more than {MOST_BYTES >> 20} MiB")


def _is_spent(connection: http.client.HTTPConnection) -> bool:
    """Between two requests a server has nothing to say but that it closed the connection."""
    return bool(select.select([connection.sock], [], [], 0)[0])
