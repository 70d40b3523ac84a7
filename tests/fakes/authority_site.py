"""The authority's API behind a real socket, and gateways that ask it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import msgspec
import uvicorn

from callpoint.adapters.clock.system import SystemClock, SystemRandom
from callpoint.adapters.identity.nonces import StoreNonceBook
from callpoint.adapters.identity.signatures import SignatureAuthenticator
from callpoint.api.app import make_app
from callpoint.cli.signing import sign_request
from callpoint.domain.configuration import Configuration
from callpoint.domain.gateway import POSTGRESQL, Gateway
from callpoint.gateways.authority import RemoteAuthority, Sign, carrier
from callpoint.ports.authority import Authority
from tests.fakes.face import Face, private_key
from tests.fakes.keys import Signer
from tests.fakes.scripted_authority import ScriptedAuthority
from tests.fakes.token_desk import KEY
from tests.fakes.world import World, make_world

GATEWAY, PRINCIPAL = "front", "deployer"


def guarded(rules: Configuration) -> Configuration:
    """``GATEWAY`` with ``PRINCIPAL``'s key; where there was none, beside one inside the server."""
    if (there := rules.known_gateways.get(GATEWAY)) is not None:
        mine = msgspec.structs.replace(there, principal=PRINCIPAL)
        return msgspec.structs.replace(rules, gateways={**rules.known_gateways, GATEWAY: mine})
    named = [Gateway(GATEWAY, POSTGRESQL, "gateway.example", 6432, "verify-full", PRINCIPAL)]
    named.append(msgspec.structs.replace(named[0], id="inside", principal=""))
    return msgspec.structs.replace(rules, gateways={gateway.id: gateway for gateway in named})


@dataclass
class Site:
    """A server that decides for gateways as a ``ScriptedAuthority`` says.

    Attributes:
        lines: What the server logged.
    """

    world: World
    authority: ScriptedAuthority
    address: str
    lines: list[dict[str, Any]]
    http: httpx.AsyncClient

    def sign(self, who: str = PRINCIPAL) -> Sign:
        """Signs as that principal."""
        return lambda method, url, body: sign_request(
            method,
            url,
            body,
            principal=who,
            key=private_key(who),
            now=SystemClock().now(),
            nonce=SystemRandom().token(16),
        )

    def remote(
        self, who: str = PRINCIPAL, gateway: str = GATEWAY, servers: tuple[str, ...] = ()
    ) -> RemoteAuthority:
        """A gateway's authority."""
        servers = servers or (self.address,)
        return RemoteAuthority(self.http, servers, gateway, self.sign(who), SystemClock())


@asynccontextmanager
async def authority_site(
    origin: str = "",
    decides: Authority | Callable[[str], Authority] | None = None,
    world: World | None = None,
    also: tuple[str, ...] = (),
    token_key: str = KEY,
) -> AsyncIterator[Site]:
    """The site.

    Args:
        origin: What the server says its address is, instead of the true one.
        decides: Instead of the scripted authority: for every gateway, or one for each by its name.
        world: Instead of a new one; its rules must be ``guarded``.
        also: Further addresses of the server, of a proxy for instance.
        token_key: The name of its token key; empty: it has none.
    """
    world = world or await make_world(adapt=guarded)
    face = Face(world)
    authority = ScriptedAuthority(world.services.live)
    services = world.services
    # Its protocol is named: asyncio switches Nagle's algorithm off only where it knows that.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        surface = replace(
            face.surface,
            authority=_each(decides or authority.of),
            origins=(origin or address,),
            line_signer=Signer(token_key) if token_key else None,
            authenticator=SignatureAuthenticator(
                lambda: services.rules.last_proven,
                StoreNonceBook(services.store, services.clock),
                SystemClock(),  # gateways in processes of their own sign, too
                origins=(address, *also),
            ),
        )
        async with carrier() as http, answering(surface, listener):
            yield Site(world, authority, address, face.lines, http)


def _each(decides: Authority | Callable[[str], Authority]) -> Callable[[str], Authority]:
    return decides if callable(decides) else lambda _: decides


@asynccontextmanager
async def answering(surface: Any, listener: socket.socket) -> AsyncIterator[None]:
    """The application on a socket that is listened on, until the end."""
    async with served(make_app(surface), listener):
        try:
            yield
        finally:
            surface.services.live.close()


@asynccontextmanager
async def served(app: Any, listener: socket.socket, **settings: Any) -> AsyncIterator[None]:
    """Any ASGI application, likewise; ``settings`` are uvicorn's."""
    server = _Server(
        uvicorn.Config(
            app, lifespan="off", log_config=None, ws="none", access_log=False, **settings
        )
    )
    async with asyncio.TaskGroup() as group:
        ended = group.create_task(server.serve(sockets=[listener]))
        await server.answers.wait()
        try:
            yield
        finally:
            server.should_exit = True
            await ended


class _Server(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()
