"""What an enforcement point sends (AuthZEN Authorization API 1.0, sections 6 to 8), read.

Members that are not known are ignored, as the specification asks; those that are known have their
type or the body is refused.
"""

import base64
import hashlib
import json
from typing import Any, TypeAlias

import msgspec

from callpoint.api.i_json import Object
from callpoint.domain.errors import RequestError
from callpoint.domain.evaluation import Entity, Evaluation, Search, Semantic, Sought, Verb

MAX_EVALUATIONS = 100
"""Most evaluations in one call: they are decided in one view and recorded in one transaction."""

MAX_PAGE = 100
"""Most results on a page, whatever limit is asked for: the page is one entry of the log."""

PAGE = 50
"""Results on a page when no limit is asked for."""

_MEMBERS = ("subject", "action", "resource", "context")


class Malformed(msgspec.Struct, frozen=True):
    """One evaluation of a batch that lacks something: it is answered no, the others are decided."""

    message: str


Item: TypeAlias = Evaluation | Malformed


class Batch(msgspec.Struct, frozen=True):
    """Several evaluations of one call."""

    items: tuple[Item, ...]
    semantic: Semantic


def read_evaluation(document: Object) -> Evaluation:
    """One evaluation.

    Raises:
        RequestError: A member is missing or has another type.
    """
    return Evaluation(
        subject=_entity(document, "subject"),
        action=_verb(document),
        resource=_entity(document, "resource"),
        context=claims_of(document, "context"),
    )


def read_batch(document: Object) -> Batch | Evaluation:
    """A batch; without ``evaluations``, or with an empty list of them, it is one evaluation.

    Raises:
        RequestError: The call as a whole is malformed, or names too many.
    """
    items = document.get("evaluations", [])
    if not isinstance(items, list):
        raise RequestError("evaluations is not a list")
    semantic = _semantic(document)
    if not items:
        return read_evaluation(document)
    if len(items) > MAX_EVALUATIONS:
        raise RequestError(
            f"{len(items)} evaluations are too many", way_out=f"send at most {MAX_EVALUATIONS}"
        )
    defaults = {name: document[name] for name in _MEMBERS if name in document}
    for name in defaults:
        object_of(defaults, name)
    return Batch(tuple(_item(defaults, item) for item in items), semantic)


def read_search(document: Object, sought: Sought) -> Search:
    """A search, from its beginning or from where its page token says.

    Raises:
        RequestError: A member is missing or has another type, or the token is of another search.
    """
    question = Evaluation(
        subject=_entity(document, "subject", is_sought=sought is Sought.SUBJECT),
        action=Verb() if sought is Sought.ACTION else _verb(document),
        resource=_entity(document, "resource", is_sought=sought is Sought.RESOURCE),
        context=claims_of(document, "context"),
    )
    page = object_of(document, "page") if "page" in document else {}
    search = Search(sought=sought, question=question, limit=_limit(page))
    if "token" not in page:
        return search
    token = text_of(page, "token", "page.token")
    return _continued(search, token, is_limited="limit" in page)


def page_token(search: Search, after: str) -> str:
    """Where the next page goes on. It is no secret, and gives nothing that its search does not."""
    content = json.dumps([_fingerprint(search), search.limit, after], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def _continued(search: Search, token: str, *, is_limited: bool) -> Search:
    strange = RequestError(
        "page.token is not of this search", way_out="begin again without a token"
    )
    try:
        content = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        bound, limit, after = msgspec.json.decode(content, type=tuple[str, int, str])
    except (ValueError, msgspec.DecodeError) as error:
        raise strange from error
    if bound != _fingerprint(search) or not 1 <= limit <= MAX_PAGE:
        raise strange
    if is_limited and search.limit != limit:
        raise RequestError(
            "page.limit is another one than this search began with",
            way_out="leave it out: the token carries it",
        )
    return msgspec.structs.replace(search, limit=limit, after=after)


def _fingerprint(search: Search) -> str:
    """Of everything that the search asks, so that no page of one is continued as another's."""
    # By the reader's own encoder: a number that it took may be too long for another one.
    content = json.dumps(msgspec.to_builtins([search.sought, search.question]), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _semantic(document: Object) -> Semantic:
    options = object_of(document, "options") if "options" in document else {}
    named = options.get("evaluations_semantic", Semantic.EXECUTE_ALL)
    if named not in list(Semantic):
        raise RequestError(
            "options.evaluations_semantic is not known", way_out="use: " + ", ".join(Semantic)
        )
    return Semantic(named)


def _item(defaults: Object, item: Any) -> Item:  # noqa: ANN401 -- any JSON value
    if not isinstance(item, dict):
        raise RequestError("an evaluation is not an object")
    try:
        return read_evaluation({**defaults, **item})
    except RequestError as error:
        return Malformed(error.message)


def _limit(page: Object) -> int:
    limit = page.get("limit", PAGE)
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise RequestError("page.limit is not a positive integer")
    return min(limit, MAX_PAGE)


def _entity(document: Object, name: str, *, is_sought: bool = False) -> Entity:
    """A subject or resource; of the one that is sought an id is ignored."""
    found = object_of(document, name)
    return Entity(
        type=text_of(found, "type", f"{name}.type"),
        id="" if is_sought else text_of(found, "id", f"{name}.id"),
        properties=claims_of(found, "properties", f"{name}.properties"),
    )


def _verb(document: Object) -> Verb:
    found = object_of(document, "action")
    return Verb(
        name=text_of(found, "name", "action.name"),
        properties=claims_of(found, "properties", "action.properties"),
    )


def claims_of(document: Object, name: str, path: str = "") -> Object:
    """That member, or no members where it is left out. RequestError when it is no object."""
    return object_of(document, name, path) if name in document else {}


def object_of(document: Object, name: str, path: str = "") -> Object:
    """That member. RequestError when it is missing or no object; ``path`` names it there."""
    found = _member(document, name, path)
    if not isinstance(found, dict):
        raise RequestError(f"{path or name} is not an object")
    return found


def text_of(document: Object, name: str, path: str) -> str:
    """That member. RequestError when it is missing or no string."""
    found = _member(document, name, path)
    if not isinstance(found, str):
        raise RequestError(f"{path} is not a string")
    return found


def _member(document: Object, name: str, path: str) -> Any:  # noqa: ANN401 -- any JSON value
    if name not in document:
        raise RequestError(f"{path or name} is missing")
    return document[name]
