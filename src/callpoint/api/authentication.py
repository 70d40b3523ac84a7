"""Who calls: every route but a few public ones is guarded here, before its body is parsed.

Authentication needs the configuration and nothing else: neither the PDP nor a bundle that loads,
so that what takes away goes on when those are broken (I11).
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import SkipValidation

from callpoint.api.messages import KillOrder
from callpoint.api.surface import Surface
from callpoint.domain.errors import (
    AuthenticationError,
    CallpointError,
    RequestError,
    StoreUnavailableError,
    UnavailableError,
)
from callpoint.lifecycle.kill import cut_on_sight
from callpoint.ports.identity import Caller, PendingNonce, SignedRequest

GivenCaller: TypeAlias = NamedDependency[SkipValidation[Caller]]

# Only path and query count: the address that a signature is for is the configured one.
_PLACE = "http://callpoint"


async def signed(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: the request is signed by a principal's key; keeps the caller for the handler.

    Raises:
        AuthenticationError: It is not.
        UnavailableError: It cannot be told now.
    """
    surface: Surface = connection.app.state.surface
    await surface.services.rules.refresh()
    request = await _signed_request(Request(connection.scope, connection.receive))
    connection.state.caller = await surface.authenticator.authenticate(request)
    must_be_shallow(request.body)


async def recognised(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Guard: as ``signed``, but the nonce is left to who puts the answer on record (docs/adr/0028).

    The handler does everything inside ``spending(request.state.nonce)``, the reading of the body
    too; it is None where the nonce is spent already. The rules are those that this process knows:
    who decides looks whether they are in force, and whether they still know the caller.

    Raises:
        AuthenticationError: It is not signed.
        UnavailableError: It cannot be told now.
    """
    surface: Surface = connection.app.state.surface
    if surface.pending_nonces is None:
        connection.state.nonce = None
        await signed(connection, handler)
        return
    request = await _signed_request(Request(connection.scope, connection.receive))
    try:
        found = surface.authenticator.recognise(request)
    except CallpointError:
        # A key that was published this moment is not known here yet.
        await surface.services.rules.refresh()
        found = surface.authenticator.recognise(request)
    connection.state.caller = found.caller
    connection.state.nonce = surface.pending_nonces(found)


async def signed_for_a_kill(
    connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler
) -> None:
    """Guard: as ``signed``, and while the store does not answer by the last rules proven (I13).

    Never for anything that gives: a nonce is then known to this process alone.

    Raises:
        AuthenticationError: It is not signed.
        UnavailableError: It cannot be told now.
    """
    surface: Surface = connection.app.state.surface
    services = surface.services
    request = await _signed_request(Request(connection.scope, connection.receive))
    await _cut_on_sight(surface, request)
    connection.state.order = request
    connection.state.store_answers = True

    async def ask_the_store() -> Caller:
        await services.rules.refresh()
        return await surface.authenticator.authenticate(request)

    try:
        connection.state.caller = await services.answered(ask_the_store())
    except StoreUnavailableError:
        if surface.without_store is None:
            raise
        connection.state.store_answers = False
        connection.state.caller = await surface.without_store.authenticate(request)
    must_be_shallow(request.body)


@contextlib.asynccontextmanager
async def spending(nonce: PendingNonce | None) -> AsyncIterator[None]:
    """Whatever comes of the request, the nonce is spent before it is told; a copy is told none."""
    if nonce is None:
        yield
        return
    try:
        yield
    except (AuthenticationError, StoreUnavailableError):
        raise  # A copy, or the store does not answer: nothing was told, and there is nothing to do.
    except UnavailableError:
        # It says nothing about what was asked. And its own record may have spent the nonce: the
        # log can fail after the commit.
        with contextlib.suppress(AuthenticationError):
            await nonce.settle()
        raise
    except Exception:
        await nonce.settle()
        raise
    await nonce.settle()


async def _cut_on_sight(surface: Surface, request: SignedRequest) -> None:
    """Cut at once what a genuine signature names; the store is asked afterwards (docs/adr/0027).

    By the rules as they were last proven here, a second ago at most while the store answers. What
    is wrong with the request is told, and put on record, by who asks the store.
    """
    if surface.on_sight is None:
        return
    recogniser = surface.without_store or surface.authenticator
    with contextlib.suppress(CallpointError, msgspec.DecodeError, UnicodeDecodeError):
        seen = recogniser.recognise(request)
        must_be_shallow(request.body)
        order = msgspec.json.decode(request.body, type=KillOrder)
        # A book in memory: nothing waits here, and a copy cuts nothing a second time.
        if not await surface.on_sight.spend(seen.caller.principal.id, seen.nonce):
            return
        if cut_on_sight(surface.services, seen, order.scope, order.about):
            surface.logger.info(
                "cut_on_sight", by=seen.caller.principal.id, scope=order.scope, about=order.about
            )


def provide_caller(request: Request[Any, Any, Any]) -> Caller:
    """Whom the guard let in; a handler that asks for it without the guard is a defect."""
    caller: Caller = request.state.caller
    return caller


async def _signed_request(request: Request[Any, Any, Any]) -> SignedRequest:
    scope = request.scope
    query = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    return SignedRequest(
        method=scope["method"],
        url=_PLACE + target.decode("latin-1"),
        headers=_joined(scope["headers"]),
        body=await request.body(),
    )


def must_be_shallow(body: bytes) -> None:
    """Refuse what would exhaust the stack; whatever else is wrong is told by who reads the body."""
    with contextlib.suppress(msgspec.DecodeError):
        try:
            msgspec.json.decode(body, type=msgspec.Raw)
        except RecursionError as error:
            raise RequestError("the body is nested too deeply") from error


def _joined(fields: Any) -> dict[str, str]:  # noqa: ANN401 -- ASGI's own raw pairs
    """Lower-case names; a field that is sent twice is joined (RFC 9110, 5.3), so it shows."""
    joined: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined
