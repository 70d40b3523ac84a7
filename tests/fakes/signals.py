"""Receivers of signals in this process: a world that tells them, tokens read back and checked."""

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from callpoint.adapters.signals.tokens import JwsEventTokens, key_id
from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import UnavailableError
from callpoint.domain.outbox import Outbox
from callpoint.domain.signal_stream import Delivery, SignalStream
from callpoint.lifecycle import give_back
from callpoint.lifecycle.poll_signals import Fetch, poll
from callpoint.lifecycle.push_signals import Pass, tend_stream
from callpoint.lifecycle.signal_desk import SignalDesk
from callpoint.lifecycle.sweep import sweep
from callpoint.ports.clock import Clock
from callpoint.ports.signals import Receipt
from callpoint.ports.stores import Store
from tests.fakes.clock import SeededRandom, SimulatedClock
from tests.fakes.keys import MemoryLogSigner, Signer
from tests.fakes.memory_store import MemoryStore
from tests.fakes.world import INSTALLATION, ORIGIN, World, assemble, found_world

ISSUER = "http://callpoint.example"
CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
TOKEN_KEY = Signer("token-key")


def pushed(name: str = "siem", **more: Any) -> SignalStream:
    """A stream that is pushed."""
    return SignalStream(
        name, Delivery.PUSH, f"https://{name}.example", url=f"https://{name}.example/in", **more
    )


def polled(name: str = "idp", **more: Any) -> SignalStream:
    """A stream that its receiver, the principal `deployer`, fetches."""
    return SignalStream(
        name, Delivery.POLL, f"https://{name}.example", **{"receiver": "deployer", **more}
    )


async def make_told(
    *streams: SignalStream,
    store: Store | None = None,
    clock: Clock | None = None,
    adapt: Callable[[Configuration], Configuration] = lambda rules: rules,
) -> World:
    """A founded world that tells these."""
    clock = clock or SimulatedClock(auto=True)
    store = store or MemoryStore(
        signer=MemoryLogSigner(ORIGIN), clock=clock, origin=ORIGIN, installation=INSTALLATION
    )
    world = assemble(store=store, clock=clock, random=SeededRandom(1), targets={}, adapt=adapt)
    rules = msgspec.structs.replace(
        world.bundle.configuration, signals={stream.id: stream for stream in streams}
    )
    world.bundle = msgspec.structs.replace(world.bundle, configuration=rules)
    await found_world(world)
    await world.services.rules.current()
    return world


class Receiver:
    """Implements ``ports.signals.Receivers`` for every stream.

    Attributes:
        taken: Stream to the tokens that it took, in order.
        away: Streams whose receiver does not answer.
        judge: Token's claims to the receipt; None takes it.
    """

    def __init__(self) -> None:
        self.taken: dict[str, list[str]] = {}
        self.away: set[str] = set()
        self.judge: Callable[[dict[str, Any]], Receipt | None] = lambda _: None

    async def push(self, stream: SignalStream, token: str) -> Receipt:
        if stream.id in self.away:
            raise UnavailableError(f"no answer from the receiver {stream.id} (ConnectError)")
        receipt = self.judge(claims(token)) or Receipt(202)
        if receipt.status == 202:
            self.taken.setdefault(stream.id, []).append(token)
        return receipt

    def told(self, stream: str = "siem") -> list[dict[str, Any]]:
        """The claims of what it took."""
        return [claims(token) for token in self.taken.get(stream, [])]


def make_desk(world: World, receiver: Receiver | None = None) -> SignalDesk:
    """The desk of a process."""
    tokens = JwsEventTokens(TOKEN_KEY)
    return SignalDesk(world.services, tokens, receiver or Receiver(), ISSUER)


def claims(token: str) -> dict[str, Any]:
    """What a token says whose signature is ours; anything else about it fails the test."""
    head, body, signature = token.split(".")
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(TOKEN_KEY.public))
    key.verify(_decoded(signature), f"{head}.{body}".encode())
    header = json.loads(_decoded(head))
    assert header == {"typ": "secevent+jwt", "alg": "Ed25519", "kid": key_id(TOKEN_KEY.public)}
    found: dict[str, Any] = json.loads(_decoded(body))
    return found


def kinds(told: list[dict[str, Any]]) -> list[str]:
    """The short names of the events, with the change of a credential."""
    found = []
    for one in told:
        ((uri, event),) = one["events"].items()
        name = uri.rpartition("/")[2]
        found.append(f"{name}:{event['change_type']}" if "change_type" in event else name)
    return found


async def outbox(world: World, stream: str = "siem") -> Outbox:
    """The row of a stream."""
    return await world.services.store.read(lambda view: view.get(Outbox, stream))


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


LIFE = ["session-established", "credential-change:create"]
END = ["session-revoked", "credential-change:revoke"]


async def push(desk: SignalDesk, stream: str = "siem") -> Pass:
    """One pass over the stream."""
    return await tend_stream(desk, (await desk.streams())[stream])


async def fetch(desk: SignalDesk, stream: str = "idp", **asked: Any) -> dict[str, dict[str, Any]]:
    """What a poll that does not wait gives, by ``jti``."""
    asked = {"waits": False, **asked}
    found = await poll(desk, (await desk.streams())[stream], Fetch(**asked))
    return {jti: claims(token) for jti, token in found.tokens.items()}


async def scene(*streams: Any, **more: Any) -> tuple[World, Receiver, SignalDesk]:
    """A world that tells these, with an incident."""
    world = await make_told(*(streams or (pushed(),)), **more)
    receiver = Receiver()
    await world.incident()
    return world, receiver, make_desk(world, receiver)


async def end(world: World, activation: str) -> None:
    """Given back, and dead."""
    await give_back.give_back(world.services, world.caller("alice"), activation)
    await sweep(world.services)
