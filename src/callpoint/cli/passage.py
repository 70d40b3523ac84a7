"""Through a gateway: a connection secret for one login, in the place of a credential."""

from callpoint.api.connection_messages import ConnectionWish
from callpoint.api.messages import ActivationView, LeaseView
from callpoint.cli.invocation import Invocation
from callpoint.domain.errors import RequestError
from callpoint.domain.lease import LeaseState
from callpoint.ports.box import SealedCredential
from callpoint.ports.credential import Credential


def behind(view: ActivationView, wanted: str) -> LeaseView | None:
    """The live credential that is meant, if it is a gateway's; None: it is the requester's.

    Args:
        view: Of an active activation.
        wanted: ``target`` or ``target:role`` if one is named.

    Raises:
        RequestError: Several fit.
    """
    fits = [
        lease
        for lease in view.leases
        if lease.state is LeaseState.LIVE and (not wanted or wanted in _names(lease))
    ]
    if not any(lease.gateway for lease in fits):
        return None
    if len(fits) > 1:
        names = ", ".join(_names(lease)[1] for lease in fits)
        raise RequestError(
            "there are several credentials", way_out=f"name one with --open: {names}"
        )
    return fits[0]


def passage(
    run: Invocation, view: ActivationView, lease: LeaseView, source: str, logins: int
) -> SealedCredential:
    """What logs in at the gateway, within a minute; it is recorded that it was given.

    Args:
        run: The invocation.
        view: Of an active activation.
        lease: From ``behind``.
        source: The address that the gateway will see; empty: the one that the server sees.
        logins: How many connections the program opens.
    """
    wish = ConnectionWish(opening=_names(lease)[1], source=source, logins=logins)
    made = run.client.connection(view.id, wish)
    endpoint = {
        "protocol": made.protocol,
        "host": made.host,
        "port": str(made.port),
        "dbname": made.dbname,
        "sslmode": made.sslmode,
    }
    return SealedCredential(
        installation=view.request.installation,
        activation=view.id,
        lease=lease.id,
        target=lease.target,
        role=lease.role,
        not_after=lease.not_after.isoformat(),
        credential=Credential(
            username=made.connection,
            secret=made.secret,
            endpoint={name: value for name, value in endpoint.items() if value},
            hint=f"callpoint connect {view.id}",
        ),
    )


def _names(lease: LeaseView) -> tuple[str, str]:
    return lease.target, f"{lease.target}:{lease.role}"
