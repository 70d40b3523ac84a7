"""Which receiver of signals calls: by a signed request as a principal, or by a bearer token.

A receiver sees the streams that the configuration gives it and nothing else; no policy is asked,
because what it may have is all that the configuration says about it.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, TypeAlias

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import SkipValidation

from callpoint.api.authentication import signed
from callpoint.api.surface import Surface
from callpoint.domain.errors import AuthenticationError
from callpoint.domain.signal_stream import SignalStream

GivenStreams: TypeAlias = NamedDependency[SkipValidation[Mapping[str, SignalStream]]]

_SCHEME = "bearer"
_MAX_TOKEN = 512


async def receiving(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Guard: the caller is some stream's receiver, or a principal; keeps what it may see.

    Raises:
        AuthenticationError: It is neither.
        UnavailableError: It cannot be told now.
    """
    surface: Surface = connection.app.state.surface
    field = connection.headers.get("authorization")
    if field is None:
        await signed(connection, handler)
        caller = connection.state.caller.principal.id
        streams = surface.services.rules.last_proven.streams
        mine = {name: one for name, one in streams.items() if one.receiver == caller}
    else:
        streams = (await surface.services.rules.refresh()).streams
        mine = _by_token(streams, field)
    connection.state.streams = mine


def provide_streams(request: Request[Any, Any, Any]) -> Mapping[str, SignalStream]:
    """What the guard found; a handler that asks for it without the guard is a defect."""
    streams: Mapping[str, SignalStream] = request.state.streams
    return streams


def _by_token(streams: Mapping[str, SignalStream], field: str) -> dict[str, SignalStream]:
    """Streams whose token it is; each is compared, in constant time.

    Raises:
        AuthenticationError: It is no stream's.
    """
    scheme, _, token = field.partition(" ")
    token = token.strip()
    is_one = scheme.lower() == _SCHEME and 0 < len(token) <= _MAX_TOKEN
    given = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
    found = {
        name: one
        for name, one in streams.items()
        if one.token_sha256 and hmac.compare_digest(given, one.token_sha256)
    }
    if not (is_one and found):
        raise AuthenticationError(
            "no stream of signals has this token",
            way_out="send `Authorization: Bearer TOKEN`, and compare the SHA-256 of the token with"
            " token_sha256 of the stream in the configuration",
        )
    return found
