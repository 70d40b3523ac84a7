"""Logging in to a host over SSH: pinned host keys, time limits, and what each failure proves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncssh
import msgspec

from callpoint.adapters.targets.ssh.keys import Pair, read_public
from callpoint.ports.targets import Attempt, ProbeResult

LOGIN_SECONDS = 5
PUBLICKEY = "publickey"
"""The code of a refusal: what OpenSSH calls ``Permission denied (publickey)``."""

_CLOSE_SECONDS = 1


class Door(msgspec.Struct, frozen=True):
    """Where to log in, and the only host keys that are believed."""

    host: str
    port: int
    host_keys: tuple[str, ...]


@asynccontextmanager
async def connected(
    door: Door, username: str, private: str, certificate: str = ""
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """An authenticated connection, closed at the end. Errors as ``opened``."""
    connection = await opened(door, username, private, certificate)
    try:
        yield connection
    finally:
        await closed(connection)


async def opened(
    door: Door, username: str, private: str, certificate: str = ""
) -> asyncssh.SSHClientConnection:
    """An authenticated connection.

    Raises:
        asyncssh.PermissionDenied: sshd answered that this key does not let in.
        asyncssh.Error, OSError, ValueError: Nothing is known.
    """
    key = asyncssh.import_private_key(private)
    own = (key, asyncssh.import_certificate(certificate)) if certificate else key
    pinned = [found for found in map(read_public, door.host_keys) if found is not None]
    return await asyncssh.connect(
        door.host,
        door.port,
        username=username,
        client_keys=[own],
        known_hosts=(pinned, [], []),
        # Nothing of this machine's: no configuration, no agent, no other way to log in.
        config=None,
        agent_path=None,
        preferred_auth=("publickey",),
        gss_host=None,
        x509_trusted_certs=None,
        connect_timeout=LOGIN_SECONDS,
        login_timeout=LOGIN_SECONDS,
    )


async def closed(connection: asyncssh.SSHClientConnection) -> None:
    """Say goodbye within a second; a goodbye never fails a call."""
    connection.close()
    with suppress(asyncssh.Error, OSError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await connection.wait_closed()


async def attempt(door: Door, username: str, pair: Pair) -> ProbeResult:
    """Log in and leave at once, without a channel: no command runs. Never raises for an answer."""
    try:
        async with connected(door, username, pair.private, pair.certificate):
            return ProbeResult(Attempt.ACCEPTED, "ok")
    except asyncssh.PermissionDenied:
        return ProbeResult(Attempt.REFUSED, PUBLICKEY)
    except asyncssh.HostKeyNotVerifiable:
        return ProbeResult(Attempt.UNKNOWN, "host-key")
    except (asyncssh.Error, OSError, ValueError):  # a time-out is an OSError
        return ProbeResult(Attempt.UNKNOWN)
