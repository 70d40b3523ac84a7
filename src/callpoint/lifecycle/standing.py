"""Whether an activation gives anything right now: rows first, and then the log behind them.

A row that says no is believed at once; a row that says yes must be what the log tells (I9).
"""

from datetime import datetime

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.errors import ConflictError, TamperError
from callpoint.domain.ids import activation_stream
from callpoint.domain.incident import Incident
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.lease import Lease, LeaseState
from callpoint.lifecycle.proof import Proven, must_agree
from callpoint.lifecycle.services import Services
from callpoint.ports.stores import View


def why_not(view: View, found: Activation, held: Lease, now: datetime) -> str:
    """Why the rows say that it gives nothing; empty when they do not."""
    if held.activation != found.id:
        return f"lease {held.id} is of another activation"
    if found.state is not ActivationState.ACTIVE:
        why = f" ({found.end_reason})" if found.end_reason else ""
        return f"activation {found.id} is {found.state}{why}"
    if held.state is not LeaseState.LIVE:
        return f"lease {held.id} is {held.state}"
    if found.not_after is None or now >= found.not_after:
        return f"activation {found.id} expired at {found.not_after}"
    name = found.request.incident
    incident = view.find(Incident, name) if name else None
    if name and incident is None:
        return f"incident {name} is not in the database"
    if incident is not None and incident.state_at(now) is not IncidentState.OPEN:
        return f"incident {incident.id} is {incident.state_at(now)}"
    return ""


def must_stand(view: View, found: Activation, held: Lease) -> None:
    """Raises ConflictError with the reason when it gives nothing."""
    if why := why_not(view, found, held, view.now()):
        raise ConflictError(why, way_out="a further use needs a new, newly approved activation")


def proven_life(
    view: View, services: Services, found: Activation, held: Lease
) -> tuple[Proven, ...]:
    """The activation's events, when its row and the lease's plan are what they say.

    Raises:
        TamperError: A row was changed by hand.
        LogUnavailableError: It cannot be told now.
    """
    stream = activation_stream(found.id)
    events = services.log.proven(view, services.installation, [stream])[stream]
    must_agree(found, events)
    plans = (e.event.plans for e in events if isinstance(e.event, ev.ActivationActivated))
    if held.plan not in [plan for frozen in plans for plan in frozen]:
        raise TamperError(f"the plan of {held.id} in the database is not the one in the log")
    return events
