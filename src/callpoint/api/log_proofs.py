"""Proofs about the log, for everybody: they say nothing but that a hash is in a tree."""

import re
from typing import Annotated

from litestar import Controller, get
from litestar.params import QueryParameter

from callpoint.api.answers import PROBLEMS
from callpoint.api.log_messages import ConsistencyView, InclusionView
from callpoint.api.surface import GivenSurface
from callpoint.audit.merkle import leaf_hash
from callpoint.domain.errors import NotFoundError, RequestError
from callpoint.lifecycle.proof import newest_checkpoint
from callpoint.lifecycle.published import newest_shown, published, watched
from callpoint.ports.stores import View

_HASH = re.compile(r"[0-9a-f]{64}")

Index = Annotated[int | None, QueryParameter(ge=0, description="The entry's place in the log.")]
Leaf = Annotated[
    str | None, QueryParameter(description="Or its leaf hash, 64 lower-case hex digits.")
]
Old = Annotated[int, QueryParameter(ge=0, description="The smaller size.")]
New = Annotated[int | None, QueryParameter(ge=0, description="The larger; default: the newest.")]


class ProofController(Controller):
    """Nobody is asked who he is."""

    path = "/v1/log"
    tags = ("log",)

    @get("/proof", responses=PROBLEMS, summary="That an entry is in the log")
    async def inclusion(
        self, surface: GivenSurface, index: Index = None, leaf: Leaf = None
    ) -> InclusionView:
        """Under the checkpoint that outsiders are shown, or under the newest for a newer entry."""
        if (index is None) == (leaf is None):
            raise RequestError("name the entry by index or by leaf hash, one of them")
        if index is None:
            index = await _find(surface, leaf or "")
        services, wanted = surface.services, index
        watching = watched(services)

        def read(view: View) -> InclusionView:
            origin = newest_checkpoint(view, services.installation).origin
            shown = published(view, origin, watching)
            if wanted >= shown.checkpoint.size:
                shown = newest_shown(view, origin, watching)
            proof = view.inclusion(wanted, shown.checkpoint.size)
            (entry,) = view.log_slice(wanted, 1)
            return InclusionView(
                index=wanted,
                leaf_hash=leaf_hash(entry.leaf),
                proof=proof,
                checkpoint=shown.note,
            )

        return await services.store.read(read)

    @get("/consistency", responses=PROBLEMS, summary="That the log was only added to")
    async def consistency(
        self, surface: GivenSurface, old: Old, new: New = None
    ) -> ConsistencyView:
        """Between two sizes of which the caller knows the roots."""
        services = surface.services
        watching = watched(services)

        def read(view: View) -> ConsistencyView:
            newest = newest_checkpoint(view, services.installation)
            larger = newest.size if new is None else new
            return ConsistencyView(
                old=old,
                new=larger,
                proof=view.consistency(old, larger),
                checkpoint=newest_shown(view, newest.origin, watching).note,
            )

        return await services.store.read(read)


async def _find(surface: GivenSurface, leaf: str) -> int:
    """One search at a time: it reads every hash, and anybody may ask for it."""
    if not _HASH.fullmatch(leaf):
        raise RequestError("a leaf hash is 64 lower-case hexadecimal digits")
    async with surface.searches:
        found = await surface.services.store.read(lambda view: view.find_leaf(bytes.fromhex(leaf)))
    if found is None:
        raise NotFoundError("no entry of the log has this leaf hash")
    return found
