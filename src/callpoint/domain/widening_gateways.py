"""What weakens the gateways, between two configurations (see ``widening``)."""

from collections.abc import Iterator

from callpoint.domain.allowance import Allowance, Rate
from callpoint.domain.change import Change
from callpoint.domain.configuration import Target
from callpoint.domain.gateway import Evidence, Gateway, Recording
from callpoint.domain.offline import OfflineRule, OnLoss
from callpoint.domain.span import format_span

_COUNTED = ("actions", "rows", "bytes", "objects", "destructive")


def compare_gateway(key: str, old: Gateway, new: Gateway) -> Iterator[Change]:
    """Whoever is called the gateway is handed secrets, so each of its words widens."""
    for name, field in (
        ("protocol", "protocol"),
        ("advertise_host", "host"),
        ("advertise_port", "port"),
        ("sslmode", "sslmode"),
        ("principal", "principal"),
    ):
        yield from _step(f"{key}.{name}", getattr(old, field), getattr(new, field), widens=True)


def compare_passage(key: str, old: Target, new: Target) -> Iterator[Change]:
    """A target that comes behind a gateway tightens; leaving it, and less on record, widens."""
    yield from _step(f"{key}.gateway", old.behind, new.behind, widens=bool(old.behind))
    yield from _step(
        f"{key}.evidence",
        old.evidenced,
        new.evidenced,
        widens=new.evidenced is not Evidence.BEFORE,
    )
    # Of a hash and of a text without values neither tells more than the other.
    yield from _step(
        f"{key}.recording", old.recorded, new.recorded, widens=new.recorded is not Recording.FULL
    )


def compare_allowance(key: str, old: Allowance, new: Allowance) -> Iterator[Change]:
    """More of anything widens, and so does a limit that is dropped."""
    for name in _COUNTED:
        before, after = getattr(old, name), getattr(new, name)
        more = before is not None and (after is None or after > before)
        yield from _step(f"{key}.{name}", before, after, widens=more)
    yield from _step(f"{key}.rate", old.rate, new.rate, widens=not _is_slower(old.rate, new.rate))


def compare_offline(key: str, old: OfflineRule | None, new: OfflineRule | None) -> Iterator[Change]:
    """Going on without the authority widens; longer, and more of anything, likewise."""
    if old is None or new is None:
        before, after = (OnLoss.CUT if one is None else OnLoss.OFFLINE for one in (old, new))
        yield from _step(f"{key}.on_loss", before, after, widens=new is not None)
        return
    spans = (format_span(old.span), format_span(new.span))
    yield from _step(f"{key}.offline_for", *spans, widens=new.span > old.span)
    for name in ("actions", "rows", "bytes", "destructive"):
        less, more = getattr(old.allowance, name), getattr(new.allowance, name)
        yield from _step(f"{key}.offline_allowance.{name}", less, more, widens=more > less)


def _is_slower(old: Rate | None, new: Rate | None) -> bool:
    """No more at a time, and within no shorter span."""
    if old is None or new is None:
        return old is None
    return new.actions <= old.actions and new.per >= old.per


def _step(key: str, old: object, new: object, *, widens: bool) -> Iterator[Change]:
    if old != new:
        yield Change(key, widens=widens, text=f"{_show(old)} -> {_show(new)}")


def _show(value: object) -> str:
    return "none" if value in (None, "") else str(value)[:100]
