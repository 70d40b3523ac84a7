"""What exists on a target now, of what a use could leave behind; ``persistence`` compares two."""

from callpoint.adapters.targets.postgresql import persistence
from callpoint.adapters.targets.postgresql.authority import Authority
from callpoint.adapters.targets.postgresql.databases import examined
from callpoint.adapters.targets.postgresql.server import Row, Server
from callpoint.adapters.targets.postgresql.settings import PostgresqlSettings
from callpoint.domain.errors import TargetRefusedError


async def snapshot(
    settings: PostgresqlSettings, primary: Server, authority: Authority, account: str, acting: str
) -> tuple[persistence.Snapshot, persistence.Snapshot, list[str]]:
    """Everything, the part of it that names the account, and databases that could not be examined.

    Args:
        settings: Which databases are compared.
        primary: The broker's login at the primary.
        authority: How it looks.
        account: Whose use.
        acting: The role that it acted as; empty when nobody knows.

    Raises:
        TargetError: What all databases share could not be looked at.
    """
    databases: dict[str, list[Row]] = {}
    unexamined: list[str] = []
    names = await examined(settings, primary)
    shared: list[Row] | None = None
    if settings.database in names:
        try:
            shared, home = await authority.home_snapshot(account, acting)
            databases[settings.database] = home
        except TargetRefusedError:
            pass  # below each is asked alone, and who refuses is told apart
    if shared is None:
        shared = await authority.cluster_snapshot(account)
    for name in names:
        if name not in databases:
            try:
                databases[name] = await authority.database_snapshot(account, acting, name)
            except TargetRefusedError:
                unexamined.append(name)
    everything, own = persistence.collect(shared, databases)
    return everything, own, unexamined
