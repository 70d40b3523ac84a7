"""The overview: what is open, what is stuck, what is late, and whether anything can be issued."""

from dataclasses import dataclass

from litestar import Controller, get

from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import GivenCaller, signed
from callpoint.api.messages import LogStatus, OverdueReview, StatusView
from callpoint.api.surface import GivenSurface
from callpoint.api.views import lease_view
from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.errors import CallpointError
from callpoint.domain.governance import InForce
from callpoint.domain.lease import Lease, LeaseState
from callpoint.lifecycle.gate import may_view
from callpoint.lifecycle.node import trouble as trouble_of
from callpoint.lifecycle.proof import newest_checkpoint
from callpoint.lifecycle.rules import Rules
from callpoint.lifecycle.services import Services
from callpoint.ports.identity import Caller
from callpoint.ports.stores import View, Where

_ALL = 1_000_000


class StatusController(Controller):
    """One route."""

    path = "/v1/status"
    guards = (signed,)
    tags = ("status",)

    @get(responses=PROBLEMS, summary="The overview")
    async def status(self, surface: GivenSurface, caller: GivenCaller) -> StatusView:
        """Counts are for every principal; what is listed by name, for who may see it.

        It answers with a broken policy and a tampered bundle too, and says so in ``trouble``.
        """
        services = surface.services
        rules, trouble = await _rules(services)
        waiting = await services.store.merge_spool()
        works = await services.store.log_works()
        if not works:
            trouble = (*trouble, "the event log cannot be signed: nothing is issued meanwhile")
        trouble = (*trouble, *trouble_of(services.node))
        looking = _Looking(services, caller, rules)

        def read(view: View) -> StatusView:
            # By state, so that it costs what is open or waits for a review, not all that ever was.
            ended = view.select(Activation, Where(states=(ActivationState.ENDED,), limit=_ALL))
            ending = view.select(Lease, Where(states=(LeaseState.ENDING,), limit=_ALL))
            pointer = view.find(InForce, "bundle")
            stuck = (x for x in ending if x.last_error and looking.sees(view, x.activation))
            return StatusView(
                installation=services.installation.id,
                trial=services.installation.trial,
                now=view.now(),
                configuration=pointer.number if pointer else 0,
                configuration_digest=pointer.digest if pointer else "",
                activations=view.count_states(Activation),
                leases=view.count_states(Lease),
                stuck=tuple(lease_view(lease) for lease in stuck),
                overdue=tuple(_overdue(view, looking, ended)),
                log=LogStatus(works=works, size=_size(view, services), waiting=waiting),
                targets=dict(surface.unusable()),
                trouble=trouble,
            )

        return await services.store.read(read)


@dataclass(frozen=True)
class _Looking:
    """Who looks, and under which rules; without rules nothing can be shown by name."""

    services: Services
    caller: Caller
    rules: Rules | None

    def sees(self, view: View, activation: str) -> bool:
        if self.rules is None:
            return False
        found = view.find(Activation, activation)
        return found is not None and may_view(view, self.services, self.caller, self.rules, found)


async def _rules(services: Services) -> tuple[Rules | None, tuple[str, ...]]:
    try:
        return await services.rules.current(), ()
    except CallpointError as error:
        return None, (str(error),)


def _overdue(
    view: View, looking: _Looking, activations: tuple[Activation, ...]
) -> list[OverdueReview]:
    now = view.now()
    late = [
        (a, a.review)
        for a in activations
        if a.review is not None and a.review.overdue(now) and looking.sees(view, a.id)
    ]
    return [
        OverdueReview(
            activation=a.id,
            deadline=review.next_deadline() or review.close_by,
            reviewers=a.request.reviewers,
        )
        for a, review in late
    ]


def _size(view: View, services: Services) -> int:
    """Entries under the newest checkpoint; 0 when it does not verify (``trouble`` says so)."""
    try:
        return newest_checkpoint(view, services.installation).size
    except CallpointError:
        return 0
