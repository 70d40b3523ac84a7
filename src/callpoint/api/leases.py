"""A target that is gone for good: two governors say so, and its leases close."""

from litestar import Controller, post
from litestar.params import FromPath, JSONBody

from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import GivenCaller, signed
from callpoint.api.messages import Attestation, Attested
from callpoint.api.surface import GivenSurface
from callpoint.lifecycle.attest import NEEDED, attest


class LeaseController(Controller):
    """One route."""

    path = "/v1/leases"
    guards = (signed,)
    tags = ("leases",)

    @post(
        "/{lease:str}/attest",
        status_code=200,
        responses=PROBLEMS,
        summary="A governor says that the lease's target no longer exists",
    )
    async def attest(
        self,
        surface: GivenSurface,
        caller: GivenCaller,
        lease: FromPath[str],
        data: JSONBody[Attestation],
    ) -> Attested:
        """Tries the target once more first; the second person's word closes the lease."""
        held = await attest(surface.services, caller, lease, data.because)
        return Attested(
            lease=held.id,
            target=held.plan.target,
            state=held.state,
            attested_by=held.attested_by,
            needed=NEEDED,
        )
