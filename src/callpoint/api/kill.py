"""The kill switch. It asks no policy, needs no bundle that loads (I11), and no store (I13)."""

from typing import Any

from litestar import Controller, Request, post
from litestar.params import JSONBody

from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import GivenCaller, signed_for_a_kill
from callpoint.api.messages import KillOrder
from callpoint.api.surface import GivenSurface
from callpoint.domain.kill import Killed
from callpoint.domain.tombstone import SIGNED_FIELDS, SignedOrder
from callpoint.lifecycle.kill_without_store import kill_anyhow
from callpoint.ports.identity import SignedRequest


class KillController(Controller):
    """One route."""

    path = "/v1/kill"
    guards = (signed_for_a_kill,)
    tags = ("kill",)

    @post(
        status_code=200,
        responses=PROBLEMS,
        summary="End an activation, a principal, a target, an incident, or all",
    )
    async def kill(
        self,
        request: Request[Any, Any, Any],
        surface: GivenSurface,
        caller: GivenCaller,
        data: JSONBody[KillOrder],
    ) -> Killed:
        """Ends and revokes before answering; names what is not yet proven dead.

        While the store does not answer it works from what the server and the targets know, says so
        (``without_store``), and leaves a tombstone: nothing is given before that is merged.
        """
        order = _order(request.state.order, surface.origins)
        answers: bool = request.state.store_answers
        return await kill_anyhow(
            surface.services, caller, data.scope, data.about, order, store_answers=answers
        )


def _order(received: SignedRequest, origins: tuple[str, ...]) -> SignedOrder:
    """What a tombstone keeps of the request."""
    return SignedOrder(
        method=received.method,
        url=received.url,
        headers={name: received.headers[name] for name in SIGNED_FIELDS},
        body=received.body,
        origins=origins,
    )
