"""A credential at every door of a target: the primary as the actor sees it, standbys, poolers."""

from callpoint.adapters.targets.postgresql.attempt import Door, attempt, door_of
from callpoint.adapters.targets.postgresql.settings import PostgresqlSettings, address_of
from callpoint.ports.credential import Credential, ProbeResult


async def try_everywhere(
    settings: PostgresqlSettings, credential: Credential
) -> tuple[ProbeResult, ...]:
    """One answer for each door, the credential's own first."""
    doors = [door_of(credential.endpoint, settings.name)]
    for endpoint in settings.endpoints:
        door = address_of(endpoint.dsn)
        doors.append(Door(door.host, door.port, door.dbname, settings.sslmode))
    return tuple([await attempt(d, credential.username, credential.secret) for d in doors])
