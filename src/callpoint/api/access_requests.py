"""Asking for what was denied (AuthZEN Access Request and Approval Profile, draft 1).

A task is an activation, and every operation on it is the life cycle's own: this only translates.
The approval that a task ends with opens nothing; the decision that is asked for with it may.
"""

from typing import Any, cast

import msgspec
from litestar import Controller, MediaType, Request, Response, get, post
from litestar.params import FromPath

from callpoint.api.access_request_body import read_submission, submission_schema
from callpoint.api.access_request_messages import (
    ApprovalView,
    Links,
    Progress,
    Result,
    Task,
    TaskAnswer,
)
from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import GivenCaller, signed
from callpoint.api.evaluation_places import (
    CANCEL,
    MAX_BODY,
    PREFIX,
    REQUESTS,
    SCHEMA,
    read_json,
    served_at,
)
from callpoint.api.messages import ActivationView
from callpoint.api.surface import GivenSurface, Surface
from callpoint.api.views import show
from callpoint.domain.access_request import AccessRequestError, Fault
from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.decision import Action
from callpoint.domain.errors import (
    ConflictError,
    DeniedError,
    NotFoundError,
    RequestError,
    UnavailableError,
)
from callpoint.domain.ids import parse_activation
from callpoint.domain.problem import MEDIA_TYPE, Problem
from callpoint.lifecycle import give_back
from callpoint.lifecycle.access_request import submit
from callpoint.lifecycle.gate import enforce_on
from callpoint.ports.denials import DenialTokens
from callpoint.ports.identity import Caller

FAULT = "urn:openid:authzen:access-request:error:"

_POLL = "5"
_STATUS = {
    Fault.NOT_REQUESTABLE: (400, "The denial is not requestable"),
    Fault.EXPIRED_DENIAL: (410, "The denial has expired"),
    Fault.INVALID_DENIAL_BINDING: (400, "The request is not bound to this denial"),
    Fault.DUPLICATE_REQUEST: (409, "The Idempotency-Key was used before"),
    Fault.UNKNOWN_TASK: (404, "There is no such task"),
    Fault.INVALID_TASK_STATE: (409, "Not possible in this state"),
}


def of_access_request(_: Request[Any, Any, Any], error: AccessRequestError) -> Response[bytes]:
    """The profile's own problem types."""
    status, title = _STATUS[error.fault]
    problem = Problem(FAULT + error.fault, title, status, error.message, error.way_out)
    return Response(
        msgspec.json.encode(problem),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers={"cache-control": "no-store"},
    )


class AccessRequestController(Controller):
    """From a denial to an approval."""

    path = PREFIX + REQUESTS
    guards = (signed,)
    tags = ("decisions",)
    request_max_body_size = MAX_BODY
    exception_handlers = cast("Any", {AccessRequestError: of_access_request})

    @post(status_code=202, responses=PROBLEMS, summary="AuthZEN: ask for what was denied")
    async def submit(
        self, request: Request[Any, Any, Any], surface: GivenSurface, caller: GivenCaller
    ) -> Response[TaskAnswer]:
        """Asks for an activation, as ``POST /v1/activations`` does; the subject signs it."""
        tokens = _tokens(surface)
        base = served_at(surface.origins, request.headers.get("host", ""))
        submitted = read_submission(
            await read_json(request), caller, request.headers.get("idempotency-key", "")
        )
        if submitted.asked.action.name != Action.CREDENTIAL_REVEAL:
            raise AccessRequestError(
                Fault.NOT_REQUESTABLE,
                f"only a denied {Action.CREDENTIAL_REVEAL} can be asked for",
                way_out="submit only what was answered with context.access_request",
            )
        places = [origin.rstrip("/") for origin in surface.origins]
        made = await submit(surface.services, tokens, places, caller, submitted)
        answer = _answer(await show(surface.services, made.id), base)
        headers = {"location": answer.task.status_endpoint, "retry-after": _POLL}
        return Response(answer, status_code=202, headers=headers)

    @get("/{task:str}", responses=PROBLEMS, summary="AuthZEN: how far an access request is")
    async def status(
        self,
        request: Request[Any, Any, Any],
        surface: GivenSurface,
        caller: GivenCaller,
        task: FromPath[str],
    ) -> Response[TaskAnswer]:
        """For whoever may view the activation."""
        base = served_at(surface.origins, request.headers.get("host", ""))
        await _viewed(surface, caller, task)
        answer = _answer(await show(surface.services, task), base)
        is_pending = answer.task.status == "pending"
        return Response(answer, headers={"retry-after": _POLL} if is_pending else {})

    @post(
        "/{task:str}" + CANCEL,
        status_code=200,
        responses=PROBLEMS,
        summary="AuthZEN: take the request back",
    )
    async def cancel(
        self,
        request: Request[Any, Any, Any],
        surface: GivenSurface,
        caller: GivenCaller,
        task: FromPath[str],
    ) -> TaskAnswer:
        """Before it is decided; afterwards ``withdraw`` and ``return`` take it away."""
        base = served_at(surface.origins, request.headers.get("host", ""))
        found = await _viewed(surface, caller, task)
        if found.state is not ActivationState.REQUESTED:
            raise _not_pending(found)
        try:
            await give_back.withdraw(surface.services, caller, task)
        except ConflictError as error:
            raise _not_pending(found) from error
        return _answer(await show(surface.services, task), base)


class AccessRequestPublicController(Controller):
    """What everybody may know of it."""

    path = PREFIX
    tags = ("decisions",)

    @get(SCHEMA, responses=PROBLEMS, summary="AuthZEN: what a submission adds to the question")
    async def schema(self) -> Response[dict[str, Any]]:
        """A JSON Schema, for clients that nobody fills in forms for."""
        return Response(submission_schema(), media_type=MediaType.JSON)


def _tokens(surface: Surface) -> DenialTokens:
    if surface.denials is None:
        raise UnavailableError(
            "this server has no key to bind denials with",
            way_out="see `callpoint doctor`; ask with `callpoint request` meanwhile",
        )
    return surface.denials


async def _viewed(surface: Surface, caller: Caller, task: str) -> Activation:
    """The activation, if the caller may see it; what it may not see does not exist for it."""
    services = surface.services
    try:
        parse_activation(task)
        rules = await services.rules.current()
        found = await services.store.read(lambda view: view.get(Activation, task))
        await enforce_on(services, caller, rules, Action.ACTIVATION_VIEW, found)
    except (RequestError, NotFoundError, DeniedError) as error:
        raise AccessRequestError(Fault.UNKNOWN_TASK, "there is no such task") from error
    return found


def _not_pending(found: Activation) -> AccessRequestError:
    return AccessRequestError(
        Fault.INVALID_TASK_STATE,
        f"activation {found.id} is no longer undecided",
        way_out=f"`callpoint withdraw {found.id}` or `callpoint return {found.id}` ends it",
    )


def _answer(found: ActivationView, base: str) -> TaskAnswer:
    status = _status(found)
    place = f"{base}{PREFIX}{REQUESTS}/{found.id}"
    if status != "pending":
        task = Task(found.id, status, place)
        return TaskAnswer(task, Result(_approval(found)) if status == "approved" else None)
    tally = found.tally
    progress = Progress(
        current_step=min(len(tally.counted) + 1, tally.needed),
        total_steps=tally.needed,
        awaiting=tally.can_still_approve,
    )
    return TaskAnswer(
        Task(found.id, status, place, found.lapses_at, progress, Links(cancel=place + CANCEL))
    )


def _status(found: ActivationView) -> str:
    """The task's status. What was approved stays so: that it is over shows when one asks again."""
    if found.approved_at is not None:
        return "approved"
    match found.state:
        case ActivationState.REQUESTED:
            return "pending"
        case ActivationState.DENIED:
            return "denied"
        case ActivationState.WITHDRAWN:
            return "cancelled"
        case _:
            return "expired"


def _approval(found: ActivationView) -> ApprovalView:
    """Until its end where that is known, else until the last moment at which it could end."""
    until = found.not_after or (found.lapses_at or found.request.lapses_at) + found.request.ttl
    return ApprovalView(
        id=found.id,
        approved_until=min(until, found.ended_at) if found.ended_at else until,
        approved_at=found.approved_at,
    )
