"""What everybody may read: whose log this is, its newest checkpoint, and that the process lives."""

from litestar import Controller, MediaType, Response, get

from callpoint.api.answers import PROBLEMS
from callpoint.api.messages import Health, InstallationView
from callpoint.api.surface import GivenSurface
from callpoint.domain.errors import LogUnavailableError
from callpoint.lifecycle.published import newest_shown, read_note, watched
from callpoint.ports.stores import View


class PublicController(Controller):
    """No signature is asked for, and nothing here is about a person."""

    tags = ("installation",)

    @get("/healthz", responses=PROBLEMS, summary="The process answers")
    async def health(self) -> Health:
        """Nothing is looked at: a dead store must not restart what still revokes."""
        return Health()

    @get("/v1/installation", responses=PROBLEMS, summary="Whose log this is")
    async def installation(self, surface: GivenSurface) -> InstallationView:
        """The pinned facts."""
        found = surface.services.installation
        return InstallationView(
            id=found.id,
            origin=found.origin,
            log_key=found.log_key,
            trial=found.trial,
            version=surface.version,
        )

    @get(
        "/v1/checkpoint",
        media_type=MediaType.TEXT,
        responses=PROBLEMS,
        summary="The newest checkpoint",
    )
    async def checkpoint(self, surface: GivenSurface) -> Response[str]:
        """The signed note, with whatever cosignatures it has by now, for whoever keeps some."""
        services = surface.services
        watching = watched(services)

        def read(view: View) -> str:
            note = view.checkpoint()
            if not note:
                raise LogUnavailableError("the log has no checkpoint yet")
            return newest_shown(view, read_note(note).origin, watching).note

        note = await services.store.read(read)
        return Response(note, media_type=MediaType.TEXT, headers={"cache-control": "no-store"})
