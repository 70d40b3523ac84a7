"""Shared Signals (OpenID SSF 1.0): what receivers may fetch, and how they find it.

Streams are governed configuration: a receiver reads how its own stands, asks for a verification
event, and fetches (RFC 8936). It creates, changes and pauses none, so those methods are not there.
"""

from typing import Any

from litestar import Controller, Request, get, post
from litestar.di import Provide
from litestar.params import FromPath, FromQuery

from callpoint.api.answers import PROBLEMS
from callpoint.api.receivers import GivenStreams, provide_streams, receiving
from callpoint.api.signal_messages import (
    PollAnswer,
    PollRequest,
    SsfConfiguration,
    StatusView,
    StreamView,
    VerificationRequest,
    read_body,
    stream_view,
)
from callpoint.api.surface import GivenSurface, Surface
from callpoint.domain.errors import NotFoundError, RequestError
from callpoint.domain.signal_stream import Delivery
from callpoint.lifecycle.poll_signals import MOST, Fetch, ask_verification, poll, stream_of
from callpoint.lifecycle.signal_desk import SignalDesk

PREFIX = "/ssf/v1"
WELL_KNOWN = "/.well-known/ssf-configuration"
KEYS = "/oauth/jwks"

MAX_BODY = 1 << 18
"""Longest body, bytes: a thousand confirmations."""


class SignalDocuments(Controller):
    """Where everything is; for everybody."""

    tags = ("signals",)

    @get(WELL_KNOWN, responses=PROBLEMS, summary="Shared Signals: the transmitter's metadata")
    async def configuration(self, surface: GivenSurface) -> SsfConfiguration:
        """Only what is served."""
        issuer = desk_of(surface).issuer
        base = issuer + PREFIX
        return SsfConfiguration(
            issuer=issuer,
            jwks_uri=issuer + KEYS,
            configuration_endpoint=f"{base}/streams",
            status_endpoint=f"{base}/status",
            verification_endpoint=f"{base}/verify",
        )


class SignalController(Controller):
    """What a receiver may do with the streams that are its own."""

    path = PREFIX
    guards = (receiving,)
    tags = ("signals",)
    request_max_body_size = MAX_BODY
    dependencies = {"streams": Provide(provide_streams, sync_to_thread=False)}  # noqa: RUF012 -- Litestar's form

    @get("/streams", responses=PROBLEMS, summary="Shared Signals: how streams are configured")
    async def streams(
        self,
        surface: GivenSurface,
        streams: GivenStreams,
        stream_id: FromQuery[str] = "",
    ) -> StreamView | list[StreamView]:
        """One of the caller's streams, or all of them."""
        issuer = desk_of(surface).issuer
        views = {
            name: stream_view(one, issuer, issuer + PREFIX) for name, one in sorted(streams.items())
        }
        return views[stream_of(streams, stream_id).id] if stream_id else list(views.values())

    @get("/status", responses=PROBLEMS, summary="Shared Signals: a stream's status")
    async def status(self, streams: GivenStreams, stream_id: FromQuery[str]) -> StatusView:
        """Always enabled: only the configuration ends a stream."""
        return StatusView(stream_of(streams, stream_id).id)

    @post(
        "/verify",
        status_code=204,
        responses=PROBLEMS,
        summary="Shared Signals: ask for a verification event",
    )
    async def verify(
        self, request: Request[Any, Any, Any], surface: GivenSurface, streams: GivenStreams
    ) -> None:
        """It comes the way that signals come, with the caller's ``state``."""
        asked = read_body(await request.body(), VerificationRequest)
        await ask_verification(desk_of(surface), stream_of(streams, asked.stream_id), asked.state)

    @post(
        "/poll/{stream:str}",
        status_code=200,
        responses=PROBLEMS,
        summary="Shared Signals: fetch signals (RFC 8936)",
    )
    async def poll(
        self,
        request: Request[Any, Any, Any],
        surface: GivenSurface,
        streams: GivenStreams,
        stream: FromPath[str],
    ) -> PollAnswer:
        """Confirms what was fetched before, then fetches; waits up to 20 seconds if it may."""
        found = stream_of(streams, stream)
        if found.delivery is not Delivery.POLL:
            raise RequestError(f"the stream {found.id} is pushed to its receiver")
        asked = read_body(await request.body(), PollRequest)
        fetched = await poll(
            desk_of(surface),
            found,
            Fetch(
                most=MOST if asked.max_events is None else asked.max_events,
                waits=not asked.return_immediately,
                confirmed=asked.ack,
                refused={jti: (e.err, e.description) for jti, e in asked.set_errs.items()},
            ),
        )
        return PollAnswer(sets=fetched.tokens, more_available=fetched.more)


def desk_of(surface: Surface) -> SignalDesk:
    """The desk, or NotFoundError where nobody is told anything."""
    if surface.signals is None:
        raise NotFoundError("this server sends no signals", way_out="ask another node")
    return surface.signals
