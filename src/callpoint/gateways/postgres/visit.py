"""One connection of a client, from its first byte to its last."""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import timedelta

import structlog

from callpoint.domain.errors import (
    AuthenticationError,
    CallpointError,
    ConflictError,
    DeniedError,
    RequestError,
    TargetError,
    UnavailableError,
)
from callpoint.domain.untrusted import bounded
from callpoint.gateways.guard import Admission, Guard
from callpoint.gateways.postgres import messages
from callpoint.gateways.postgres.deeds import Deeds
from callpoint.gateways.postgres.frames import limits_of, message
from callpoint.gateways.postgres.keys import CancelKeys
from callpoint.gateways.postgres.link import GoneError, Link
from callpoint.gateways.postgres.login import AUTHENTICATION_OK, Front, Login
from callpoint.gateways.postgres.messages import Refusal
from callpoint.gateways.postgres.replies import Asked
from callpoint.gateways.postgres.requests import Requests
from callpoint.gateways.postgres.settings import GatewaySettings
from callpoint.gateways.postgres.sql.facts import Pins
from callpoint.gateways.postgres.startup import Cancel, Startup, key_data
from callpoint.gateways.postgres.startup_settings import PINNED, set_statement, wanted_settings
from callpoint.gateways.postgres.state import State
from callpoint.gateways.postgres.upstream import Upstream, Way, log_in
from callpoint.gateways.postgres.wanted import Catalogues, deed_of
from callpoint.ports.authority import Arrival, Authority
from callpoint.ports.clock import Clock, Random

_NAME_SHOWN = 200
_NOTICE = ("client_connection_check_interval", "1s")
_GOODBYE = timedelta(seconds=2)
_CUT, _CLOSED = "57P01", "closed"
_FATAL: tuple[tuple[type[CallpointError], str], ...] = (
    (AuthenticationError, "28P01"),
    (RequestError, "08P01"),
    (DeniedError, "28000"),
    (ConflictError, _CUT),
    (TargetError, "08006"),
    (UnavailableError, "08006"),
)


@dataclass(frozen=True, slots=True)
class House:
    """What all connections of a gateway share."""

    authority: Authority
    guard: Guard
    settings: GatewaySettings
    front: Front
    keys: CancelKeys
    catalogues: Catalogues
    clock: Clock
    random: Random
    logger: structlog.typing.FilteringBoundLogger


class Visit:
    """Somebody at the door, and later a session.

    Args:
        link: To the client; it has said nothing yet.
    """

    def __init__(self, house: House, link: Link) -> None:
        self._house = house
        self._link = link
        self._source = link.source
        self._is_told = False

    async def run(self) -> None:
        """Until it is over; never raises but for cancellation."""
        try:
            async with asyncio.timeout(self._house.settings.limits.login.total_seconds()):
                admitted = await self._let_in()
            if admitted is not None:
                await self._session(*admitted)
        except GoneError:
            pass
        except CallpointError as error:
            self._house.logger.info("login_refused", source=self._source, error=error.message)
            self._tell(error)
        except TimeoutError:
            self._tell(RequestError("the login took too long"))
        except Exception as error:  # one connection's defect must not end the others
            self._house.logger.exception("connection_crashed", exc_info=error)
            self._tell(UnavailableError("internal error: this connection is closed"))
        finally:
            self._link.close()

    # ---------------------------------------------------------------- the way in

    async def _let_in(self) -> tuple[Admission, State] | None:
        house = self._house
        login = Login(self._link, house.front, house.settings, house.random)
        first = await login.greeting()
        if isinstance(first, Cancel):
            await house.keys.cancel(first)
            return None
        connection = first.parameters.get("user", "")
        wanted = wanted_settings(first.parameters)
        self._link.write(first.negotiation())
        await login.prove(house.authority, connection)
        name = bounded(wanted.pop("application_name", ""), _NAME_SHOWN)
        admission = await house.guard.admit(
            Arrival(connection, self._source, house.settings.name, name)
        )
        try:
            upstream = await self._upstream(admission, first, name)
        except BaseException:
            await house.guard.leave(admission, "not_connected")
            raise
        state = self._state(admission, upstream)
        try:
            await self._welcome(state, first, wanted)
        except BaseException as error:
            if isinstance(error, CallpointError):
                self._tell(error)  # before the link is closed
            await self._leave(admission, state, "not_connected")
            raise
        return admission, state

    async def _upstream(self, admission: Admission, first: Startup, name: str) -> Upstream:
        settings, opened = self._house.settings, admission.opened
        way = Way.of(opened.credential, settings.target_roots)
        database = first.parameters.get("database", "") or way.dbname
        if database not in (way.dbname, first.parameters.get("user")):
            raise RequestError(
                f"this connection leads to another database than {bounded(database, 63)}",
                way_out=f"name {way.dbname}, or none",
            )
        session = PINNED | {"search_path": Pins(settings.search_path).setting}
        if options := opened.credential.endpoint.get("options"):
            session["options"] = options
        if name:
            session["application_name"] = name
        upstream = await log_in(way, opened.credential, session, self._house.random)
        if upstream.parameters.get("is_superuser") != "off":
            upstream.link.abort()
            raise TargetError(
                "the lease's account is a superuser, and nothing can be decided about those",
                way_out="give the target's role to an ordinary account",
            )
        return upstream

    def _state(self, admission: Admission, upstream: Upstream) -> State:
        house = self._house
        state = State(
            client=self._link,
            upstream=upstream,
            opened=admission.opened,
            deeds=Deeds(house.authority, admission, house.clock),
            limits=house.settings.limits,
            clock=house.clock,
            random=house.random,
            pins=Pins(house.settings.search_path),
            catalogues=house.catalogues,
            logger=house.logger,
        )
        link, server = self._link, upstream.link
        link.inbox.limits = limits_of(house.settings.limits.text_frame, house.settings.limits.frame)
        server.take = state.relay.take
        link.lost = state.wake
        server.lost = lambda: self._target_left(state)
        admission.on_cut(lambda reason: self._cut(state, reason))
        return state

    async def _welcome(self, state: State, first: Startup, wanted: dict[str, str]) -> None:
        """Everything that a server says before the first query."""
        await state.want("")  # the facts are there before the client is
        await self._let_notice(state)
        for name, value in wanted.items():
            await _set(state, name, value)
        pid, key = self._house.keys.give(first.key_size, state)
        told = [AUTHENTICATION_OK]
        told += [
            message(b"S", f"{name}\0{value}\0".encode())
            for name, value in state.upstream.parameters.items()
        ]
        told += [key_data(pid, key), message(b"Z", b"I")]
        self._link.write(b"".join(told))

    async def _let_notice(self, state: State) -> None:
        """A server works on a statement although whoever asked is gone, if it is not told to look.

        Without it a statement would survive a gateway that was killed. Some systems cannot look.
        """
        try:
            await state.ask(set_statement(*_NOTICE))
        except TargetError as error:
            self._house.logger.warning(
                "target_notices_no_loss", session=state.opened.session, error=error.message
            )

    # ---------------------------------------------------------------- the session

    async def _session(self, admission: Admission, state: State) -> None:
        limits, loop = self._house.settings.limits, asyncio.get_running_loop()
        stalling: list[asyncio.TimerHandle] = []

        def stalled(is_stalled: bool) -> None:  # noqa: FBT001 -- asyncio's two callbacks, as one
            while stalling:
                stalling.pop().cancel()
            if is_stalled:
                stalling.append(loop.call_later(limits.stall.total_seconds(), self._link.abort))
            state.relay.stall(is_stalled)

        self._link.stalled = stalled
        try:
            async with asyncio.TaskGroup() as group:
                reports = group.create_task(state.deeds.run())
                await self._requests(state)
                reports.cancel()
        finally:
            stalled(False)  # noqa: FBT003 -- as above
            await self._leave(admission, state, admission.cut_for or _CLOSED)

    async def _requests(self, state: State) -> None:
        """Until the session ends; the client is told why, if it did not end it itself."""
        try:
            await Requests(self._link, state).run()
        except GoneError:
            pass
        except RequestError as error:
            self._tell(error)
        except CallpointError as error:
            self._house.logger.warning("session_failed", error=error.message)
            self._tell(error)

    async def _leave(self, admission: Admission, state: State, reason: str) -> None:
        """Nothing of the session stays: no key, no statement that runs on, no open deed."""
        self._house.keys.take(state)
        is_busy = any(entry.asked is not Asked.SYNC for entry in state.replies)
        for running in (*state.portals.values(), *(entry.running for entry in state.replies)):
            state.ended(running, reason)
        self._link.close()
        if is_busy:
            with contextlib.suppress(CallpointError, GoneError):
                await state.upstream.cancel()
        state.server.write(messages.TERMINATE)
        state.server.close()
        await state.deeds.finish(_GOODBYE)
        await self._house.guard.leave(admission, reason)

    def _target_left(self, state: State) -> None:
        """Nothing more can be done for the client, who may just have been told so by the target."""
        if state.relay.is_inside:
            self._link.abort()
        elif not state.relay.has_ended:
            self._tell(
                state.trouble
                or TargetError("the target closed the connection", way_out="connect again")
            )
        self._link.close()
        state.wake()

    def _cut(self, state: State, reason: str) -> None:
        """End both sides within this moment; what runs at the target is cancelled after that."""
        if not state.relay.is_inside and self._link.is_drained:
            words = Refusal(_CUT, f"the session was ended: {bounded(reason, 100)}")
            self._link.write(words.encoded("FATAL"))
            self._link.abort()
        else:
            self._link.reset()
        self._is_told = True
        state.server.abort()
        state.wake()

    def _tell(self, error: CallpointError) -> None:
        """The last words to the client."""
        if self._is_told or self._link.is_gone:
            return
        self._is_told = True
        code = next((code for kind, code in _FATAL if isinstance(error, kind)), "XX000")
        detail = "; ".join(getattr(error, "reasons", ()))
        self._link.write(Refusal(code, error.message, detail, error.way_out).encoded("FATAL"))


async def _set(state: State, name: str, value: str) -> None:
    """A setting of the startup message is decided as the statement that it stands for."""
    text = set_statement(name, value)
    wanted = await state.want(text)
    running = await state.deeds.decide(deed_of([wanted], (), state.opened.recording))
    try:
        await state.ask(text)
    finally:
        state.ended(running, "")
