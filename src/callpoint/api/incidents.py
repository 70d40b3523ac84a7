"""Incidents: declared and confirmed by persons, delivered by sources, resolved by either."""

from typing import Any

from litestar import Controller, Request, get, post
from litestar.params import FromPath, JSONBody

from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import GivenCaller, signed
from callpoint.api.messages import LISTED, IncidentList, IncidentView, Received
from callpoint.api.surface import GivenSurface
from callpoint.api.views import incident_view
from callpoint.domain.declaration import Declaration
from callpoint.domain.errors import UnavailableError
from callpoint.domain.incident import Incident
from callpoint.lifecycle import incidents
from callpoint.lifecycle.services import Services
from callpoint.ports.stores import View, Where


class IncidentController(Controller):
    """What persons say."""

    path = "/v1/incidents"
    guards = (signed,)
    tags = ("incidents",)

    @get(responses=PROBLEMS, summary="The newest incidents")
    async def listed(self, surface: GivenSurface, caller: GivenCaller) -> IncidentList:  # noqa: ARG002 -- any principal may: who asks must name one
        """Newest first; an incident is no secret inside an installation."""
        return await surface.services.store.read(_newest)

    @post(responses=PROBLEMS, summary="Declare an incident")
    async def declare(
        self, surface: GivenSurface, caller: GivenCaller, data: JSONBody[Declaration]
    ) -> IncidentView:
        """It opens nothing before another person confirms it."""
        made = await incidents.declare(surface.services, caller, data)
        return await _shown(surface.services, made)

    @post(
        "/{incident:str}/confirm",
        status_code=200,
        responses=PROBLEMS,
        summary="Confirm an incident",
    )
    async def confirm(
        self, surface: GivenSurface, caller: GivenCaller, incident: FromPath[str]
    ) -> IncidentView:
        """Another person than the one who declared it."""
        made = await incidents.confirm(surface.services, caller, incident)
        return await _shown(surface.services, made)

    @post(
        "/{incident:str}/resolve",
        status_code=200,
        responses=PROBLEMS,
        summary="Resolve an incident",
    )
    async def resolve(
        self, surface: GivenSurface, caller: GivenCaller, incident: FromPath[str]
    ) -> IncidentView:
        """Every activation that it justified ends now; policy is not asked."""
        made = await incidents.resolve(surface.services, caller, incident)
        return await _shown(surface.services, made)


class WebhookController(Controller):
    """What sources deliver; they prove themselves with a bearer token."""

    path = "/v1/webhooks"
    tags = ("incidents",)

    @post(
        "/{source:str}",
        status_code=200,
        responses=PROBLEMS,
        summary="A delivery of an incident source",
    )
    async def receive(
        self, surface: GivenSurface, request: Request[Any, Any, Any], source: FromPath[str]
    ) -> Received:
        """Firing ones open, the others resolve; members that are not ours are passed over."""
        configuration = await surface.services.rules.refresh()
        proven = surface.authenticate_source(
            configuration, source, request.headers.get("authorization")
        )
        feed = surface.feeds.get(proven.kind)
        if feed is None:
            raise UnavailableError(f"this server reads no deliveries of kind {proven.kind}")
        body = await request.body()
        held = await incidents.report(surface.services, proven, feed.parse(proven, body), body)
        return Received(incidents=tuple(incident.id for incident in held))


def _newest(view: View) -> IncidentList:
    newest = view.select(Incident, Where(newest=True, limit=LISTED))
    return IncidentList(incidents=tuple(incident_view(view, incident) for incident in newest))


async def _shown(services: Services, made: Incident) -> IncidentView:
    return await services.store.read(lambda view: incident_view(view, made))
