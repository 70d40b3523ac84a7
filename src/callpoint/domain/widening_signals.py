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
        if before is None:
            yield Change(f"signals.{name}", widens=True, text="added: it is told who opens what")
        elif after is None:
            yield Change(f"signals.{name}", widens=True, text="removed: it is told nothing more")
        else:
            # What it was and is may be an address of a person, so only where is said.
            for member in before.__struct_fields__:
                if getattr(before, member) != getattr(after, member):
                    yield Change(f"signals.{name}.{member}", widens=True, text="another value")
