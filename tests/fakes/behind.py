"""A world whose targets are behind a gateway, and what a client does with a connection secret."""

import base64
import hashlib
import hmac

import msgspec

from callpoint.domain.configuration import Configuration
from callpoint.domain.connection import Connection, Offered
from callpoint.domain.gateway import POSTGRESQL, Gateway
from callpoint.lifecycle.connection import Wish, offer, offered, spend
from callpoint.ports.authority import Greeting
from tests.fakes.world import World

GATEWAY = "front"
SOURCE = "192.0.2.7"
ELSEWHERE = "192.0.2.8"
MOCK_KEY = bytes(range(32))


def behind(rules: Configuration) -> Configuration:
    """The same configuration with every target behind ``GATEWAY``; for ``make_world``."""
    gateway = Gateway(GATEWAY, POSTGRESQL, "gateway.example", 6432, "verify-full")
    return msgspec.structs.replace(
        rules,
        gateways={GATEWAY: gateway},
        targets={
            name: msgspec.structs.replace(target, gateway=GATEWAY)
            for name, target in rules.targets.items()
        },
    )


async def connect(
    world: World, activation: str, who: str = "alice", **changes: str | int
) -> Offered:
    """Obtain a connection secret."""
    wish = msgspec.structs.replace(Wish(SOURCE), **changes)
    return await offer(world.services, world.caller(who), activation, wish)


async def spent(
    world: World, connection: str, source: str = SOURCE, gateway: str = GATEWAY
) -> Connection:
    """What the authority does with the secret of somebody who has proven to know it."""
    store = world.services.store
    seen = await store.read(lambda view: offered(view, world.services, connection))
    return await store.transact(lambda tx: spend(tx, seen, source, gateway))


def fits(greeting: Greeting, secret: str) -> bool:
    """Whether a client that knows ``secret`` passes SCRAM against the greeting (RFC 5802)."""
    salted = hashlib.pbkdf2_hmac("sha256", secret.encode(), greeting.salt, greeting.iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return (hashlib.sha256(client_key).digest(), server_key) == (
        greeting.stored_key,
        greeting.server_key,
    )


def words_of(value: object) -> bytes:
    """Everything that an answer or a row tells, with what is base64 in it decoded beside it."""
    text = msgspec.json.encode(value)
    plain = [text]
    for word in msgspec.json.decode(text, type=dict[str, msgspec.Raw]).values():
        raw = bytes(word).strip(b'"')
        try:
            plain.append(base64.b64decode(raw, validate=True))
        except ValueError:
            continue
    return b"\n".join(plain)
