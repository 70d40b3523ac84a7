"""Where the decision API is served, and what its routes share."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from litestar import Request

from callpoint.api.i_json import Object, read_object
from callpoint.domain.errors import NotFoundError, RequestError, UnavailableError

PREFIX: Final = "/access/v1"
WELL_KNOWN: Final = "/.well-known/authzen-configuration"
REQUESTS: Final = "/requests"
CANCEL: Final = "/cancel"
SCHEMA: Final = "/request-schema"

MAX_BODY: Final = 1 << 18
"""Longest body, bytes: a hundred evaluations with all that their askers know about them."""

_MEDIA_TYPE = "application/json"


def served_at(origins: Sequence[str], host: str, place: str = "") -> str:
    """The configured address that was asked: what a stranger says it is called is not repeated.

    Raises:
        UnavailableError: None is configured.
        NotFoundError: None has this path.
    """
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


async def read_json(request: Request[Any, Any, Any]) -> Object:
    """The body, which says that it is JSON and is.

    Raises:
        RequestError: Another content type, or no I-JSON object.
    """
    kind, _, _ = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != _MEDIA_TYPE:
        raise RequestError(f"the body must be {_MEDIA_TYPE}", way_out="say so in Content-Type")
    return read_object(await request.body())
