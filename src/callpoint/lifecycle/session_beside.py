"""A yes that is given before it is on record: on a target with ``evidence = "with"``, to a reader.

It rests on what the store confirmed at most two seconds ago, with nothing ordered since (I4), and
spends only what was spent in advance. The recorder puts it into the log, in order, at once; what
it finds to be otherwise than it was answered ends the session (docs/adr/0025).
"""

from datetime import datetime, timedelta

from callpoint.domain.gateway import Evidence
from callpoint.domain.operation import VERBS, Impact
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.session_answer import event_of, whole_second
from callpoint.lifecycle.session_basis import DRIFT
from callpoint.lifecycle.session_memory import LiveSession
from callpoint.lifecycle.session_recorder import Recorder
from callpoint.ports.authority import Deed, Verdict


def may_be_beside(live: LiveSession, deed: Deed) -> bool:
    """Whether it reads only, on a target where that is enough. Whatever else waits, as ever."""
    return (
        live.basis is not None
        and not live.cut_for
        and live.basis.evidence is Evidence.WITH
        and not deed.refused
        and all(VERBS.get(one.verb) is Impact.READING for one in deed.operations)
    )


def answer_beside(
    services: Services, live: LiveSession, deed: Deed, recorder: Recorder
) -> Verdict | None:
    """The answer from what the store confirmed a moment ago; None where it must be asked.

    Only a yes is given like this: a no is on record before it is told, as ever.
    """
    basis, now = live.basis, remembered(services, live)
    if basis is None or now is None or not basis.is_open_at(now):
        return None
    found = basis.found.request.spends
    if live.spent is not None and not live.spent.touches_nothing_new(found, deed.operations):
        return None
    taken = live.stock.handed_out(deed.portion)
    if taken is None:
        return None
    live.number += 1
    event = event_of(services, live, basis, deed, whole_second(now), beside=now)
    if not event.allowed:
        live.number -= 1
        return None
    live.stock, portion = taken
    live.held[event.number] = portion
    if event.asked is not None:
        live.told = event.basis
    recorder.add_decision(live, event)
    return Verdict(allowed=True, number=event.number, portion=portion)


def remembered(services: Services, live: LiveSession) -> datetime | None:
    """The store's time now, if what is remembered of the session still counts (I4).

    It does for at most ``DRIFT`` after the store was asked, and not once anything was ordered: a
    kill that this process knows of is in force for the very next action.
    """
    confirmed = live.confirmed
    if confirmed is None or confirmed.orders != services.live.orders:
        return None
    # Counted from before the store was asked, so this clock is never behind the store's.
    age = timedelta(seconds=services.clock.monotonic() - confirmed.began)
    return confirmed.at + age if age < DRIFT else None
