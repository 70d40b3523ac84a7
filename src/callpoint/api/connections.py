"""Connection secrets for targets behind a gateway: asked for with a signature, or with a token."""

from ipaddress import ip_address
from typing import Any

from litestar import Controller, Request, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, JSONBody

from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import GivenCaller, signed
from callpoint.api.connection_messages import ConnectionView, ConnectionWish, connection_view
from callpoint.api.surface import GivenSurface, Surface
from callpoint.api.token_holder import challenge, shown_by
from callpoint.api.tokens import desk_of
from callpoint.domain.connection import plain_address
from callpoint.domain.errors import DeniedError, RequestError
from callpoint.domain.ids import parse_activation
from callpoint.domain.token import OAuthError, TokenClaims, audience
from callpoint.lifecycle.connection import Wish, offer
from callpoint.lifecycle.introspect import claims_of
from callpoint.lifecycle.verify_token import verify_token


async def signed_or_held(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Guard: signed by a principal's key, or sent with a token and the proof of its key.

    Raises:
        AuthenticationError: Neither.
        OAuthError: The token is not active, or the sender has not its key.
        UnavailableError: It cannot be told now.
    """
    scheme = connection.headers.get("authorization", "").partition(" ")[0].lower()
    # Beside a signature it is some proxy's; without one, somebody's who must be told the way out.
    is_bearer = scheme == "bearer" and "signature-input" not in connection.headers
    connection.state.token = None
    if scheme != "dpop" and not is_bearer:
        await signed(connection, handler)
        return
    surface: Surface = connection.app.state.surface
    desk = desk_of(surface)
    shown = shown_by(Request(connection.scope), desk, connection.scope["path"])
    claims = claims_of(desk, shown.token)
    if claims is None:
        raise OAuthError("invalid_token", "the token is not active here")
    verified = await verify_token(desk, shown, claims.aud)
    connection.state.caller = verified.caller
    connection.state.token = verified.claims


def _of_oauth(request: Request[Any, Any, Any], error: OAuthError) -> Any:  # noqa: ANN401 -- as there
    return challenge(desk_of(request.app.state.surface), error)


class ConnectionController(Controller):
    """What the requester gets instead of a credential."""

    path = "/v1/activations"
    guards = (signed_or_held,)
    tags = ("activations",)
    exception_handlers = {OAuthError: _of_oauth}  # noqa: RUF012 -- litestar's own form

    @post(
        "/{activation:str}/connections",
        responses=PROBLEMS,
        summary="4 Get a connection secret of a gateway",
    )
    async def connect(
        self,
        surface: GivenSurface,
        caller: GivenCaller,
        request: Request[Any, Any, Any],
        activation: FromPath[str],
        data: JSONBody[ConnectionWish],
    ) -> ConnectionView:
        """For one login (or as many as said) within 60 s, from one address; always recorded."""
        parse_activation(activation)
        services = surface.services
        opening = data.opening
        token: TokenClaims | None = request.state.token
        if token is not None:
            opening = _named_by(token, services.installation.id, activation, opening)
        source = data.source or await _peer(request, surface)
        wish = Wish(source=source, opening=opening, logins=data.logins)
        return connection_view(await offer(services, caller, activation, wish))


async def _peer(request: Request[Any, Any, Any], surface: Surface) -> str:
    """Where the caller connects from, as this server sees it.

    Raises:
        RequestError: That is not what any gateway will see: a proxy is in front, or the caller is
            on this machine and the gateways are not.
    """
    rules = await surface.services.rules.current()
    here = [_is_loopback(gateway.host) for gateway in rules.configuration.known_gateways.values()]
    seen = request.client.host if request.client else ""
    if not seen or (_is_loopback(seen) and here and not any(here)):
        raise RequestError(
            "this server does not see the address that you will connect from",
            way_out="name it as the gateway will see it: `callpoint connect --source ADDRESS`",
        )
    return seen


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(plain_address(host)).is_loopback
    except RequestError:
        return host == "localhost"


def _named_by(token: TokenClaims, installation: str, activation: str, opening: str) -> str:
    """The one opening that the token is for.

    Raises:
        DeniedError: It is for something else, or for less than a session.
    """
    (details,) = token.authorization_details
    target, _, role = token.aud.rpartition(":target:")[2].partition(":")
    named = f"{target}:{role}"
    is_for_it = token.txn == activation and token.aud == audience(installation, target, role)
    if not is_for_it or opening not in ("", named):
        raise DeniedError("the token is for another activation, target or role")
    if details.actions:
        raise DeniedError(
            "the token was narrowed to single actions, and a session is more than they are",
            way_out="exchange the activation for a token without actions",
        )
    return named
