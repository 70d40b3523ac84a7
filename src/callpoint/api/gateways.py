"""The authority for gateways that run alone: each call is a question of ``ports.authority``.

Nothing is decided here. A gateway's principal opens a line with a signed request; on the line go
the questions, for that gateway only, and each answer carries a MAC. A credential leaves sealed to
the gateway's program, and a server that clients reach in clear over a network opens no line at all.
"""

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import msgspec
from litestar import Controller, Request, get, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, JSONBody, SkipValidation
from litestar.response import Stream
from litestar.types import (
    ASGIApp,
    HTTPResponseStartEvent,
    Message,
    Receive,
    Scope,
    Send,
)

from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import GivenCaller, must_be_shallow, signed
from callpoint.api.gateway_lines import GatewayCall, GatewayLines
from callpoint.api.surface import GivenSurface, Surface
from callpoint.domain.address import is_confidential
from callpoint.domain.allowance import Portion
from callpoint.domain.errors import CallpointError, DeniedError, RequestError, UnavailableError
from callpoint.domain.gateway_line import opening
from callpoint.domain.offline_journal import Told
from callpoint.ports import authority_calls as calls
from callpoint.ports.authority import (
    Arrival,
    Authority,
    Cut,
    Granted,
    Greeting,
    Reach,
    Taken,
    Verdict,
)
from callpoint.ports.keys import TokenSigner

MEDIA_TYPE = "application/x-ndjson"
REMOVED = "gateway_removed"
"""Why sessions are cut on a gateway that the configuration no longer has."""

GivenCall: TypeAlias = NamedDependency[SkipValidation[GatewayCall]]
GivenLines: TypeAlias = NamedDependency[SkipValidation[GatewayLines]]
GivenAuthority: TypeAlias = NamedDependency[SkipValidation[Authority]]


async def on_line(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: the call came on a line of the gateway that the path names; keeps the call.

    Raises:
        AuthenticationError: It did not.
        DeniedError: The gateway is no longer its principal's.
    """
    surface: Surface = connection.app.state.surface
    lines: GatewayLines = connection.app.state.gateway_lines
    await surface.services.rules.refresh()
    body = await Request[Any, Any, Any](connection.scope, connection.receive).body()
    connection.state.call = lines.recognise(
        connection.headers.get("authorization", ""),
        connection.path_params["gateway"],
        connection.scope["path"].rpartition("/")[2],
        body,
    )
    lines.accept(connection.state.call)
    must_be_shallow(body)


def provide_call(request: Request[Any, Any, Any]) -> GatewayCall:
    """What the guard recognised."""
    call: GatewayCall = request.state.call
    return call


def provide_lines(request: Request[Any, Any, Any]) -> GatewayLines:
    """Those of this process."""
    lines: GatewayLines = request.app.state.gateway_lines
    return lines


def provide_authority(request: Request[Any, Any, Any], surface: GivenSurface) -> Authority:
    """The one that decides for the gateway of the line, and for no other."""
    return _authority(surface, provide_call(request).line.gateway)


def proven_answers(app: ASGIApp) -> ASGIApp:
    """Middleware: each answer to a call that was recognised carries its MAC, errors too.

    The stream of orders has one on each of its lines instead.
    """

    async def proven(scope: Scope, receive: Receive, send: Send) -> None:
        begun: list[HTTPResponseStartEvent] = []

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                begun.append(message)
                return
            if message["type"] == "http.response.body" and begun:
                start = begun.pop()
                call: GatewayCall | None = scope["state"].get("call")
                if call is not None and not message["more_body"]:
                    mac = call.answer_mac(start["status"], message["body"])
                    proof = (calls.PROOF.encode(), b"mac=" + mac.encode())
                    start["headers"] = [*start["headers"], proof]
                await send(start)
            await send(message)

        await app(scope, receive, sent)

    return proven


class GatewayLineController(Controller):
    """How a line begins."""

    path = calls.PREFIX
    guards = (signed,)
    tags = ("gateways",)
    request_max_body_size = calls.MAX_BODY
    dependencies = {"lines": Provide(provide_lines, sync_to_thread=False)}  # noqa: RUF012 -- litestar's

    @post("/{gateway:str}/line", status_code=200, responses=PROBLEMS, summary="Open a line")
    async def line(
        self,
        surface: GivenSurface,
        caller: GivenCaller,
        lines: GivenLines,
        gateway: FromPath[str],
        data: JSONBody[calls.LineWish],
    ) -> calls.Line:
        """For the gateway's configured principal; its key leaves sealed to what was signed."""
        _must_be_confidential(surface.origins)
        signer, sealer = _line_signer(surface), surface.services.sealer
        if not sealer.is_recipient(data.seal_to):
            raise RequestError("seal_to is not an age recipient", way_out="give a fresh `age1…`")
        opened = lines.open(caller.principal, gateway, data.seal_to)
        _authority(surface, gateway)
        surface.logger.info("gateway_line_opened", gateway=gateway, principal=caller.principal.id)
        box = sealer.seal(opened.key, opened.seal_to)
        signature = signer.sign(opening(gateway, opened.name, opened.seal_to, box))
        return calls.Line(opened.name, box, signer.public_key, signature)


class GatewayController(Controller):
    """What is asked on a line."""

    path = calls.PREFIX
    guards = (on_line,)
    middleware = (proven_answers,)
    tags = ("gateways",)
    request_max_body_size = calls.MAX_BODY
    dependencies = {  # noqa: RUF012 -- litestar's
        "call": Provide(provide_call, sync_to_thread=False),
        "lines": Provide(provide_lines, sync_to_thread=False),
        "authority": Provide(provide_authority, sync_to_thread=False),
    }

    @post("/{gateway:str}/greet", status_code=200, responses=PROBLEMS, summary="Who is this?")
    async def greet(self, authority: GivenAuthority, data: JSONBody[calls.Greet]) -> Greeting:
        """What checks a connection secret; of an unknown connection as well."""
        return await authority.greet(data.connection, data.source)

    @post("/{gateway:str}/open", status_code=200, responses=PROBLEMS, summary="Open a session")
    async def open(
        self,
        surface: GivenSurface,
        call: GivenCall,
        authority: GivenAuthority,
        data: JSONBody[Arrival],
    ) -> calls.Admitted:
        """Spends the connection secret. The credential is sealed to the line's program."""
        if data.gateway != call.line.gateway:
            raise DeniedError(f"this line is the gateway {call.line.gateway}'s")
        opened = await authority.open_session(data)
        sealed = calls.SealedCredential(opened.session, opened.credential)
        return calls.Admitted(
            msgspec.structs.replace(opened, credential=calls.HIDDEN),
            surface.services.sealer.seal(msgspec.json.encode(sealed), call.line.seal_to),
        )

    @post("/{gateway:str}/decide", status_code=200, responses=PROBLEMS, summary="May it do this?")
    async def decide(self, authority: GivenAuthority, data: JSONBody[calls.Decide]) -> Verdict:
        """A no is an answer."""
        return await authority.decide(data.session, data.deed)

    @post("/{gateway:str}/draw", status_code=200, responses=PROBLEMS, summary="A further portion")
    async def draw(self, authority: GivenAuthority, data: JSONBody[calls.Draw]) -> Portion:
        """An empty one means that the allowance is spent."""
        return await authority.draw(data.session, data.number, data.used)

    @post("/{gateway:str}/report", status_code=200, responses=PROBLEMS, summary="What became of it")
    async def report(
        self, authority: GivenAuthority, data: JSONBody[calls.Report]
    ) -> calls.Reported:
        """Once for each allowed deed."""
        return calls.Reported(await authority.report(data.session, data.outcome))

    @post("/{gateway:str}/end", status_code=200, responses=PROBLEMS, summary="A session is over")
    async def end(self, authority: GivenAuthority, data: JSONBody[calls.End]) -> calls.Ended:
        """Ending what is over changes nothing."""
        await authority.end_session(data.session, data.reason)
        return calls.Ended(data.session)

    @post("/{gateway:str}/standing", status_code=200, responses=PROBLEMS, summary="Do they stand?")
    async def standing(
        self, authority: GivenAuthority, data: JSONBody[calls.Ask]
    ) -> calls.Standings:
        """By the store, now."""
        if len(data.sessions) > calls.MAX_SESSIONS:
            raise RequestError(f"more than {calls.MAX_SESSIONS} sessions in one question")
        return calls.Standings(await authority.standing(data.sessions))

    @post("/{gateway:str}/grants", status_code=200, responses=PROBLEMS, summary="Offline grants")
    async def grants(self, authority: GivenAuthority, data: JSONBody[calls.AskGrants]) -> Granted:
        """What sessions may do while the gateway gets no answer, signed; of some, nothing."""
        return await authority.grants(data.journal, data.sessions)

    @post("/{gateway:str}/take", status_code=200, responses=PROBLEMS, summary="What was done alone")
    async def take(self, authority: GivenAuthority, data: JSONBody[Told]) -> Taken:
        """A part of the gateway's journal; each entry is taken once, however often it is told."""
        return await authority.take(data)

    @get(
        "/{gateway:str}/cuts",
        responses=PROBLEMS,
        media_type=MEDIA_TYPE,
        summary="Orders to end sessions, as they are given",
    )
    async def cuts(self, call: GivenCall, lines: GivenLines, authority: GivenAuthority) -> Stream:
        """An order a line, without end, or ``null`` as a sign of life; each with its MAC."""
        return Stream(
            _told(call, lines, authority),
            media_type=MEDIA_TYPE,
            # Some proxies collect an answer before they pass it on, and a kill must not wait.
            headers={"x-accel-buffering": "no"},
        )


async def _told(
    call: GatewayCall, lines: GatewayLines, authority: Authority
) -> AsyncIterator[bytes]:
    """Until the authority's line ends, or the gateway is no longer its principal's."""
    place = 0
    try:
        async for cut in authority.cuts():
            place += 1
            yield _written(call, place, cut)
            lines.must_stand(call.line)
    except DeniedError:
        yield _written(call, place + 1, Cut(Reach.EVERYTHING, reason=REMOVED))
    except CallpointError:
        # The status is sent long since: the end of the stream says it, and the gateway asks again.
        return


def _written(call: GatewayCall, place: int, cut: Cut | None) -> bytes:
    order = msgspec.json.encode(cut)
    return msgspec.json.encode(calls.Ordered(msgspec.Raw(order), call.order_mac(place, order))) + (
        b"\n"
    )


def _authority(surface: Surface, gateway: str) -> Authority:
    if surface.authority is None:
        raise UnavailableError(
            "this server decides for no gateways", way_out="ask one that has the installation's log"
        )
    return surface.authority(gateway)


def _line_signer(surface: Surface) -> TokenSigner:
    if surface.line_signer is None:
        raise UnavailableError(
            "this server has no token key to sign a gateway's line with",
            way_out="see `callpoint doctor` there; another server may have it",
        )
    return surface.line_signer


def _must_be_confidential(origins: tuple[str, ...]) -> None:
    """Raises UnavailableError while clients may reach this server in clear over a network."""
    clear = [origin for origin in origins if not is_confidential(origin)]
    if clear:
        raise UnavailableError(
            f"credentials are not handed to gateways while {clear[0]} is an address of this server",
            way_out="end TLS in a proxy, and let `public` in server.toml name only https:// there",
        )
