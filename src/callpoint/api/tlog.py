"""The log as C2SP tlog-tiles: one URL prefix a standard client can be pointed at.

The prefix is ``/tlog/<origin>/``, so each origin is a log of its own: after a recovery the former
one still answers with what a loss has left of it (ADR 0003), and the new one begins beside it with
the same leaves. Checkpoints and hash tiles are public. Entries name persons' ids and systems, so
their bundles need the auditor's right, as ``/v1/log/entries`` does.
"""

from typing import Any

from litestar import Controller, MediaType, Request, Response, get

from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import GivenCaller, signed
from callpoint.api.surface import GivenSurface
from callpoint.audit.merkle import ProofError
from callpoint.audit.tiles import TILE_WIDTH, Tile, entries_path, has_tile, parse_tile
from callpoint.domain.decision import Action
from callpoint.domain.errors import NotFoundError, TamperError
from callpoint.lifecycle import facts
from callpoint.lifecycle.published import Shown, published, read_note, watched
from callpoint.ports.stores import View

PREFIX = "/tlog/callpoint"
BYTES = "application/octet-stream"

_FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}
_NEVER = {"cache-control": "no-store"}
_LENGTH = 2
_PARTS = ("log", "generation")


class TlogController(Controller):
    """Checkpoint, hash tiles, entry bundles."""

    path = PREFIX
    tags = ("log",)

    @get(
        ["/{log:str}/checkpoint", "/{log:str}/{generation:str}/checkpoint"],
        media_type=MediaType.TEXT,
        responses=PROBLEMS,
        summary="tlog-tiles: the checkpoint",
    )
    async def checkpoint(
        self, request: Request[Any, Any, Any], surface: GivenSurface
    ) -> Response[bytes]:
        """The newest that enough witnesses cosigned; without witnesses the newest."""
        origin = _origin(request)
        _must_be_spelled(request, origin, "checkpoint")
        watching = watched(surface.services)

        def read(view: View) -> Shown:
            return published(view, origin, watching)

        shown = await surface.services.store.read(read)
        return Response(shown.note.encode(), media_type=MediaType.TEXT, headers=_NEVER)

    @get(
        [
            "/{log:str}/tile/{level:str}/{place:path}",
            "/{log:str}/{generation:str}/tile/{level:str}/{place:path}",
        ],
        media_type=BYTES,
        responses=PROBLEMS,
        summary="tlog-tiles: a tile of hashes",
    )
    async def tile(self, request: Request[Any, Any, Any], surface: GivenSurface) -> Response[bytes]:
        """A tile never changes, also a partial one: its width stands in its name."""
        origin, tile = _origin(request), _tile(request, request.path_params["level"])
        _must_be_spelled(request, origin, tile.path)

        def read(view: View) -> bytes:
            _must_exist(view, origin, tile)
            return b"".join(view.tile(tile.level, tile.n, tile.width))

        content = await surface.services.store.read(read)
        return Response(content, media_type=BYTES, headers=_FOR_EVER)

    @get(
        [
            "/{log:str}/tile/entries/{place:path}",
            "/{log:str}/{generation:str}/tile/entries/{place:path}",
        ],
        guards=[signed],
        media_type=BYTES,
        responses=PROBLEMS,
        summary="tlog-tiles: an entry bundle",
    )
    async def entries(
        self,
        request: Request[Any, Any, Any],
        surface: GivenSurface,
        caller: GivenCaller,
    ) -> Response[bytes]:
        """Up to 256 entries, each behind its length in two bytes."""
        origin, tile = _origin(request), _tile(request, "0")
        _must_be_spelled(request, origin, entries_path(tile.n, tile.width))
        services = surface.services
        rules = await services.rules.current()
        now = await services.store.read(lambda view: view.now())
        who = facts.actor(caller, rules.configuration)
        await services.pep.enforce(rules, [facts.plain_question(Action.LOG_READ, who, now)])

        def read(view: View) -> bytes:
            _must_exist(view, origin, tile)
            return _bundle(view, tile)

        return Response(await services.store.read(read), media_type=BYTES, headers=_NEVER)


def _origin(request: Request[Any, Any, Any]) -> str:
    """Without a generation it is the installation's first."""
    found = request.path_params
    return "/".join(("callpoint", *(found[part] for part in _PARTS if part in found)))


def _tile(request: Request[Any, Any, Any], level: str) -> Tile:
    try:
        return parse_tile(level, str(request.path_params["place"]).removeprefix("/"))
    except ProofError as error:
        raise NotFoundError(str(error)) from error


def _must_be_spelled(request: Request[Any, Any, Any], origin: str, resource: str) -> None:
    """One resource has one address: no percent-encoding, no second slash, no slash at the end."""
    if request.scope["raw_path"] != f"/tlog/{origin}/{resource}".encode():
        raise NotFoundError(f"its address is /tlog/{origin}/{resource}")


def _must_exist(view: View, origin: str, tile: Tile) -> None:
    """The newest signed tree of the origin has it: nothing unsigned is ever shown."""
    newest = view.newest_of(origin)
    if not newest or not has_tile(read_note(newest).size, tile):
        raise NotFoundError("the log has no such tile")


def _bundle(view: View, tile: Tile) -> bytes:
    part = view.log_slice(tile.n * TILE_WIDTH, tile.width)
    if len(part) != tile.width:
        raise TamperError(f"the log has a hole in entry bundle {tile.n}")
    return b"".join(len(e.leaf).to_bytes(_LENGTH, "big") + e.leaf for e in part)
