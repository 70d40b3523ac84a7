"""The kill switch. It asks no policy and needs no bundle that loads (I11)."""

from litestar import Controller, post
from litestar.params import JSONBody

from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import GivenCaller, signed
from callpoint.api.messages import KillOrder
from callpoint.api.surface import GivenSurface
from callpoint.lifecycle.kill import Killed, kill


class KillController(Controller):
    """One route."""

    path = "/v1/kill"
    guards = (signed,)
    tags = ("kill",)

    @post(
        status_code=200,
        responses=PROBLEMS,
        summary="End an activation, a principal, a target, an incident, or all",
    )
    async def kill(
        self, surface: GivenSurface, caller: GivenCaller, data: JSONBody[KillOrder]
    ) -> Killed:
        """Ends and revokes before answering; names what is not yet proven dead."""
        return await kill(surface.services, caller, data.scope, data.about)
