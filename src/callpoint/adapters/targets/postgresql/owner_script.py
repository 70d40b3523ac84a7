"""The script that the target's owner reads and runs: ``callpoint target prepare NAME`` prints it.

It installs SECURITY DEFINER functions owned by the superuser who runs it. They must belong to a
superuser, as ending sessions, comparing password marks and reassigning objects need one; so they
are few, check every argument themselves, and pin ``search_path`` with ``pg_temp`` last, so that
nobody's operator or function of the same name is ever called. The broker may execute them and has
no other right. Rendering is pure.
"""

from datetime import timedelta
from importlib.resources import files

from callpoint.adapters.targets.postgresql.settings import CUSTODIAN, Mode, PostgresqlSettings

VERSION = "6"
"""Raised with every change of the SQL; the selftest compares it with what is installed."""

LONGEST = timedelta(hours=8)
"""No account lives longer, whatever Callpoint asks: a constant of the owner's, not of ours."""

BATCH = 2_000
"""Large objects that one call of ``sweep`` moves. Each takes a lock, of which a server with default
settings has some 6,400 for everybody."""

_HEADING = """\
-- Callpoint: what the owner of the target {name} installs.
-- For installation {installation}, broker role {broker}. Read it, then run it as a superuser:
--   psql --set ON_ERROR_STOP=1 --dbname {database} --file THIS_FILE
-- It may be run again at any time. It names no password: set the broker's with \\password.
-- {databases}

"""


def render(settings: PostgresqlSettings) -> str:
    """The whole script for psql: the home database's parts, then each further database's part."""
    if settings.mode is Mode.CREATEROLE:
        return render_createrole(settings)
    others = [name for name in settings.databases if name != settings.database]
    heading = _HEADING.format(
        name=settings.name,
        installation=settings.installation,
        broker=settings.broker,
        database=settings.database,
        databases=_about_databases(settings, others),
    )
    parts = [heading, _at_once(render_home(settings))]
    for name in others:
        parts.extend([f"\\connect {_quoted(name)}\n\n", render_database_part(settings)])
    return "".join(parts)


def render_home(settings: PostgresqlSettings) -> str:
    """Plain SQL for the database that the broker logs in to; includes ``render_database``."""
    names = ("owner_home.sql", "owner_checked_out.sql", "owner_reaper.sql")
    home = (_template(name) for name in names)
    return render_database(settings) + "\n".join(_filled(part, settings) for part in home)


def render_database(settings: PostgresqlSettings) -> str:
    """Plain SQL for any database in which accounts could own something."""
    return _filled(_template("owner_database.sql"), settings) + "\n"


def render_database_part(settings: PostgresqlSettings) -> str:
    """The same as a script of its own for psql."""
    return _at_once(render_database(settings))


def render_createrole(settings: PostgresqlSettings) -> str:
    """7b: roles and grants for a broker that has CREATEROLE; it installs no function."""
    return _filled(_template("createrole.sql"), settings)


def cluster_snapshot(settings: PostgresqlSettings) -> str:
    """One statement for ``$1`` account, ``$2`` parents: what all databases share."""
    return _filled(_template("cluster_snapshot.sql"), settings, parents_array="$2::text[]")


def database_snapshot(settings: PostgresqlSettings) -> str:
    """One statement for ``$1`` account, ``$2`` parent: what one database holds."""
    return _filled(_template("database_snapshot.sql"), settings)


def _at_once(script: str) -> str:
    """In one transaction: everybody may execute a new function until that is taken back."""
    return f"BEGIN;\n\n{script}\nCOMMIT;\n\n"


def _about_databases(settings: PostgresqlSettings, others: list[str]) -> str:
    if settings.databases:
        return f"Databases: {', '.join([settings.database, *others])}."
    return (
        "It covers this database. For each other one that accounts may connect to, run what\n"
        "-- `callpoint target prepare NAME --database-part` prints; the selftest names them."
    )


def _filled(template: str, settings: PostgresqlSettings, parents_array: str = "parents") -> str:
    # Every value has been held to a narrow form by the settings; the database's name is quoted.
    values = {
        # First, because these contain further places to fill in.
        "cluster_snapshot": _template("cluster_snapshot.sql").rstrip(),
        "database_snapshot": _template("database_snapshot.sql").rstrip(),
        "parents_array": parents_array,
        "mode": settings.mode.value,
        "powers": settings.powers,
        "schema": settings.schema,
        "version": VERSION,
        "installation": settings.installation,
        "prefix": settings.account_prefix,
        "custodian": CUSTODIAN,
        "broker": settings.broker,
        "database": settings.database,
        "parents": ", ".join(f"'{parent}'" for parent in settings.parents),
        "checked_out": ", ".join(f"'{account}'" for account in settings.checked_out),
        "left_open": ", ".join(f"'{account}'" for account in settings.left_open),
        "longest": f"{LONGEST // timedelta(hours=1)} hours",
        "batch": str(BATCH),
        "connections": str(settings.connection_limit),
    }
    for key, value in values.items():
        template = template.replace("{{" + key + "}}", value)
    return template


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _template(name: str) -> str:
    return files(__package__).joinpath("sql", name).read_text(encoding="utf-8")
