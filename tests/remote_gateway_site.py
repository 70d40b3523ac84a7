"""As ``whole_gateway_site``, with a gateway that runs alone, and a proxy between it and its server.

The gateway is a process with one key of its own. The proxy ends TLS: a test says what it does to
what passes. The server's API is behind it on a socket, its authority and its log are real.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from callpoint.domain.allowance import Allowance
from callpoint.domain.configuration import Configuration
from callpoint.lifecycle.session_recorder import Recorder
from callpoint.ports.authority import Opened
from tests.fakes.authority_site import GATEWAY, Site, authority_site, guarded
from tests.fakes.behind import behind
from tests.fakes.in_the_middle import Middle, in_the_middle
from tests.integration.test_gateway_alone import Alone, alone
from tests.servers import FreshDatabase
from tests.whole_gateway_site import HERE, SpyingAuthority, WholeSite, open_whole

OTHER, OTHERS_PRINCIPAL = "back", "fixer"


def remote(rules: Configuration) -> Configuration:
    """Every target behind ``GATEWAY``, which runs alone; beside it one with another key."""
    made = guarded(behind(rules))
    front = made.known_gateways[GATEWAY]
    back = msgspec.structs.replace(front, id=OTHER, principal=OTHERS_PRINCIPAL)
    return msgspec.structs.replace(made, gateways={GATEWAY: front, OTHER: back})


@dataclass
class Remote:
    """All of it.

    Attributes:
        whole: Target, store, log, people.
        site: The server.
        middle: The proxy.
        authorities: By gateway, as the server has them.
        folder: For a gateway's files.
    """

    whole: WholeSite
    site: Site
    middle: Middle
    authorities: dict[str, SpyingAuthority]
    folder: Path

    def gateway(self, lost_after: int = 15, *token_keys: str) -> AbstractAsyncContextManager[Alone]:
        """A process that asks through the proxy; killed at the end."""
        more = f'certificates = "{self.middle.certificate}"\nlost_after = {lost_after}\n'
        if token_keys:
            more += f"token_keys = {list(token_keys)}\n"
        return alone(self.folder, self.middle.address, more=more)

    @property
    def opened(self) -> list[Opened]:
        """Sessions, with what the gateway was handed."""
        return self.authorities[GATEWAY].opened

    async def login(self, gateway: Alone, activation: str) -> Any:
        """asyncpg through it, as alice."""
        await gateway.logged("authority_heard")
        made = await self.whole.offer(activation)
        return await asyncpg.connect(
            host=HERE, port=gateway.port, user=made.connection.id, password=made.secret,
            database=made.database, timeout=10, ssl=False,
        )  # fmt: skip

    async def items(self) -> set[int]:
        """What is in the table."""
        return {row["id"] for row in await self.whole.site.owner.fetch("SELECT id FROM items")}


@asynccontextmanager
async def open_remote(
    database: FreshDatabase,
    folder: Path,
    spends: Allowance | None = None,
    adapt: Callable[[Configuration], Configuration] = remote,
) -> AsyncIterator[Remote]:
    """Everything up but the gateway, and what records beside the answer."""
    authorities: dict[str, SpyingAuthority] = {}
    async with (
        open_whole(database, folder, spends=spends, processes=0, adapt=adapt) as whole,
        in_the_middle(folder) as middle,
    ):
        services = whole.world.services

        def authority(gateway: str) -> SpyingAuthority:
            if gateway not in authorities:
                made = SpyingAuthority(services, gateway, Recorder(services))
                authorities[gateway] = made
            return authorities[gateway]

        async with (
            authority_site(decides=authority, world=whole.world, also=(middle.address,)) as site,
            middle.passing(site.address),
        ):
            yield Remote(whole, site, middle, authorities, folder)
