"""Sessions through gateways: who looks at them, ends one, and lets them go on."""

from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody

from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import GivenCaller, signed
from callpoint.api.session_messages import (
    Resumption,
    SessionList,
    SessionView,
    session_view,
    spent_view,
)
from callpoint.api.surface import GivenSurface
from callpoint.domain.activation import Activation
from callpoint.domain.decision import Action
from callpoint.domain.errors import RequestError
from callpoint.domain.ids import parse_activation
from callpoint.domain.session import Resumed, Session
from callpoint.domain.spending import Spending
from callpoint.lifecycle.gate import enforce_on
from callpoint.lifecycle.resume import resume
from callpoint.lifecycle.session_stop import stop_session
from callpoint.ports.stores import View, Where

_LEAST, _MOST = 10, 500
"""Characters of a reason: as much as a reader of the evidence needs, and can read."""


class SessionController(Controller):
    """What passes a gateway, seen from above."""

    path = "/v1"
    guards = (signed,)
    tags = ("sessions",)

    @get(
        "/activations/{activation:str}/sessions",
        responses=PROBLEMS,
        summary="Sessions of an activation, and what they have spent",
    )
    async def listed(
        self, surface: GivenSurface, caller: GivenCaller, activation: FromPath[str]
    ) -> SessionList:
        """The newest first."""
        parse_activation(activation)
        services = surface.services
        rules = await services.rules.current()
        found = await services.store.read(lambda view: view.get(Activation, activation))
        await enforce_on(services, caller, rules, Action.ACTIVATION_VIEW, found)

        def read(view: View) -> SessionList:
            rows = view.select(Session, Where(parent=found.id, newest=True))
            return SessionList(
                activation=found.id,
                now=view.now(),
                sessions=tuple(session_view(row) for row in rows),
                allowance=found.request.spends,
                spent=spent_view(view.find(Spending, found.id)),
            )

        return await services.store.read(read)

    @post(
        "/activations/{activation:str}/sessions/resume",
        status_code=200,
        responses=PROBLEMS,
        summary="Let go on what a spent allowance has stopped",
    )
    async def resume(
        self,
        surface: GivenSurface,
        caller: GivenCaller,
        activation: FromPath[str],
        data: JSONBody[Resumption],
    ) -> Resumed:
        """By a person who does not stand behind the request; grants the whole allowance again."""
        parse_activation(activation)
        because = data.because.strip()
        if not _LEAST <= len(because) <= _MOST:
            raise RequestError(
                f"the reason has {len(because)} characters",
                way_out=f"say in {_LEAST} to {_MOST} characters what you looked at",
            )
        return await resume(surface.services, caller, activation, because)

    @post(
        "/sessions/{session:str}/end",
        status_code=200,
        responses=PROBLEMS,
        summary="End one session; the access goes on",
    )
    async def end(
        self, surface: GivenSurface, caller: GivenCaller, session: FromPath[str]
    ) -> SessionView:
        """By any person, or by its own principal. Policy is not asked."""
        return session_view(await stop_session(surface.services, caller, session))
