"""The guard that keeps unit tests off the network."""

import asyncio
import socket

import pytest


@pytest.mark.parametrize("name", ["connect", "connect_ex", "bind"])
def test_internet_socket_is_refused(name: str) -> None:
    """A unit test that connects or binds on the network fails, with the way out."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock,
        pytest.raises(pytest.fail.Exception, match="tests/integration"),
    ):
        getattr(sock, name)(("127.0.0.1", 9))


async def test_asyncio_connection_is_refused() -> None:
    """The guard also holds for connections that asyncio opens."""
    with pytest.raises(pytest.fail.Exception, match="tests/integration"):
        await asyncio.open_connection("127.0.0.1", 9)


def test_unix_pair_is_allowed() -> None:
    """An event loop can still make the socket pair that it wakes itself with."""
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"x")
        assert right.recv(1) == b"x"
