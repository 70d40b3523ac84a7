"""Who listens on a store, and how a signal reaches them (``ports.stores``, "signals")."""

from collections.abc import Callable, Iterable

Hear = Callable[[str], None]


class Signals:
    """Listeners of one process. Called from the store's threads."""

    def __init__(self) -> None:
        self._listeners: tuple[Hear, ...] = ()

    def add(self, hear: Hear) -> None:
        """From now on it hears."""
        self._listeners = (*self._listeners, hear)

    def tell(self, texts: Iterable[str]) -> None:
        """Pass on what was committed."""
        for text in texts:
            self.tell_one(text)

    def tell_one(self, text: str) -> None:
        """Likewise."""
        for hear in self._listeners:
            hear(text)
