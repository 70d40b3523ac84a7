"""A gateway and what ends its sessions: inside the server, or in a process of its own.

What a gateway needs is here alone. A process that runs only this has no store, no way to a target
but what it is handed for a session, and no key of the log: an import contract forbids the code.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TextIO

import structlog

from callpoint.adapters.clock.system import SystemClock, SystemRandom
from callpoint.adapters.journals.files import FileJournal
from callpoint.adapters.tokens.jose import JoseGrantReader
from callpoint.bootstrap.journal import make_logger
from callpoint.bootstrap.stopping import stopped_by_signals
from callpoint.config.listeners import AuthorityPlace, PostgresListener
from callpoint.domain.errors import ConfigError
from callpoint.gateways.authority import RemoteAuthority, Sign, carrier
from callpoint.gateways.offline import OfflineKit
from callpoint.gateways.postgres.gateway import PostgresGateway
from callpoint.gateways.postgres.settings import GatewaySettings, Limits
from callpoint.ports.authority import LOSS, Authority
from callpoint.ports.clock import Clock, Random


@dataclass(frozen=True)
class Surroundings:
    """What a gateway needs of its process."""

    clock: Clock
    random: Random
    logger: structlog.typing.FilteringBoundLogger


async def run_postgres(
    authority: Authority,
    listener: PostgresListener,
    around: Surroundings,
    *,
    say: Callable[[str], None],
    stop: asyncio.Event,
    lost_after: timedelta = LOSS,
) -> None:
    """Until ``stop`` is set; then no session is left.

    Args:
        authority: Decides for this gateway.
        listener: Where clients connect.
        around: The process.
        say: Told the address once it answers.
        stop: When to end.
        lost_after: Without an answer of the authority for so long every session is cut.

    Raises:
        ConfigError: The address cannot be listened on, or certificate or key cannot be used.
    """
    journal = _journal(listener, around)
    gateway = PostgresGateway(
        authority,
        _settings(listener, lost_after),
        around.clock,
        around.random,
        around.logger,
        OfflineKit(journal, JoseGrantReader) if journal is not None else None,
    )

    def listening(port: int) -> None:
        host = f"[{listener.host}]" if ":" in listener.host else listener.host
        around.logger.info("gateway_listens", gateway=listener.name, address=f"{host}:{port}")
        say(f"{host}:{port}")

    try:
        await gateway.serve(stop, listening)
    finally:
        if journal is not None:
            journal.close()


async def run_alone(
    place: AuthorityPlace,
    listener: PostgresListener,
    sign: Sign,
    stream: TextIO,
    say: Callable[[str], None],
) -> None:
    """A gateway for PostgreSQL as a whole process, until SIGTERM or SIGINT.

    Args:
        place: Where it asks.
        listener: Where clients connect.
        sign: Signs requests with the gateway's key.
        stream: Where the log goes.
        say: Told the address once it answers.

    Raises:
        ConfigError: The address cannot be listened on, or a certificate or key cannot be used.
    """
    clock, stop = SystemClock(), asyncio.Event()
    around = Surroundings(clock, SystemRandom(), make_logger(clock, stream))
    trusted = Path(place.certificates) if place.certificates else None
    async with carrier(trusted) as http:
        authority = RemoteAuthority(
            http, place.servers, listener.name, sign, clock, place.token_keys
        )
        with stopped_by_signals(stop):
            await run_postgres(
                authority, listener, around, say=say, stop=stop,
                lost_after=timedelta(seconds=place.lost_after),
            )  # fmt: skip
    around.logger.info("stopped")


def _journal(listener: PostgresListener, around: Surroundings) -> FileJournal | None:
    """Without one no session ever goes on without the authority, and the rest is served."""
    if not listener.journal:
        return None
    try:
        return FileJournal(Path(listener.journal), around.random)
    except ConfigError as error:
        around.logger.error("no_offline_journal", detail=str(error))  # noqa: TRY400 -- ours
        return None


def _settings(listener: PostgresListener, lost_after: timedelta) -> GatewaySettings:
    return GatewaySettings(
        name=listener.name,
        host=listener.host,
        port=listener.port,
        certificate=listener.tls_certificate,
        key=listener.tls_key,
        target_roots=listener.target_certificates,
        search_path=listener.search_path,
        lost_after=lost_after,
        limits=Limits(connections=listener.connections),
    )
