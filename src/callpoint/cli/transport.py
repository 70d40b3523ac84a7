"""One request carried to the server, and its answer back: HTTP/1.1 by the standard library.

A client with connection pools, proxies and redirects takes a sixth of a second to load, and most
commands send three small requests. Nothing here follows a redirect, or a proxy of the environment:
that one would see, and could hold back, a kill.
"""

import http.client
import select
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

CONNECT_TIMEOUT = 5.0
"""Seconds until a server that does not answer at all is called unreachable."""

ANSWER_TIMEOUT = 180.0
"""Seconds for an answer: revoking waits for targets, each call up to 15 s (ports.targets)."""


class UnreachedError(Exception):
    """There was no connection, so nothing was sent."""


class UnansweredError(Exception):
    """The request may have arrived: what it asked for may have been done."""


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
                content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise UnansweredError(str(error) or type(error).__name__) from error
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, content)

    def close(self) -> None:
        """End the connection; the next request opens another one."""
        self._connection.close()

    def _connected(self) -> http.client.HTTPConnection:
        connection = self._connection
        if connection.sock is not None and not _is_spent(connection):
            return connection
        connection.close()
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:  # a name that DNS cannot say is a UnicodeError
            connection.close()
            raise UnreachedError(str(error) or "timed out") from error
        connection.sock.settimeout(ANSWER_TIMEOUT)
        return connection


def _is_spent(connection: http.client.HTTPConnection) -> bool:
    """Between two requests a server has nothing to say but that it closed the connection."""
    return bool(select.select([connection.sock], [], [], 0)[0])
