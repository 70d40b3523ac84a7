"""What is wrong now, for ``callpoint doctor``."""

from litestar import Controller, get

from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import GivenCaller, signed
from callpoint.api.surface import GivenSurface
from callpoint.lifecycle.diagnose import Diagnosis, diagnose


class DiagnosisController(Controller):
    """One route."""

    path = "/v1/diagnosis"
    guards = (signed,)
    tags = ("status",)

    @get(responses=PROBLEMS, summary="What is wrong now, with the next step")
    async def diagnosis(self, surface: GivenSurface, caller: GivenCaller) -> Diagnosis:
        """Asks every target, all together and within a time limit; changes nothing there."""
        return await diagnose(surface.services, caller, surface.unusable(), beside=surface.beside)
