"""What changes about who outside is told, between two configurations (see ``widening``).

Nobody gets access by it. But a new receiver learns who opens what, and one that is gone no longer
learns that access ended, so every change needs the governors' quorum.
"""

from collections.abc import Iterator, Mapping

from callpoint.domain.change import Change
from callpoint.domain.signal_stream import SignalStream


def compare_signals(
    old: Mapping[str, SignalStream], new: Mapping[str, SignalStream]
) -> Iterator[Change]:
    """Every stream that is new, gone or another; of the latter each member that differs."""
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if before is None and after is not None:
            yield Change(f"signals.{name}", widens=True, text=f"added: {_reader(after)} is told")
        elif before is None or after is None:
            yield Change(f"signals.{name}", widens=True, text="removed: it is told nothing more")
        else:
            yield from _members(f"signals.{name}", before, after)


def _members(key: str, old: SignalStream, new: SignalStream) -> Iterator[Change]:
    for member in old.__struct_fields__:
        before, after = getattr(old, member), getattr(new, member)
        if before == after:
            continue
        if isinstance(before, dict):
            # Addresses of persons: whose is said, and not which.
            whose = sorted(n for n in {*before, *after} if before.get(n) != after.get(n))
            yield Change(f"{key}.{member}", widens=True, text=f"another address: {_shown(whose)}")
        else:
            text = f"{_shown(before)} -> {_shown(after)}"
            yield Change(f"{key}.{member}", widens=True, text=text)


def _reader(stream: SignalStream) -> str:
    return stream.url or f"whoever is {stream.audience}"


def _shown(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return str(value) or "none"
