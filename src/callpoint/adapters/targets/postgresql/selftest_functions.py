"""7a: what the selftest looks at where the owner installed the functions."""

from collections.abc import Iterable
from datetime import timedelta

from callpoint.adapters.targets.postgresql.databases import examined, open_databases
from callpoint.adapters.targets.postgresql.owner_script import VERSION
from callpoint.adapters.targets.postgresql.server import Row, Server
from callpoint.adapters.targets.postgresql.settings import PostgresqlSettings
from callpoint.domain.errors import TargetError
from callpoint.ports.targets import Check, Residual

_FEWEST_RUNS = 3
_LONGEST_SILENCE = timedelta(minutes=15)
# One run of the reaper waits a second for a session, and a timer is a little late.
_REAPER_MARGIN = timedelta(seconds=10)
_PREPARE = "callpoint target prepare"

_POWERS = """
SELECT concat_ws(', ',
    CASE WHEN r.rolsuper THEN 'superuser' END, CASE WHEN r.rolcreaterole THEN 'createrole' END,
    CASE WHEN r.rolcreatedb THEN 'createdb' END, CASE WHEN r.rolreplication THEN 'replication' END,
    CASE WHEN r.rolbypassrls THEN 'bypassrls' END) AS attributes,
  ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_roles g
        WHERE g.oid <> r.oid AND pg_catalog.pg_has_role(r.oid, g.oid, 'MEMBER')
        ORDER BY 1) AS roles,
  (SELECT count(*) FROM pg_catalog.pg_shdepend d
   WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
     AND d.refobjid = r.oid AND d.deptype = 'o') AS owned
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
"""


async def residual(settings: PostgresqlSettings, primary: Server) -> Residual:
    """What the reaper's heartbeats prove, or that they cannot be read."""
    try:
        rows = await primary.rows(f"SELECT * FROM {settings.schema}.reaper_facts()")  # noqa: S608 - a checked identifier
    except TargetError as error:
        return Residual(bound=None, because=f"the reaper cannot be looked at: {error.message}")
    return reaper_residual(rows[0]["runs"], rows[0]["longest_silence"])


def reaper_residual(runs: int, longest_silence: timedelta | None) -> Residual:
    """What the heartbeats of the last hour prove. Pure."""
    if runs < _FEWEST_RUNS or longest_silence is None:
        return Residual(
            bound=None,
            because="the owner's reaper has not run three times within the last hour, so nothing "
            "on the target ends a live session after its time",
        )
    if longest_silence > _LONGEST_SILENCE:
        return Residual(
            bound=None,
            because=f"the owner's reaper was silent for {_words(longest_silence)}, so it is not "
            "counted on",
        )
    bound = longest_silence + _REAPER_MARGIN
    return Residual(
        bound=bound,
        because=f"the owner's reaper ends live sessions within {_words(bound)} after their time "
        f"({runs} runs seen within the last hour)",
    )


async def _scripts(settings: PostgresqlSettings, primary: Server) -> Check:
    lacking = []
    names = await examined(settings, primary)
    for name in names:
        try:
            found = await primary.value(f"SELECT {settings.schema}.version()", database=name)
        except TargetError as error:
            lacking.append(f"{name} ({error.message})")
        else:
            if found != VERSION:
                lacking.append(f"{name} (version {found}, wanted {VERSION})")
    unseen = [name for name in await open_databases(settings, primary) if name not in names]
    seen = f"in {', '.join(names)}" + (
        f"; not looked at, though accounts may connect: {', '.join(unseen)}" if unseen else ""
    )
    return Check(
        name="owner's script",
        ok=not lacking,
        detail=f"lacking in: {'; '.join(lacking)}" if lacking else seen,
        way_out=f"run what `{_PREPARE} {settings.name}` prints there, or list `databases`",
    )


async def _powers(settings: PostgresqlSettings, primary: Server) -> Check:
    """A stolen broker credential is worth exactly this."""
    (row,) = await primary.rows(_POWERS)
    beyond = [str(row["attributes"])] if row["attributes"] else []
    beyond += [f"member of {name}" for name in row["roles"]]
    beyond += [f"owner of {row['owned']} objects"] if row["owned"] else []
    return Check(
        name="broker's powers",
        ok=not beyond,
        detail="; ".join(beyond) or "only the owner's functions",
        way_out=f"take it away from the role {settings.broker}: it needs the functions only",
        excess=True,
    )


async def _parents(settings: PostgresqlSettings, primary: Server) -> Check:
    rows = await primary.rows(f"SELECT * FROM {settings.schema}.parents()")  # noqa: S608 - a checked identifier
    safe = {row["parent"] for row in rows if row["safe"]}
    wrong = [parent for parent in settings.parents if parent not in safe]
    return Check(
        name="parent roles",
        ok=not wrong,
        detail=f"missing, able to log in, or too powerful: {', '.join(wrong)}"
        if wrong
        else ", ".join(settings.parents),
        way_out=f"make them NOLOGIN without server-wide rights, then `{_PREPARE} {settings.name}`",
    )


async def _checked_out(settings: PostgresqlSettings, primary: Server) -> Check:
    """Looks only: a trial would change the secret of an account that somebody may have out."""
    rows = await primary.rows(f"SELECT * FROM {settings.schema}.checked_out_accounts()")  # noqa: S608 - a checked identifier
    safe = {row["account"] for row in rows if row["safe"]}
    wrong = [account for account in settings.checked_out if account not in safe]
    return Check(
        name="checked-out accounts",
        ok=not wrong,
        detail=f"missing, or with power over the server: {', '.join(wrong)}"
        if wrong
        else ", ".join(settings.checked_out) or "none",
        way_out="take its powers away and those of what it can become, then"
        f" `{_PREPARE} {settings.name}`",
    )


async def _access_rules(settings: PostgresqlSettings, primary: Server) -> Check:
    rows = await primary.rows(f"SELECT * FROM {settings.schema}.access_rules()")  # noqa: S608 - a checked identifier
    return read_access_rules(rows, settings.parents, settings.checked_out)


def read_access_rules(
    rows: Iterable[Row], parents: tuple[str, ...], checked_out: tuple[str, ...] = ()
) -> Check:
    """Which ``pg_hba`` lines let accounts in, from where, and whether a secret is asked. Pure."""
    open_doors, networks = [], []
    groups = {"all", *(f"+{role}" for role in (*parents, *checked_out)), *checked_out}
    for row in rows:
        names = set(row["users"] or [])
        concerned = bool(names & groups) or any(name.startswith("/") for name in names)
        if str(row["method"]).startswith("error"):
            open_doors.append(f"line {row['line']} is in error")
        elif concerned and row["method"] in {
            "trust",
            "peer",
            "ident",
            "cert",
            "ldap",
            "gss",
            "radius",
        }:
            open_doors.append(f"line {row['line']} asks for no password of ours ({row['method']})")
        elif concerned and row["type"] != "local" and row["method"] != "reject":
            networks.append(row["address"] or "anywhere")
    restricted = bool(networks) and not {"all", "anywhere", "0.0.0.0 0.0.0.0", ":: ::"} & set(
        networks
    )
    return Check(
        name="pg_hba",
        ok=not open_doors,
        detail="; ".join(open_doors)
        or f"sources {'restricted to' if restricted else 'not restricted:'} {', '.join(networks)}",
        way_out="for accounts use only scram-sha-256 lines: "
        + ", ".join(f"hostssl all +{parent} NETWORK scram-sha-256" for parent in parents),
    )


def _words(span: timedelta) -> str:
    return f"{round(span.total_seconds())} s"


CHECKS = (
    ("owner's script", _scripts),
    ("broker's powers", _powers),
    ("parent roles", _parents),
    ("checked-out accounts", _checked_out),
    ("pg_hba", _access_rules),
)
"""Name and check, to be awaited one after the other."""
