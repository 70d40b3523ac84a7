"""The decision API: OpenID AuthZEN Authorization API 1.0, for enforcement points.

A no is an answer (200, ``decision: false``); errors are for a body that cannot be read (400), a
caller that is not known (401) or may not ask (403), and for what cannot be answered now (503).
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
from litestar import Controller, Request, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, SkipValidation
from litestar.types import Message, Scope

from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import GivenCaller, recognised, signed, spending
from callpoint.api.evaluation_answers import decidable, hinting, merged, shown
from callpoint.api.evaluation_body import (
    Batch,
    page_token,
    read_batch,
    read_evaluation,
    read_search,
)
from callpoint.api.evaluation_messages import (
    ActionPage,
    AuthzenConfiguration,
    DecisionList,
    DecisionView,
    EntityPage,
    FoundAction,
    FoundEntity,
    PageView,
)
from callpoint.api.evaluation_places import (
    MAX_BODY,
    PREFIX,
    REQUESTS,
    WELL_KNOWN,
    read_json,
    served_at,
)
from callpoint.api.surface import GivenSurface, Surface
from callpoint.api.token_documents import KEYS
from callpoint.domain.evaluation import Answer, Evaluation, Page, Search, Semantic, Sought
from callpoint.lifecycle.obligations import TYPES
from callpoint.ports.evaluator import Evaluator
from callpoint.ports.identity import Caller, PendingNonce

ACCESS_REQUEST = "urn:openid:authzen:capability:access-request"

_REQUEST_ID = b"x-request-id"
_REQUEST_ID_LIMIT = 256

GivenEvaluator: TypeAlias = NamedDependency[SkipValidation[Evaluator]]


class Parts(msgspec.Struct, frozen=True):
    """What a decision needs, in one piece: for each of several the framework starts a task."""

    surface: Surface
    caller: Caller
    nonce: PendingNonce | None
    evaluator: Evaluator


GivenParts: TypeAlias = NamedDependency[SkipValidation[Parts]]


def provide_parts(request: Request[Any, Any, Any]) -> Parts:
    """Of a request that ``recognised`` let in; without that guard it is a defect."""
    held, app = request.state, request.app.state
    return Parts(app.surface, held.caller, held.nonce, app.evaluator)


class EvaluationController(Controller):
    """Questions of enforcement points, which sign them as every caller does."""

    path = PREFIX
    guards = (recognised,)
    dependencies = {"given": Provide(provide_parts, sync_to_thread=False)}  # noqa: RUF012 -- Litestar's form
    tags = ("decisions",)
    request_max_body_size = MAX_BODY

    @post(
        "/evaluation",
        status_code=200,
        responses=PROBLEMS,
        summary="AuthZEN: one evaluation",
    )
    async def evaluation(self, request: Request[Any, Any, Any], given: GivenParts) -> DecisionView:
        """May this subject do this to that?"""
        nonce = given.nonce
        async with spending(nonce):
            asked = read_evaluation(await read_json(request))
            (answer,) = await given.evaluator.evaluate(
                given.caller, [asked], Semantic.EXECUTE_ALL, nonce
            )
        return shown(asked, answer, hinting(given.surface, request.headers.get("host", "")))

    @post(
        "/evaluations",
        status_code=200,
        responses=PROBLEMS,
        summary="AuthZEN: evaluations",
    )
    async def evaluations(
        self, request: Request[Any, Any, Any], given: GivenParts
    ) -> DecisionList | DecisionView:
        """Several at once, with defaults; they are decided in one moment."""
        hint, nonce = hinting(given.surface, request.headers.get("host", "")), given.nonce
        async with spending(nonce):
            asked = read_batch(await read_json(request))
            items, semantic = _wanted(asked)
            answers: Sequence[Answer] = ()
            if items:
                answers = await given.evaluator.evaluate(given.caller, items, semantic, nonce)
        if isinstance(asked, Evaluation):
            return shown(asked, answers[0], hint)
        return DecisionList(tuple(merged(asked, answers, hint)))


class SearchController(Controller):
    """What would be answered yes."""

    path = PREFIX
    guards = (signed,)
    tags = ("decisions",)
    request_max_body_size = MAX_BODY

    @post(
        "/search/subject",
        status_code=200,
        responses=PROBLEMS,
        summary="AuthZEN: who can?",
    )
    async def subjects(
        self, request: Request[Any, Any, Any], caller: GivenCaller, evaluator: GivenEvaluator
    ) -> EntityPage:
        """Subjects of a type that would be answered yes."""
        search = read_search(await read_json(request), Sought.SUBJECT)
        page = await evaluator.search(caller, search)
        return _entities(search, page, search.question.subject.type)

    @post(
        "/search/resource",
        status_code=200,
        responses=PROBLEMS,
        summary="AuthZEN: to what?",
    )
    async def resources(
        self, request: Request[Any, Any, Any], caller: GivenCaller, evaluator: GivenEvaluator
    ) -> EntityPage:
        """Resources of a type for which the answer would be yes."""
        search = read_search(await read_json(request), Sought.RESOURCE)
        page = await evaluator.search(caller, search)
        return _entities(search, page, search.question.resource.type)

    @post(
        "/search/action",
        status_code=200,
        responses=PROBLEMS,
        summary="AuthZEN: what?",
    )
    async def actions(
        self, request: Request[Any, Any, Any], caller: GivenCaller, evaluator: GivenEvaluator
    ) -> ActionPage:
        """Actions for which the answer would be yes."""
        search = read_search(await read_json(request), Sought.ACTION)
        page = await evaluator.search(caller, search)
        found = tuple(FoundAction(name) for name in page.names)
        return ActionPage(_page(search, page), found)


class DiscoveryController(Controller):
    """Where the decision API is; for everybody."""

    tags = ("decisions",)

    @get(
        [WELL_KNOWN, WELL_KNOWN + "/{place:path}"],
        responses=PROBLEMS,
        summary="AuthZEN: the decision point's metadata",
    )
    async def configuration(
        self, request: Request[Any, Any, Any], surface: GivenSurface, place: FromPath[str] = ""
    ) -> AuthzenConfiguration:
        """Of the address that was asked, which is what the asker compares it with.

        An address with a path has it behind the well-known one (RFC 8615; AuthZEN, section 9.2).
        """
        base = served_at(surface.origins, request.headers.get("host", ""), place)
        return AuthzenConfiguration(
            policy_decision_point=base,
            access_evaluation_endpoint=f"{base}{PREFIX}/evaluation",
            access_evaluations_endpoint=f"{base}{PREFIX}/evaluations",
            search_subject_endpoint=f"{base}{PREFIX}/search/subject",
            search_resource_endpoint=f"{base}{PREFIX}/search/resource",
            search_action_endpoint=f"{base}{PREFIX}/search/action",
            supported_obligations=tuple(sorted(TYPES.values())),
            **_asking(base) if surface.denials is not None else {},
        )


def _asking(base: str) -> dict[str, Any]:
    """What the access request profile adds, where what was denied can be asked for."""
    return {
        "access_request_endpoint": base + PREFIX + REQUESTS,
        "jwks_uri": base + KEYS,
        "capabilities": (ACCESS_REQUEST,),
    }


async def echo_request_id(message: Message, scope: Scope) -> None:
    """Repeat the caller's ``X-Request-ID``, on errors too: its own name for the exchange."""
    if message["type"] != "http.response.start":
        return
    if not scope["path"].startswith((PREFIX, WELL_KNOWN)):
        return
    sent = [value for name, value in scope["headers"] if name.lower() == _REQUEST_ID]
    # Two different ones are nobody's name for it.
    if len(sent) == 1 and len(sent[0]) <= _REQUEST_ID_LIMIT:
        message["headers"] = [*message["headers"], (_REQUEST_ID, sent[0])]


def _wanted(asked: Evaluation | Batch) -> tuple[Sequence[Evaluation], Semantic]:
    if isinstance(asked, Evaluation):
        return (asked,), Semantic.EXECUTE_ALL
    return decidable(asked), asked.semantic


def _entities(search: Search, page: Page, kind: str) -> EntityPage:
    return EntityPage(_page(search, page), tuple(FoundEntity(kind, name) for name in page.names))


def _page(search: Search, page: Page) -> PageView:
    token = "" if page.after is None else page_token(search, page.after)
    return PageView(next_token=token, count=len(page.names))
