"""``callpoint serve``: API, workers and sequencer in one process."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import uvicorn

from callpoint.api.app import make_app
from callpoint.bootstrap.authorities import Authorities
from callpoint.bootstrap.crew import make_crew
from callpoint.bootstrap.home import Home
from callpoint.bootstrap.outside import Outside
from callpoint.bootstrap.process import Process, open_process
from callpoint.bootstrap.shell_word import shell_word
from callpoint.bootstrap.signals import signal_desk
from callpoint.bootstrap.stopping import stopped_by_signals
from callpoint.bootstrap.surface import surface_of
from callpoint.bootstrap.tokens import offline_grants
from callpoint.config.listeners import PostgresListener
from callpoint.config.settings import Settings
from callpoint.domain.address import is_loopback
from callpoint.domain.errors import CallpointError, ConfigError, RequestError, UnavailableError
from callpoint.lifecycle.signal_desk import SignalDesk

_BACKLOG = 512
_LOG_HALTED = (
    "the event log cannot be signed: nothing is given, taking away goes on (whoever asks for"
    " something is told why; the page on recovery says what to do)"
)
_SWITCH = 0.0005
"""Seconds that a busy thread keeps others waiting while a gateway runs here."""
_NO_STORE = (
    "the store does not answer: only `callpoint kill` works, from what this server and the targets"
    " know; it goes on by itself when the store is back"
)


@dataclass(frozen=True)
class Ready:
    """The server answers.

    Attributes:
        address: Where, for clients on this machine.
        trial: One governor alone rules.
        trouble: What is not as it should be, one line each; empty is good.
    """

    address: str
    installation: str
    trial: bool
    trouble: tuple[str, ...]


async def serve(
    settings: Settings, outside: Outside, say: Callable[[Ready], None], *, stop: asyncio.Event
) -> None:
    """Serve until ``stop`` is set or the process is asked to end (SIGTERM, SIGINT).

    What is under way may finish within ``settings.stop_for``.

    Raises:
        UnavailableError: The address cannot be listened on.
        CallpointError: The process cannot be built; see ``open_process``.
        ConfigError: The home folder holds no installation, or one that its governors did not sign.
    """
    home = Home(settings.home)
    if home.is_proposed:
        raise ConfigError(
            "the first configuration is not signed yet",
            file=str(home.proposal),
            way_out=f"governors: `callpoint sign {shell_word(home.proposal)} --key KEYFILE`; then"
            f" `callpoint init --home {shell_word(settings.home)} --signatures FILE …`",
        )
    home.installation()  # a wrong folder is told before a taken address
    with _listening(settings.host, settings.port) as listener:
        address = _address(listener)
        async with open_process(settings, outside) as process:
            origins = settings.public or _loopback_origins(address)
            signals = signal_desk(process, origins, stop)
            server = _Server(process, origins, signals)
            with stopped_by_signals(stop):
                await _run(
                    process, server, listener, stop, lambda: say(_ready(process, address, server))
                )


async def _run(
    process: Process,
    server: "_Server",
    listener: socket.socket,
    stop: asyncio.Event,
    say: Callable[[], None],
) -> None:
    """First rules and connectors, then everything at once; the last to stop is the webhook."""
    settings = process.settings
    await server.prepare()
    async with asyncio.TaskGroup() as group:
        posting = group.create_task(process.webhook.run()) if process.webhook else None
        async with asyncio.TaskGroup() as inner:
            if process.held is None:
                inner.create_task(_work(process, server.signals, stop))
                inner.create_task(server.record(stop), name="recorder")
                if settings.gateway is not None:
                    inner.create_task(server.guard(settings.gateway, stop), name="gateway")
            inner.create_task(server.answer(listener, stop, say))
            await stop.wait()
            # A stream that never ends would hold the server up until its grace is over.
            process.services.live.close()
            server.should_exit = True
        if posting is not None:
            posting.cancel()
    process.logger.info("stopped")


async def _work(process: Process, signals: SignalDesk | None, stop: asyncio.Event) -> None:
    """The crew; of a process that began without its store, first what it can do without."""
    crew = make_crew(process, signals)
    if process.late is not None:
        await crew.run_without_store(process.find_store(stop))
    await crew.run(stop)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: stopping is this process's business."""

    def __init__(
        self, process: Process, origins: tuple[str, ...], signals: SignalDesk | None
    ) -> None:
        self._process = process
        self.signals = signals
        grants = offline_grants(process.settings.home, process.services)
        self._authorities = Authorities(process.services, grants)
        surface = replace(
            surface_of(process, origins), signals=signals, authority=self._authorities.of
        )
        stop_for = process.settings.stop_for.total_seconds()
        self._said: Callable[[], None] = _nothing
        self.trouble: tuple[str, ...] = ()
        super().__init__(
            uvicorn.Config(
                make_app(surface),
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                # Nothing here reads who the peer is, so nobody can forge it either.
                proxy_headers=False,
                timeout_graceful_shutdown=max(1, int(stop_for)),
            )
        )

    async def prepare(self) -> None:
        """Load the rules, and see whether the log works; neither stops the server, only giving."""
        services = self._process.services
        if self._process.held is not None:
            self._process.logger.error("held", detail=str(self._process.held))
            self.trouble = (str(self._process.held),)
            return
        if self._process.late is not None:
            self._process.logger.error("store_silent")
            self.trouble = (_NO_STORE,)
            return
        try:
            await self._process.follow()
        except CallpointError as error:
            self._process.logger.exception("rules_not_loaded", detail=str(error))
            self.trouble = (str(error),)
            await services.rules.refresh()  # without any, nobody is authenticated
        if not await services.store.log_works():
            self._process.logger.error("log_halted")
            self.trouble = (*self.trouble, _LOG_HALTED)

    async def answer(
        self, listener: socket.socket, stop: asyncio.Event, say: Callable[[], None]
    ) -> None:
        """Serve; whatever ends it ends the process."""
        self._said = say
        try:
            await self.serve(sockets=[listener])
        finally:
            stop.set()

    async def record(self, stop: asyncio.Event) -> None:
        """Put on record what gateways were answered beside it; whatever ends it ends the process.

        A gateway in this process ends its sessions when it stops, and each end writes what waits.
        """
        try:
            await self._authorities.run(stop)
        finally:
            stop.set()

    async def guard(self, listener: PostgresListener, stop: asyncio.Event) -> None:
        """Run the gateway that ``server.toml`` names; whatever ends it ends the process."""
        # The parser of SQL is not loaded where there is no gateway.
        from callpoint.bootstrap.gateway import Surroundings, run_postgres

        process = self._process
        around = Surroundings(process.services.clock, process.services.random, process.logger)
        authority = self._authorities.of(listener.name)
        # A loop that passes rows on is busy in Python, and the store's threads, a kill's among
        # them, wait a whole interval for each of their steps: with the usual 5 ms, for seconds.
        sys.setswitchinterval(_SWITCH)
        try:
            home = process.settings.home
            if not listener.journal:
                listener = replace(listener, journal=str(home / "offline" / listener.name))
            await run_postgres(authority, listener, around, say=lambda _: None, stop=stop)
        finally:
            stop.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._said()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: see ``stopping``."""
        yield


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A bound socket, so that the address is known before anything else is built."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _not_listening(host, port, error) from error
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
            listener.listen(_BACKLOG)
        except OSError as error:
            raise _not_listening(host, port, error) from error
        yield listener


def _not_listening(host: str, port: int, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"{host}:{port} cannot be listened on: {error.strerror}",
        way_out="stop what listens there, or name another address with --listen",
    )


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _loopback_origins(address: str) -> tuple[str, ...]:
    """The address as people write it on this machine."""
    port = address.rpartition(":")[2]
    return tuple(dict.fromkeys((address, f"http://127.0.0.1:{port}", f"http://localhost:{port}")))


def _ready(process: Process, address: str, server: _Server) -> Ready:
    unusable = [f"target {name}: {why}" for name, why in process.connectors.unusable.items()]
    unusable += _unknown_gateway(process)
    installation = process.services.installation
    return Ready(
        address=address,
        installation=installation.id,
        trial=installation.trial,
        trouble=(*server.trouble, *unusable),
    )


def _unknown_gateway(process: Process) -> list[str]:
    """Nobody is let in at a gateway that the configuration does not have."""
    listener, rules = process.settings.gateway, process.services.rules
    if listener is None or not rules.number:
        return []
    if listener.name in rules.last_proven.known_gateways:
        return []
    return [f"gateway {listener.name}: the configuration has no [gateways.{listener.name}]"]


def with_listen(settings: Settings, host: str, port: int) -> Settings:
    """The same settings on another address (``--listen``).

    Raises:
        RequestError: Not a loopback address, and no proxy in front ends TLS.
    """
    if not settings.behind_proxy and not is_loopback(host):
        raise RequestError(
            f"{host} is not a loopback address, and Callpoint itself speaks no TLS",
            way_out="end TLS in a proxy and write behind_proxy = true in server.toml",
        )
    return replace(settings, host=host, port=port)


def _nothing() -> None:
    """Nobody waits."""
