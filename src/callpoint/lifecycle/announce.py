"""Telling people what happened: who is asked, what is loud. Never decides, never fails a step."""

from callpoint.domain.activation import Activation
from callpoint.domain.approval import QuorumTally, tally
from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import UnavailableError
from callpoint.domain.incident import Incident
from callpoint.domain.lease import Lease
from callpoint.domain.span import format_span
from callpoint.lifecycle.services import Services
from callpoint.ports.notifiers import Notice


def excluded(activation: Activation, incident: Incident | None) -> frozenset[str]:
    """Persons whose approval never counts: who asks or answers for it, who confirmed (I9)."""
    confirmed = {incident.confirmed_by} if incident and incident.confirmed_by else set()
    return frozenset({*activation.request.persons, *confirmed})


def standing(
    activation: Activation, incident: Incident | None, configuration: Configuration
) -> QuorumTally:
    """Where the quorum of an activation stands under a configuration."""
    return tally(
        activation.request.quorum,
        activation.approvals,
        configuration,
        excluded(activation, incident),
    )


async def announce_request(
    services: Services, configuration: Configuration, activation: Activation
) -> None:
    """Ask those who can approve."""
    incident = await services.store.read(
        lambda view: view.find(Incident, activation.request.incident)
    )
    who = standing(activation, incident, configuration).can_still_approve
    request = activation.request
    cause = f" for {request.incident}" if request.incident else ""
    await services.notifier.notify(
        Notice(
            kind="activation:requested",
            about=activation.id,
            to=who,
            text=f"{request.principal} asks for {', '.join(request.opens)}{cause}"
            f" ({request.purpose}, {format_span(request.ttl)});"
            f" `callpoint approve {activation.id}`",
            urgent=True,
        )
    )


async def announce(
    services: Services, activation: Activation, kind: str, text: str, *, urgent: bool = False
) -> None:
    """Tell those who asked."""
    await services.notifier.notify(
        Notice(
            kind=kind, about=activation.id, to=activation.request.persons, text=text, urgent=urgent
        )
    )


def watchers(services: Services) -> tuple[str, ...]:
    """Governors and security by the last proven configuration; empty, so everybody, without one.

    What takes away tells them, so it reads nothing and waits for nothing: a bundle that does not
    load must not hold up a revocation (I11).
    """
    try:
        configuration = services.rules.last_proven
    except UnavailableError:
        return ()
    governance = configuration.governance
    return tuple(sorted({*governance.governors, *configuration.persons_in(governance.security)}))


async def announce_stuck(services: Services, lease: Lease, error: str) -> None:
    """A credential that does not die wakes everybody who watches (I6)."""
    await services.notifier.notify(
        Notice(
            kind="lease:stuck",
            about=lease.activation,
            to=watchers(services),
            text=f"{lease.plan.account} on {lease.plan.target} is not revoked after"
            f" {lease.attempts} attempts ({lease.rung}): {error}",
            urgent=True,
        )
    )
