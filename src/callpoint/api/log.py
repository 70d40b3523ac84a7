"""The event log, read in order by who has the auditor's right."""

from typing import Annotated

from litestar import Controller, get
from litestar.params import QueryParameter

from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import GivenCaller, signed
from callpoint.api.messages import PAGE, LogEntries, LogEntry
from callpoint.api.surface import GivenSurface
from callpoint.domain.decision import Action
from callpoint.lifecycle import facts
from callpoint.lifecycle.proof import newest_checkpoint
from callpoint.lifecycle.published import newest_shown, watched
from callpoint.ports.stores import View

Start = Annotated[int, QueryParameter(ge=0, description="Index of the first entry.")]
Limit = Annotated[int, QueryParameter(ge=1, le=PAGE, description="At most so many entries.")]


class LogController(Controller):
    """Entries; checkpoints are public (``/v1/checkpoint``)."""

    path = "/v1/log"
    guards = (signed,)
    tags = ("log",)

    @get("/entries", responses=PROBLEMS, summary="Entries from `start` on")
    async def entries(
        self,
        surface: GivenSurface,
        caller: GivenCaller,
        start: Start = 0,
        limit: Limit = PAGE,
    ) -> LogEntries:
        """All of one answer are under the checkpoint that comes with them."""
        services = surface.services
        rules = await services.rules.current()
        now = await services.store.read(lambda view: view.now())
        who = facts.actor(caller, rules.configuration)
        await services.pep.enforce(rules, [facts.plain_question(Action.LOG_READ, who, now)])

        watching = watched(services)

        def read(view: View) -> LogEntries:
            checkpoint = newest_checkpoint(view, services.installation)
            part = view.log_slice(start, limit)
            return LogEntries(
                checkpoint=newest_shown(view, checkpoint.origin, watching).note,
                size=checkpoint.size,
                entries=tuple(LogEntry(index=entry.index, leaf=entry.leaf) for entry in part),
            )

        return await services.store.read(read)
