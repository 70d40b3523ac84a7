"""Which databases of the server an account could leave something in."""

from callpoint.adapters.targets.postgresql.server import Server
from callpoint.adapters.targets.postgresql.settings import PostgresqlSettings

# Whoever may connect can make large objects at least, also in template1, from where they get into
# every database made later. An owner closes a database with REVOKE CONNECT … FROM PUBLIC.
_OPEN = """
SELECT d.datname::text AS name FROM pg_catalog.pg_database d
WHERE d.datallowconn AND (
  EXISTS (SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x
          WHERE x.grantee = 0 AND x.privilege_type = 'CONNECT')
  OR EXISTS (SELECT FROM pg_catalog.pg_roles r
             WHERE r.rolname = ANY ($1) AND has_database_privilege(r.oid, d.oid, 'CONNECT')))
ORDER BY d.datname
"""


async def open_databases(settings: PostgresqlSettings, primary: Server) -> list[str]:
    """Every database that accounts may connect to, sorted."""
    rows = await primary.rows(_OPEN, list(settings.parents))
    return [str(row["name"]) for row in rows]


async def examined(settings: PostgresqlSettings, primary: Server) -> list[str]:
    """Those that are compared and prepared: as configured, else every open one."""
    if settings.databases:
        return sorted({settings.database, *settings.databases})
    return sorted({settings.database, *await open_databases(settings, primary)})
