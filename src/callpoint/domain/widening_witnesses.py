"""What weakens the watch over the log, between two configurations (see ``widening``).

Nobody gets access by it alone; but with fewer eyes on the log an access can be hidden afterwards.
"""

from collections.abc import Iterator

from callpoint.domain.change import Change
from callpoint.domain.span import format_span
from callpoint.domain.witnessing import Witnessing


def compare_witnessing(old: Witnessing, new: Witnessing) -> Iterator[Change]:
    """Fewer, other or older witnesses widen; more of them widen where a quorum counts them."""
    if old.quorum != new.quorum:
        text = f"{old.quorum} -> {new.quorum}"
        yield Change("witnessing.quorum", widens=new.quorum < old.quorum, text=text)
    if old.within != new.within:
        text = f"{format_span(old.within)} -> {format_span(new.within)}"
        yield Change("witnessing.within", widens=new.within > old.within, text=text)
    for name in sorted({*old.witnesses, *new.witnesses}):
        yield from _witness(name, old, new)
    for name in sorted({*old.logs, *new.logs}):
        yield from _log(name, old, new)


def _witness(name: str, old: Witnessing, new: Witnessing) -> Iterator[Change]:
    key = f"witnessing.witnesses.{name}"
    before, after = old.witnesses.get(name), new.witnesses.get(name)
    if before is None:
        # One more who may make up the quorum makes it easier to meet.
        yield Change(key, widens=old.quorum > 0, text="added")
    elif after is None:
        yield Change(key, widens=True, text="removed: it watches the log no more")
    elif before != after:
        what = "key" if before.key != after.key else "address"
        yield Change(key, widens=True, text=f"another {what}")


def _log(name: str, old: Witnessing, new: Witnessing) -> Iterator[Change]:
    key = f"witnessing.logs.{name}"
    if name not in old.logs:
        yield Change(key, widens=True, text="added: this installation vouches for it")
    elif name not in new.logs:
        yield Change(key, widens=False, text="removed")
    elif old.logs[name] != new.logs[name]:
        yield Change(key, widens=True, text="another origin or other keys")
