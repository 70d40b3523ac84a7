"""The decision API: OpenID AuthZEN Authorization API 1.0, for enforcement points.

A no is an answer (200, ``decision: false``); errors are for a body that cannot be read (400), a
caller that is not known (401) or may not ask (403), and for what cannot be answered now (503).
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from litestar import Controller, Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation
from litestar.types import Message, Scope

from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import GivenCaller, signed
from callpoint.api.evaluation_body import (
    Batch,
    Item,
    Malformed,
    page_token,
    read_batch,
    read_evaluation,
    read_search,
)
from callpoint.api.evaluation_messages import (
    ActionPage,
    AnswerContext,
    AuthzenConfiguration,
    DecisionList,
    DecisionView,
    EntityPage,
    FoundAction,
    FoundEntity,
    PageView,
    Refusal,
)
from callpoint.api.i_json import Object, read_object
from callpoint.api.surface import GivenSurface
from callpoint.domain.errors import NotFoundError, RequestError, UnavailableError
from callpoint.domain.evaluation import Answer, Evaluation, Page, Search, Semantic, Sought
from callpoint.ports.evaluator import Evaluator

MAX_BODY = 1 << 18
"""Longest body, bytes: a hundred evaluations with all that their askers know about them."""

PREFIX = "/access/v1"
WELL_KNOWN = "/.well-known/authzen-configuration"

_BAD_REQUEST = 400
_MEDIA_TYPE = "application/json"
_REQUEST_ID = b"x-request-id"
_REQUEST_ID_LIMIT = 256

GivenEvaluator: TypeAlias = NamedDependency[SkipValidation[Evaluator]]


class EvaluationController(Controller):
    """Questions of enforcement points, which sign them as every caller does."""

    path = PREFIX
    guards = (signed,)
    tags = ("decisions",)
    request_max_body_size = MAX_BODY

    @post("/evaluation", status_code=200, responses=PROBLEMS, summary="AuthZEN: one evaluation")
    async def evaluation(
        self, request: Request[Any, Any, Any], caller: GivenCaller, evaluator: GivenEvaluator
    ) -> DecisionView:
        """May this subject do this to that?"""
        asked = read_evaluation(await _document(request))
        (answer,) = await evaluator.evaluate(caller, [asked], Semantic.EXECUTE_ALL)
        return _shown(answer)

    @post("/evaluations", status_code=200, responses=PROBLEMS, summary="AuthZEN: evaluations")
    async def evaluations(
        self, request: Request[Any, Any, Any], caller: GivenCaller, evaluator: GivenEvaluator
    ) -> DecisionList | DecisionView:
        """Several at once, with defaults; they are decided in one moment."""
        asked = read_batch(await _document(request))
        if isinstance(asked, Evaluation):
            (answer,) = await evaluator.evaluate(caller, [asked], Semantic.EXECUTE_ALL)
            return _shown(answer)
        decidable = _decidable(asked)
        answers: Sequence[Answer] = ()
        if decidable:
            answers = await evaluator.evaluate(caller, decidable, asked.semantic)
        return DecisionList(tuple(_merged(asked, answers)))

    @post("/search/subject", status_code=200, responses=PROBLEMS, summary="AuthZEN: who can?")
    async def subjects(
        self, request: Request[Any, Any, Any], caller: GivenCaller, evaluator: GivenEvaluator
    ) -> EntityPage:
        """Subjects of a type that would be answered yes."""
        search = read_search(await _document(request), Sought.SUBJECT)
        page = await evaluator.search(caller, search)
        return _entities(search, page, search.question.subject.type)

    @post("/search/resource", status_code=200, responses=PROBLEMS, summary="AuthZEN: to what?")
    async def resources(
        self, request: Request[Any, Any, Any], caller: GivenCaller, evaluator: GivenEvaluator
    ) -> EntityPage:
        """Resources of a type for which the answer would be yes."""
        search = read_search(await _document(request), Sought.RESOURCE)
        page = await evaluator.search(caller, search)
        return _entities(search, page, search.question.resource.type)

    @post("/search/action", status_code=200, responses=PROBLEMS, summary="AuthZEN: what?")
    async def actions(
        self, request: Request[Any, Any, Any], caller: GivenCaller, evaluator: GivenEvaluator
    ) -> ActionPage:
        """Actions for which the answer would be yes."""
        search = read_search(await _document(request), Sought.ACTION)
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
        base = _origin(surface.origins, request.headers.get("host", ""), place)
        return AuthzenConfiguration(
            policy_decision_point=base,
            access_evaluation_endpoint=f"{base}{PREFIX}/evaluation",
            access_evaluations_endpoint=f"{base}{PREFIX}/evaluations",
            search_subject_endpoint=f"{base}{PREFIX}/search/subject",
            search_resource_endpoint=f"{base}{PREFIX}/search/resource",
            search_action_endpoint=f"{base}{PREFIX}/search/action",
        )


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


def _origin(origins: Sequence[str], host: str, place: str) -> str:
    """The configured address that was asked: what a stranger says it is called is not repeated."""
    if not origins:
        raise UnavailableError(
            "this server does not know its own address", way_out="set `public` in server.toml"
        )
    path = place.strip("/")
    fitting = [origin for origin in origins if urlsplit(origin).path.strip("/") == path]
    if path and not fitting:
        raise NotFoundError("no decision point has this path")
    named = (
        origin for origin in (*fitting, *origins) if urlsplit(origin).netloc.lower() == host.lower()
    )
    return next(named, (*fitting, *origins)[0]).rstrip("/")


async def _document(request: Request[Any, Any, Any]) -> Object:
    kind, _, _ = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != _MEDIA_TYPE:
        raise RequestError(f"the body must be {_MEDIA_TYPE}", way_out="say so in Content-Type")
    return read_object(await request.body())


def _decidable(batch: Batch) -> list[Evaluation]:
    """What can be decided; a malformed one counts as denied, so the batch may end before it."""
    found: list[Evaluation] = []
    for item in batch.items:
        if isinstance(item, Evaluation):
            found.append(item)
        elif batch.semantic.ends_with(allowed=False):
            break
    return found


def _merged(batch: Batch, answers: Sequence[Answer]) -> list[DecisionView]:
    """Answers and refusals in the order of the batch, as far as its semantic lets it go."""
    waiting = iter(answers)
    shown: list[DecisionView] = []
    for item in batch.items:
        shown.append(_of_item(item, waiting))
        if batch.semantic.ends_with(allowed=shown[-1].decision):
            break
    return shown


def _of_item(item: Item, waiting: Iterator[Answer]) -> DecisionView:
    if isinstance(item, Malformed):
        refused = Refusal(status=_BAD_REQUEST, message=item.message)
        return DecisionView(decision=False, context=AnswerContext(error=refused))
    return _shown(next(waiting))


def _shown(answer: Answer) -> DecisionView:
    return DecisionView(
        decision=answer.allowed,
        context=AnswerContext(
            evaluation_id=answer.id,
            evaluated_at=answer.at,
            reasons=answer.reasons,
            policies=answer.policies,
            policy_digest=answer.policy_digest,
        ),
    )


def _entities(search: Search, page: Page, kind: str) -> EntityPage:
    return EntityPage(_page(search, page), tuple(FoundEntity(kind, name) for name in page.names))


def _page(search: Search, page: Page) -> PageView:
    token = "" if page.after is None else page_token(search, page.after)
    return PageView(next_token=token, count=len(page.names))
