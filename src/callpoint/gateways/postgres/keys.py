"""Cancel keys: a client gets one of the gateway's, and it reaches nothing but its own session."""

import hmac
from dataclasses import dataclass, field

from callpoint.gateways.postgres.startup import Cancel
from callpoint.gateways.postgres.state import State
from callpoint.ports.clock import Random

_PID_BITS = 0x7FFFFFFF


@dataclass(slots=True)
class CancelKeys:
    """Which session a key is for.

    Process and key are random, 31 and 32 bits together with protocol 3.0 and 31 and 256 from 3.2
    on; the target's own process and key never leave the gateway.
    """

    random: Random
    _keys: dict[int, tuple[bytes, State]] = field(default_factory=dict)

    def give(self, size: int, state: State) -> tuple[int, bytes]:
        """A new process number and key for a session."""
        pid = 0
        while not pid or pid in self._keys:
            pid = int.from_bytes(self.random.token(4), "big") & _PID_BITS
        key = self.random.token(size)
        self._keys[pid] = (key, state)
        return pid, key

    def take(self, state: State) -> None:
        """The session has ended."""
        for pid in [pid for pid, (_, owner) in self._keys.items() if owner is state]:
            del self._keys[pid]

    async def cancel(self, asked: Cancel) -> None:
        """End what runs in the session of that key; whether there is one, nobody learns.

        Raises:
            TargetError: The target was not reached.
        """
        key, state = self._keys.get(asked.pid, (b"", None))
        if state is None or not hmac.compare_digest(key, asked.key):
            return
        if len(state.replies):
            await state.upstream.cancel()
