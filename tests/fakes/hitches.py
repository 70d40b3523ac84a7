"""One call of one port fails, once, at a chosen place: not done, or done but unanswered."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from callpoint.domain.errors import StoreUnavailableError, TargetUnknownError, UnavailableError
from callpoint.ports.keys import Sealer, Vault
from callpoint.ports.notifiers import Notice, Notifier
from tests.fakes.faults import Fault
from tests.fakes.stage import Stage
from tests.fakes.world import World


class Hitch:
    """Counts the calls of all ports, and makes one of them fail.

    Attributes:
        seen: Every call so far, by port and method.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._at: int | None = None
        self._how = Fault.NOT_DONE
        self._pending = False

    def at(self, place: int, how: Fault) -> None:
        """Let the call number ``place``, from now on, fail."""
        self.seen.clear()
        self._at, self._how = place, how

    def over(self) -> None:
        """Nothing fails any more."""
        self._at, self._pending = None, False

    def begin(self, call: str, error: Exception) -> None:
        """Before the act: it is not done when this raises."""
        due = self._at == len(self.seen)
        self.seen.append(call)
        if due and self._how is Fault.NOT_DONE:
            raise error
        self._pending = due

    def end(self, error: Exception) -> None:
        """After the act: it was done, and nobody hears of it when this raises."""
        if self._pending:
            self._pending = False
            raise error

    @contextmanager
    def around(self, call: str, error: Exception) -> Iterator[None]:
        """Both, for an act that is the body."""
        self.begin(call, error)
        due, self._pending = self._pending, False
        yield
        if due:
            raise error


class _Notifier:
    def __init__(self, hitch: Hitch, inner: Notifier) -> None:
        self._hitch, self._inner = hitch, inner

    async def notify(self, notice: Notice) -> None:
        with self._hitch.around("notifier", UnavailableError("the notifier fails")):
            await self._inner.notify(notice)


class _Sealer:
    def __init__(self, hitch: Hitch, inner: Sealer) -> None:
        self._hitch, self._inner = hitch, inner

    def is_recipient(self, recipient: str) -> bool:
        return self._inner.is_recipient(recipient)

    def seal(self, secret: bytes, recipient: str) -> bytes:
        with self._hitch.around("sealer", UnavailableError("the sealer fails")):
            return self._inner.seal(secret, recipient)


class _Vault:
    def __init__(self, hitch: Hitch, inner: Vault) -> None:
        self._hitch, self._inner = hitch, inner

    @property
    def recipient(self) -> str:
        return self._inner.recipient

    def open(self, box: bytes) -> bytes:
        with self._hitch.around("vault", UnavailableError("the vault fails")):
            return self._inner.open(box)


def hitched(stage: Stage, world: World) -> tuple[World, Hitch]:
    """The same node, each of whose ports can be made to fail."""
    hitch = Hitch()
    dead = StoreUnavailableError("the store does not answer")
    stage.store.before = lambda: hitch.begin("store", dead)
    stage.store.after = lambda: hitch.end(dead)
    for name, target in stage.targets.items():
        silent = TargetUnknownError(f"{name} does not answer", target=name)
        target.around = lambda method, name=name, silent=silent: hitch.around(  # type: ignore[misc]  # bound now
            f"{name}.{method}", silent
        )
    services = replace(
        world.services,
        notifier=_Notifier(hitch, world.services.notifier),
        sealer=_Sealer(hitch, world.services.sealer),
        vault=_Vault(hitch, world.services.vault),
    )
    return replace(world, services=services), hitch
