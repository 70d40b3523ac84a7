"""7b: what the selftest looks at where the broker has CREATEROLE."""

from callpoint.adapters.targets.postgresql.server import Server
from callpoint.adapters.targets.postgresql.settings import CUSTODIAN, PostgresqlSettings
from callpoint.ports.targets import Check, Residual

RESIDUAL = Residual(
    bound=None,
    because="without the owner's functions nothing on the target ends a live session",
)

_SEPARATE = 160000
"""From 16 on, CREATEROLE reaches only roles that it was given or made itself."""

_REACH = """
SELECT current_setting('server_version_num')::integer AS version, r.rolname::text AS acting,
  r.rolcreaterole AS createrole, r.rolsuper AS superuser,
  ARRAY(SELECT g.rolname::text FROM pg_roles g
        WHERE g.oid <> r.oid AND pg_has_role(r.oid, g.oid, 'MEMBER')
          AND (shobj_description(g.oid, 'pg_authid') ~ ('^callpoint 1 ' || $1 || ' ')) IS NOT TRUE
        ORDER BY 1) AS roles
FROM pg_roles r WHERE r.rolname = current_user
"""

_PARENTS = """
SELECT p.name, coalesce(bool_and(NOT r.rolsuper AND NOT r.rolcreaterole AND NOT r.rolcanlogin
    AND (current_setting('server_version_num')::integer < 160000
         OR pg_has_role(current_user, r.oid, 'MEMBER WITH ADMIN OPTION'))), false) AS fit
FROM unnest($1::text[]) AS p (name) LEFT JOIN pg_roles r ON r.rolname = p.name GROUP BY p.name
"""


async def _powers(settings: PostgresqlSettings, primary: Server) -> Check:
    """A stolen broker credential is worth this, and it is more than the task needs."""
    (row,) = await primary.rows(_REACH, settings.installation)
    expected = {CUSTODIAN, *settings.parents}
    beyond = [f"member of {name}" for name in row["roles"] if name not in expected]
    if row["superuser"]:
        beyond.append("superuser")
    if not row["createrole"] or row["acting"] != settings.powers:
        beyond.append(f"acts as {row['acting']}, not as {settings.powers} with CREATEROLE")
    if row["version"] < _SEPARATE:
        # Measured: it granted itself pg_execute_server_program and ran a command on the host.
        beyond.append(
            "before PostgreSQL 16, CREATEROLE can join any role but a superuser, also those that "
            "read, write and execute on the host"
        )
    return Check(
        name="broker's powers",
        ok=not beyond,
        detail="; ".join(beyond)
        or "makes and drops roles of its own, gives the parents, no power over other roles",
        way_out='prefer mode = "functions", where the broker can only ask',
        excess=True,
    )


async def _parents(settings: PostgresqlSettings, primary: Server) -> Check:
    rows = await primary.rows(_PARENTS, list(settings.parents))
    wrong = [row["name"] for row in rows if not row["fit"]]
    return Check(
        name="parent roles",
        ok=not wrong,
        detail=f"missing, too powerful, or not ours to give: {', '.join(wrong)}"
        if wrong
        else ", ".join(settings.parents),
        way_out=f"run what `callpoint target prepare {settings.name}` prints",
    )


CHECKS = (
    ("broker's powers", _powers),
    ("parent roles", _parents),
)
"""Name and check, to be awaited one after the other."""
