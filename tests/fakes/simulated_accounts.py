"""What a simulated target holds: accounts, their sessions, and what those leave behind."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fakes.simulated_target import SimulatedTarget


class LoginRefusedError(Exception):
    """A login as an actor was refused; ``code`` is what PostgreSQL would say."""

    def __init__(self, code: str) -> None:
        super().__init__(f"login refused: {code}")
        self.code = code


@dataclass
class Account:
    """One account on the simulated target; ``secret`` is None once disabled."""

    handle: str
    name: str
    role: str
    secret: str | None
    not_after: datetime
    enabled: bool = True


@dataclass(eq=False)
class Session:
    """A live session. It survives expiry, disabling and dropping of its account until killed."""

    account: str
    endpoint: str
    _target: "SimulatedTarget" = field(repr=False)
    alive: bool = True

    def work(self) -> str:
        """Do something in scope; raises ``ConnectionError`` once the session was killed."""
        if not self.alive or self._target.down:
            raise ConnectionError(f"session of {self.account} is gone")
        return f"worked as {self.account}"

    def leave(self, kind: str, name: str, *, owned: bool = False) -> None:
        """Leave something behind; what is ``owned`` goes with the account, the rest stays."""
        self.work()
        self._target.left.append(Left(kind, name, self.account, owned=owned))


@dataclass(frozen=True)
class Left:
    """Something that exists on the target; ``by`` is the account that made it."""

    kind: str
    name: str
    by: str
    owned: bool = False
