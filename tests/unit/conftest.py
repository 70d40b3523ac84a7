"""Unit tests cannot reach a network: whoever tries is told to write another kind of test."""

import socket

import pytest


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connect and bind except on UNIX sockets, which an event loop needs for itself."""

    def guarded(name: str):
        real = getattr(socket.socket, name)

        def guard(sock: socket.socket, *args: object) -> object:
            if sock.family != socket.AF_UNIX:
                pytest.fail(f"a unit test called socket.{name}{args}: use tests/integration")
            return real(sock, *args)

        return guard

    for name in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, name, guarded(name))
