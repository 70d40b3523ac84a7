"""What earlier statements of a session left behind that a later one can run by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from callpoint.domain.errors import DeniedError
from callpoint.gateways.postgres.sql.access import Binding, BindingKind, Classified

MAX_BYTES = 1_048_576
"""Of all texts that one session holds under names: bounds the memory of a connection."""

MAX_NAMES = 4_096

Key = tuple[BindingKind, str]


@dataclass(frozen=True, slots=True)
class Session:
    """Names and their statements, as an immutable value.

    A name keeps *every* text that it was ever given: whether a PREPARE worked, failed or was
    skipped after an error, and which of two won, the gateway need not know to be right. Only an
    answer of the server that it is closed forgets one.

    Attributes:
        texts: By kind and name.
        size: Bytes of all of them.
        ddl_open: The open transaction has changed the catalogue, so its end changes it again.
    """

    texts: Mapping[Key, frozenset[str]] = field(default_factory=dict)
    size: int = 0
    ddl_open: bool = False

    def after(self, classified: Classified) -> "Session":
        """The session once such a text was sent, whether it works or not.

        Raises:
            DeniedError: The session holds too much.
        """
        if not classified.bindings and not classified.alters_catalogue:
            return self
        held = self
        for binding in classified.bindings:
            held = held.bound(binding)
        return replace(held, ddl_open=self.ddl_open or classified.alters_catalogue)

    def bound(self, binding: Binding) -> "Session":
        """With one more text under a name; also for the protocol's Parse and Bind.

        Raises:
            DeniedError: The session holds too much.
        """
        key = (binding.kind, binding.name)
        held = self.texts.get(key, frozenset())
        if binding.text in held:
            return self
        size = self.size + len(binding.text.encode())
        if size > MAX_BYTES or len(self.texts) >= MAX_NAMES:
            raise DeniedError(
                f"the session holds more than {MAX_NAMES} prepared statements and cursors, or "
                f"{MAX_BYTES} bytes of them",
                way_out="open a new session",
            )
        return replace(self, texts={**self.texts, key: held | {binding.text}}, size=size)

    def called(self, kind: BindingKind, name: str) -> frozenset[str]:
        """Every text that a name can stand for.

        Raises:
            DeniedError: Nothing was given that name through this gateway.
        """
        texts = self.texts.get((kind, name))
        if not texts:
            raise DeniedError(
                f"no {kind} {name!r} was made in this session", way_out="make it first"
            )
        return texts

    def closed(self, kind: BindingKind, name: str) -> "Session":
        """Without a name, because the server answered that it is closed (CloseComplete)."""
        gone = sum(len(text.encode()) for text in self.texts.get((kind, name), ()))
        kept = {key: texts for key, texts in self.texts.items() if key != (kind, name)}
        return replace(self, texts=kept, size=self.size - gone)

    def idle(self) -> "Session":
        """No transaction is open (ReadyForQuery says `I`), and the facts were read since."""
        return replace(self, ddl_open=False)
