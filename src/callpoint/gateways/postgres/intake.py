"""Rows from the client: COPY … FROM STDIN, while the target waits for them."""

from callpoint.domain.errors import RequestError
from callpoint.gateways.postgres import messages
from callpoint.gateways.postgres.deeds import spent
from callpoint.gateways.postgres.frames import HEADER
from callpoint.gateways.postgres.replies import Asked
from callpoint.gateways.postgres.state import State

_OUT = 64 * 1024
_DATA, _DONE, _FAIL, _SYNC, _FLUSH = (ord(kind) for kind in "dcfSH")


class Intake:
    """Counts and passes rows on.

    Args:
        state: What the session is.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    async def take(self, frame: bytes) -> None:
        """One message.

        Raises:
            RequestError: Only rows and their end may come now.
            GoneError: The target has left.
        """
        state, kind = self._state, frame[0]
        if not state.takes_rows:
            return  # the target would ignore it: it gave up while rows were on their way
        match kind:
            case _ if kind == _DATA:
                await self._data(frame)
            case _ if kind in (_DONE, _FAIL):
                _check_end(frame)
                state.takes_rows = False
                state.send(frame)
                self._lift()
            case _ if kind in (_SYNC, _FLUSH):
                pass  # the target ignores them while it waits for rows
            case _:
                raise RequestError(
                    "the target waits for rows, and something else came",
                    way_out="end COPY first (CopyDone or CopyFail)",
                )

    async def _data(self, frame: bytes) -> None:
        state = self._state
        entry = state.barrier
        running = entry.running if entry is not None else None
        if entry is None or running is None:
            raise RequestError("rows came that nothing asked for")
        running.rows += state.row_counter.count(frame)
        running.bytes += len(frame)
        # What was counted may pass; the first message beyond it does not.
        while running.rows > running.row_limit or running.bytes > running.byte_limit:
            state.flush()
            if not await state.deeds.more(running):
                entry.refusal = spent(running)
                state.takes_rows = False
                state.send(messages.COPY_FAIL)
                self._lift()
                return
        if state.server.is_full:
            await state.server.writable()
        if state.takes_rows:
            state.send(frame)
            if len(state.out) > _OUT:
                state.flush()

    def _lift(self) -> None:
        """After rows of the extended protocol the next message may follow at once."""
        state = self._state
        if state.barrier is not None and state.barrier.asked is Asked.EXECUTE:
            state.barrier = None


def _check_end(frame: bytes) -> None:
    if frame[0] == _DONE and len(frame) != HEADER:
        raise RequestError("a CopyDone message does not end where it says")
    if frame[0] == _FAIL and frame.find(b"\0", HEADER) != len(frame) - 1:
        raise RequestError("a CopyFail message does not end where it says")
