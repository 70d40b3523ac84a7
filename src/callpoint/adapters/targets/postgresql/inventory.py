"""Which login roles and powerful roles the server has, read with no right over any of them.

PostgreSQL keeps neither when a role last logged in nor when its password was changed, and shows
passwords to superusers only: both are told as unknown. ``rolvaliduntil`` is an end, not an age.
"""

from datetime import datetime

from callpoint.adapters.targets.postgresql.server import Row, Server
from callpoint.adapters.targets.postgresql.settings import PREFIX
from callpoint.ports.inventory import NEVER, UNKNOWN, Account, Moment

# Through any chain of memberships: whoever may SET ROLE to a superuser is one. Roles of the server
# itself that only read statistics give no power over it and are left out.
_QUERY = """
SELECT r.rolname::text AS name, r.rolcanlogin AS can_log_in,
  r.rolvaliduntil IS NOT NULL AND r.rolvaliduntil <> 'infinity' AS ends,
  CASE WHEN isfinite(r.rolvaliduntil) THEN r.rolvaliduntil END AS valid_until,
  shobj_description(r.oid, 'pg_authid') AS mark,
  r.rolname = current_user AS is_broker,
  (SELECT count(*) FROM pg_stat_activity s WHERE s.usesysid = r.oid) AS sessions,
  array_remove(ARRAY[
    CASE WHEN r.rolsuper THEN 'superuser' END, CASE WHEN r.rolcreaterole THEN 'createrole' END,
    CASE WHEN r.rolcreatedb THEN 'createdb' END, CASE WHEN r.rolreplication THEN 'replication' END,
    CASE WHEN r.rolbypassrls THEN 'bypassrls' END], NULL)
  || ARRAY(
    SELECT 'can become ' || g.rolname || CASE WHEN g.rolsuper THEN ' (superuser)'
             WHEN g.rolcreaterole THEN ' (createrole)' WHEN g.rolreplication THEN ' (replication)'
             WHEN g.rolbypassrls THEN ' (bypassrls)' ELSE '' END
    FROM pg_roles g
    WHERE NOT r.rolsuper AND g.oid <> r.oid AND pg_has_role(r.oid, g.oid, 'MEMBER')
      AND (g.rolsuper OR g.rolcreaterole OR g.rolreplication OR g.rolbypassrls
           OR g.rolname = ANY ($1))
    ORDER BY 1) AS powers
FROM pg_roles r
WHERE NOT starts_with(r.rolname::text, 'pg_')
ORDER BY r.rolname
"""

_SERVER_ROLES = (
    "pg_checkpoint",
    "pg_create_subscription",
    "pg_execute_server_program",
    "pg_maintain",
    "pg_read_all_data",
    "pg_read_server_files",
    "pg_signal_backend",
    "pg_use_reserved_connections",
    "pg_write_all_data",
    "pg_write_server_files",
)
"""Predefined roles that reach beyond what their member was granted itself."""


async def inventory(primary: Server, account_prefix: str) -> tuple[Account, ...]:
    """Every role that can log in or holds a power over the server; errors as ``Server.rows``."""
    rows = await primary.rows(_QUERY, list(_SERVER_ROLES))
    return tuple(
        account_of(row, account_prefix)
        for row in rows
        if row["can_log_in"] or row["powers"] or row["name"].startswith(account_prefix)
    )


def account_of(row: Row, account_prefix: str) -> Account:
    """One row in the words of the port. Pure."""
    name = str(row["name"])
    return Account(
        name=name,
        handle=name.removeprefix(PREFIX) if name.startswith(account_prefix) else "",
        can_log_in=row["can_log_in"],
        powers=tuple(row["powers"]),
        secret_changed=UNKNOWN,
        expires=_end(ends=row["ends"], valid_until=row["valid_until"]),
        last_used=UNKNOWN,
        sessions=int(row["sessions"]),
        is_broker=row["is_broker"],
    )


def _end(*, ends: bool, valid_until: datetime | None) -> Moment:
    if not ends:
        return NEVER
    # -infinity: refused since ever, so there is an end and no moment for it.
    return Moment(known=True, at=valid_until) if valid_until else UNKNOWN
