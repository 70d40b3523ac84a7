"""Activations: each verb of the life cycle is one route, and answers with the activation."""

from typing import Annotated

from litestar import Controller, MediaType, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import GivenCaller, signed
from callpoint.api.messages import (
    LISTED,
    ActivationList,
    ActivationView,
    Credentials,
    Return,
    StatementView,
)
from callpoint.api.surface import GivenSurface
from callpoint.api.views import activation_view, show
from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.approval import Verdict, Vote
from callpoint.domain.decision import Action
from callpoint.domain.errors import DeniedError
from callpoint.domain.ids import parse_activation
from callpoint.domain.request import Ask
from callpoint.domain.review import Judgement
from callpoint.evidence.bundle import encode, evidence_bundle
from callpoint.lifecycle import approve, facts, give_back, issue, request, review, use
from callpoint.lifecycle.gate import enforce_on, may_view
from callpoint.lifecycle.proof import newest_checkpoint
from callpoint.lifecycle.published import newest_shown, published, watched
from callpoint.lifecycle.services import Services
from callpoint.ports.identity import Caller
from callpoint.ports.stores import View, Where

_ALL = 1_000_000

States = Annotated[list[ActivationState] | None, QueryParameter(name="state")]


class ActivationController(Controller):
    """From request to review."""

    path = "/v1/activations"
    guards = (signed,)
    tags = ("activations",)

    @post(responses=PROBLEMS, summary="1 Ask for an activation")
    async def request(
        self, surface: GivenSurface, caller: GivenCaller, data: JSONBody[Ask]
    ) -> ActivationView:
        """It grants nothing: it opens a vote."""
        made = await request.request(surface.services, caller, data)
        return await show(surface.services, made.id)

    @get(responses=PROBLEMS, summary="The newest activations that the caller may see")
    async def listed(
        self,
        surface: GivenSurface,
        caller: GivenCaller,
        states: States = None,
        mine: FromQuery[bool] = False,  # noqa: FBT002 -- a query parameter
    ) -> ActivationList:
        """Newest first."""
        services = surface.services
        rules = await services.rules.current()

        def read(view: View) -> ActivationList:
            among = Where(states=tuple(states or ()), newest=True, limit=_ALL if mine else LISTED)
            newest = view.select(Activation, among)
            chosen = [a for a in newest if not mine or give_back.is_own(caller, a)][:LISTED]
            seen = [a for a in chosen if may_view(view, services, caller, rules, a)]
            shown = (
                activation_view(view, rules.configuration, a, voided=not rules.covers(a.request))
                for a in seen
            )
            return ActivationList(activations=tuple(shown))

        return await services.store.read(read)

    @get("/{activation:str}", responses=PROBLEMS, summary="One activation")
    async def read(
        self, surface: GivenSurface, caller: GivenCaller, activation: FromPath[str]
    ) -> ActivationView:
        """What happened, what happens next, and whose turn it is."""
        await _enforce(surface.services, caller, activation, Action.ACTIVATION_VIEW)
        return await show(surface.services, activation)

    @get("/{activation:str}/statement", responses=PROBLEMS, summary="What the caller would sign")
    async def statement(
        self,
        surface: GivenSurface,
        caller: GivenCaller,
        activation: FromPath[str],
        verdict: FromQuery[Verdict],
    ) -> StatementView:
        """For those who can vote. A no takes away, so policy is asked for a yes alone (I11)."""
        parse_activation(activation)
        services = surface.services
        made = await approve.statement(services, caller, activation, verdict)
        if verdict is Verdict.APPROVE:
            await _enforce(services, caller, activation, Action.ACTIVATION_VIEW)
        return StatementView(statement=made.body(), activation=await show(services, activation))

    @post("/{activation:str}/approve", status_code=200, responses=PROBLEMS, summary="2 Approve")
    async def approve(
        self,
        surface: GivenSurface,
        caller: GivenCaller,
        activation: FromPath[str],
        data: JSONBody[Vote],
    ) -> ActivationView:
        """A signed yes of a distinct natural person."""
        parse_activation(activation)
        await approve.approve(surface.services, caller, activation, data)
        return await show(surface.services, activation)

    @post("/{activation:str}/deny", status_code=200, responses=PROBLEMS, summary="2 Deny")
    async def deny(
        self,
        surface: GivenSurface,
        caller: GivenCaller,
        activation: FromPath[str],
        data: JSONBody[Vote],
    ) -> ActivationView:
        """A signed no; one is enough."""
        parse_activation(activation)
        await approve.deny(surface.services, caller, activation, data)
        return await show(surface.services, activation)

    @post(
        "/{activation:str}/withdraw",
        status_code=200,
        responses=PROBLEMS,
        summary="Take a request back",
    )
    async def withdraw(
        self, surface: GivenSurface, caller: GivenCaller, activation: FromPath[str]
    ) -> ActivationView:
        """Before it began."""
        parse_activation(activation)
        await give_back.withdraw(surface.services, caller, activation)
        return await show(surface.services, activation)

    @post(
        "/{activation:str}/issue",
        status_code=200,
        responses=PROBLEMS,
        summary="3 Take up what was approved",
    )
    async def issue(
        self, surface: GivenSurface, caller: GivenCaller, activation: FromPath[str]
    ) -> ActivationView:
        """Mints one dedicated credential for each target role."""
        parse_activation(activation)
        await issue.issue(surface.services, caller, activation)
        return await show(surface.services, activation)

    @post(
        "/{activation:str}/credentials",
        status_code=200,
        responses=PROBLEMS,
        summary="4 Fetch the sealed boxes",
    )
    async def credentials(
        self, surface: GivenSurface, caller: GivenCaller, activation: FromPath[str]
    ) -> Credentials:
        """As often as needed while it is active; only the requester's one-time key opens them."""
        parse_activation(activation)
        return Credentials(boxes=await use.reveal_all(surface.services, caller, activation))

    @post("/{activation:str}/return", status_code=200, responses=PROBLEMS, summary="5 Give it back")
    async def give_back(
        self,
        surface: GivenSurface,
        caller: GivenCaller,
        activation: FromPath[str],
        data: JSONBody[Return],
    ) -> ActivationView:
        """Ends it and revokes before answering; the incident may still be open."""
        parse_activation(activation)
        await give_back.give_back(surface.services, caller, activation, used=data.used)
        return await show(surface.services, activation)

    @post(
        "/{activation:str}/triage",
        status_code=200,
        responses=PROBLEMS,
        summary="6 Take a first look",
    )
    async def triage(
        self, surface: GivenSurface, caller: GivenCaller, activation: FromPath[str]
    ) -> ActivationView:
        """By somebody who neither used nor approved it."""
        parse_activation(activation)
        await review.triage(surface.services, caller, activation)
        return await show(surface.services, activation)

    @post(
        "/{activation:str}/review",
        status_code=200,
        responses=PROBLEMS,
        summary="6 Give the verdict",
    )
    async def review(
        self,
        surface: GivenSurface,
        caller: GivenCaller,
        activation: FromPath[str],
        data: JSONBody[Judgement],
    ) -> ActivationView:
        """Possible once every credential is proven dead."""
        parse_activation(activation)
        await review.close(surface.services, caller, activation, data)
        return await show(surface.services, activation)

    @get(
        "/{activation:str}/bundle",
        responses=PROBLEMS,
        summary="The evidence bundle",
        media_type=MediaType.JSON,
    )
    async def bundle(
        self, surface: GivenSurface, caller: GivenCaller, activation: FromPath[str]
    ) -> Response[bytes]:
        """For auditors, and for those who may review it; `callpoint verify bundle` reads it."""
        services = surface.services
        found = await _enforce_evidence(services, caller, activation)

        watching = watched(services)

        def read(view: View) -> bytes:
            origin = newest_checkpoint(view, services.installation).origin
            # Cosigned where witnesses have seen all of it already.
            best = [show(view, origin, watching).note for show in (published, newest_shown)]
            incident = found.request.incident
            return encode(
                evidence_bundle(view, services.installation.id, activation, incident, best)
            )

        return Response(await services.store.read(read), media_type=MediaType.JSON)


async def _enforce(
    services: Services, caller: Caller, activation: str, action: Action
) -> Activation:
    """The activation, if policy lets the caller do this with it."""
    parse_activation(activation)
    rules = await services.rules.current()
    found = await services.store.read(lambda view: view.get(Activation, activation))
    await enforce_on(services, caller, rules, action, found)
    return found


async def _enforce_evidence(services: Services, caller: Caller, activation: str) -> Activation:
    """Entries are for who may read the log; one activation's also for who may review it."""
    rules = await services.rules.current()
    now = await services.store.read(lambda view: view.now())
    who = facts.actor(caller, rules.configuration)
    if services.pep.may(rules, [facts.plain_question(Action.LOG_READ, who, now)]):
        parse_activation(activation)
        return await services.store.read(lambda view: view.get(Activation, activation))
    found = await _enforce(services, caller, activation, Action.REVIEW_RECORD)
    allowed = review.who_may_review(found, rules.configuration)
    if not allowed & set(caller.principal.persons):
        # Policy lets people review; which of them is the eligibility's word.
        raise DeniedError(
            f"the evidence of {found.id} is for auditors, and for those who may review it",
            way_out="ask one of: " + (", ".join(sorted(allowed)) or "(nobody)"),
        )
    return found
