"""The HTTP API over a test world: real signatures, real store, in this process."""

import hashlib
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callpoint.adapters.denials.compact import CompactDenialTokens
from callpoint.adapters.identity.nonces import MemoryNonceBook, StoreNonceBook
from callpoint.adapters.identity.signatures import SignatureAuthenticator
from callpoint.adapters.incidents.alertmanager import AlertmanagerFeed
from callpoint.adapters.incidents.tokens import authenticate_source
from callpoint.adapters.stores.sqlite.store import SqliteStore
from callpoint.api.app import make_app
from callpoint.api.surface import Surface
from callpoint.cli.signing import sign_request
from callpoint.config.soundness import check_bundle
from callpoint.domain.problem import URN
from callpoint.ports.stores import Store
from tests.fakes.clock import SimulatedClock
from tests.fakes.keys import Ed25519Checker, MemoryLogSigner, Signer
from tests.fakes.signals import make_desk as signal_desk
from tests.fakes.token_desk import KEY, make_desk
from tests.fakes.world import INSTALLATION, ORIGIN, World

ADDRESS = "http://callpoint.example"


async def open_sqlite(folder: Path, clock: SimulatedClock) -> SqliteStore:
    """The embedded store of the test installation."""
    return await SqliteStore.open(
        folder / "store.db",
        signer=MemoryLogSigner(ORIGIN),
        clock=clock,
        checkpoint_file=folder / "checkpoint",
        origin=ORIGIN,
        installation=INSTALLATION,
    )


def private_key(name: str) -> Ed25519PrivateKey:
    """The key whose public half ``tests.fakes.keys.Signer(name)`` has."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


class Face:
    """The API of a world, and requests that its people sign.

    Attributes:
        lines: What the server logged.
        client: For requests that nobody signs.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.lines: list[dict[str, Any]] = []
        services = world.services
        store: Store = services.store
        logger = structlog.wrap_logger(
            structlog.ReturnLogger(),
            processors=[self._keep],
            wrapper_class=structlog.make_filtering_bound_logger("info"),
        )
        self.surface = Surface(
            services=services,
            authenticator=SignatureAuthenticator(
                lambda: services.rules.last_proven,
                StoreNonceBook(store, services.clock),
                services.clock,
                origins=(ADDRESS,),
            ),
            authenticate_source=authenticate_source,
            feeds={"alertmanager": AlertmanagerFeed(logger)},
            check=check_bundle,
            unusable=dict,
            logger=logger,
            version="0",
            on_sight=MemoryNonceBook(services.clock),
            pending_nonces=StoreNonceBook(store, services.clock).pending,
            origins=(ADDRESS,),
            tokens=make_desk(services, ADDRESS),
            denials=CompactDenialTokens(Signer(KEY), Ed25519Checker()),
            signals=signal_desk(world),
        )
        self.app = make_app(self.surface)
        served: Any = self.app  # Litestar and httpx write ASGI's types differently
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=served, raise_app_exceptions=False),
            base_url=ADDRESS,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.client.aclose()

    def request(
        self, who: str, method: str, path: str, message: object = None, body: bytes | None = None
    ) -> httpx.Request:
        """A signed request; sent twice it is a replay."""
        if body is None:
            body = msgspec.json.encode(message) if message is not None else b""
        request = self.client.build_request(
            method, path, content=body, headers={"content-type": "application/json"}
        )
        signed = sign_request(
            method,
            str(request.url),
            body,
            principal=who,
            key=private_key(who),
            now=self.world.services.clock.now(),
            nonce=self.world.services.random.token(16),
        )
        request.headers.update(signed)
        return request

    async def call(
        self, who: str, method: str, path: str, message: object = None
    ) -> httpx.Response:
        """Sign and send."""
        return await self.client.send(self.request(who, method, path, message))

    async def get(self, who: str, path: str) -> Any:
        """The answer's JSON; it must be a success."""
        answer = await self.call(who, "GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, who: str, path: str, message: object = None) -> Any:
        """The answer's JSON; it must be a success."""
        answer = await self.call(who, "POST", path, message)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def _keep(self, _: Any, level: str, line: Any) -> str:
        self.lines.append({"level": level, **line})
        return json.dumps(str(line))


def kind_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and kind of a problem."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    return answer.status_code, problem["type"].removeprefix(URN)
