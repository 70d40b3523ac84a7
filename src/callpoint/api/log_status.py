"""The log as its operator must know it, and asking its witnesses now."""

from datetime import datetime

from litestar import Controller, get, post

from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import signed
from callpoint.api.log_messages import AskedView, LogView, WitnessView
from callpoint.api.surface import GivenSurface, Surface
from callpoint.audit.entry import EntryError, parse_entry, parse_time
from callpoint.domain.errors import CallpointError, NotFoundError
from callpoint.domain.witnessing import Watch, Witnessing
from callpoint.lifecycle.proof import newest_checkpoint
from callpoint.lifecycle.published import published, read_note, watched
from callpoint.lifecycle.seen_by import Sighting, sightings
from callpoint.ports.stores import View


class LogStatusController(Controller):
    """For every principal: whoever is on call must see why nothing is issued."""

    path = "/v1/log"
    guards = (signed,)
    tags = ("log",)

    @get("/status", responses=PROBLEMS, summary="Size, witnesses, what waits, what is missing")
    async def status(self, surface: GivenSurface) -> LogView:
        """A log that cannot be signed now answers all the same."""
        services = surface.services
        waiting = await services.store.merge_spool()
        works = await services.store.log_works()
        watching = watched(services)
        desk = surface.witness
        logs = await desk.known() if desk is not None else {}

        def read(view: View) -> LogView:
            newest = newest_checkpoint(view, services.installation)
            shown = published(view, newest.origin, watching)
            last = view.log_slice(newest.size - 1, 1)
            seen = sightings(view, services.installation, watching)
            return LogView(
                origin=newest.origin,
                size=newest.size,
                root=newest.root,
                logged_at=_moment(last[0].leaf) if last else None,
                now=view.now(),
                works=works,
                waiting=waiting,
                kept=_kept(surface),
                published=shown.checkpoint.size,
                cosigned_by=shown.witnesses,
                quorum=watching.quorum,
                within=int(watching.within.total_seconds()),
                witnesses=tuple(_witness(view, watching, one) for one in seen),
                witness_key=desk.key if desk is not None else "",
                logs=logs,
            )

        return await services.store.read(read)

    @post("/witness", status_code=200, responses=PROBLEMS, summary="Ask every witness now")
    async def ask(self, surface: GivenSurface) -> AskedView:
        """For whoever has just repaired one; the server asks by itself all the time."""
        if surface.ask_witnesses is None:
            raise NotFoundError("this process asks no witnesses")
        asked = await surface.ask_witnesses()
        return AskedView(
            size=asked.size,
            answers={
                name: f"{watch.answer}: {watch.detail}" if watch.detail else str(watch.answer)
                for name, watch in sorted(asked.answers.items())
            },
        )


def _witness(view: View, watching: Witnessing, seen: Sighting) -> WitnessView:
    witness = watching.witnesses[seen.name]
    watch = view.find(Watch, witness.key_name)
    return WitnessView(
        name=seen.name,
        url=witness.url,
        size=seen.size,
        seen_at=seen.at,
        counts=seen.counts,
        answer=str(watch.answer) if watch else "",
        detail=watch.detail if watch else "",
    )


def _kept(surface: Surface) -> int | None:
    """Size of the checkpoint outside the database; one that cannot be read counts as none."""
    try:
        note = surface.kept()
        return None if note is None else read_note(note.decode("utf-8", "replace")).size
    except CallpointError:
        return None


def _moment(leaf: bytes) -> datetime | None:
    try:
        return parse_time(parse_entry(leaf).at)
    except EntryError:
        return None
