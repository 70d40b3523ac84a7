"""The accounts of targets, for who has the auditor's right."""

from typing import Annotated

from litestar import Controller, get
from litestar.params import QueryParameter

from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import GivenCaller, signed
from callpoint.api.surface import GivenSurface
from callpoint.lifecycle.posture import Posture, posture

Name = Annotated[str, QueryParameter(description="Only this target.")]


class PostureController(Controller):
    """One route."""

    path = "/v1/posture/targets"
    guards = (signed,)
    tags = ("posture",)

    @get(responses=PROBLEMS, summary="Which accounts exist, and what is wrong with them")
    async def targets(
        self, surface: GivenSurface, caller: GivenCaller, target: Name = ""
    ) -> Posture:
        """Asks every target, all together and within a time limit; changes nothing there."""
        return await posture(surface.services, caller, surface.unusable(), target=target)
