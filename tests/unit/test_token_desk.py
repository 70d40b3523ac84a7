"""The token key of a home folder: in use, replaced, or unusable without any harm to the rest."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from callpoint.adapters.identity.nonces import StoreNonceBook
from callpoint.adapters.keys.files import KeyUse, create_keys, stage_key
from callpoint.adapters.keys.files import promote_key as put_into_use
from callpoint.bootstrap.key_change import with_key
from callpoint.bootstrap.tokens import token_desk
from callpoint.domain.token import Binding, certificate_thumbprint, confirmation
from callpoint.lifecycle.exchange import Wish, exchange
from callpoint.lifecycle.introspect import introspect
from callpoint.lifecycle.token_desk import TokenDesk
from tests.fakes.world import World, make_world

ORIGINS = ("https://callpoint.example",)
WISH = confirmation(Binding.CERTIFICATE, certificate_thumbprint(b"alice"))


@pytest.fixture
async def world(tmp_path: Path) -> World:
    made = await make_world()
    public = create_keys(tmp_path / "keys", log_name="callpoint/tstinc")
    facts = msgspec.structs.replace(made.services.installation, token_key=public.token_key)
    return replace(made, services=replace(made.services, installation=facts))


def desk(world: World, home: Path, lines: list[Any] | None = None) -> TokenDesk | None:
    kept: list[Any] = [] if lines is None else lines

    def keep(_: Any, __: str, line: Any) -> str:
        kept.append(line)
        return str(line)

    logger = structlog.wrap_logger(structlog.ReturnLogger(), processors=[keep])
    services = world.services
    book = StoreNonceBook(services.store, services.clock)
    return token_desk(home, services, book, ORIGINS, None, logger)


async def test_a_token_outlives_a_rotation_of_its_key(world: World, tmp_path: Path):
    """What the key before signed counts until it ends; a third key's rotation forgets it."""
    await world.incident()
    found, alice = await world.active(), world.caller("alice")
    first = desk(world, tmp_path)
    assert first is not None
    token = (await exchange(first, alice, Wish(found.id, WISH))).token
    for is_readable in (True, False):
        staged = stage_key(tmp_path / "keys", KeyUse.TOKEN)
        put_into_use(tmp_path / "keys", KeyUse.TOKEN)
        facts = with_key(world.services.installation, KeyUse.TOKEN, staged)
        world = replace(world, services=replace(world.services, installation=facts))
        later = desk(world, tmp_path)
        assert later is not None
        assert (await introspect(later, alice, token) is not None) == is_readable


@pytest.mark.parametrize("harm", ["missing", "broken", "another"])
async def test_a_token_key_that_cannot_be_used(world: World, tmp_path: Path, harm: str):
    """The server goes on without tokens, and its log says why."""
    file, lines = tmp_path / "keys" / "token.key", list[Any]()
    match harm:
        case "missing":
            file.unlink()
        case "broken":
            file.write_text("broken")
        case _:
            create_keys(tmp_path / "other", log_name="callpoint/tstinc")
            file.write_bytes((tmp_path / "other" / "token.key").read_bytes())
    assert desk(world, tmp_path, lines) is None
    assert [line["event"] for line in lines] == ["no_token_key"]
