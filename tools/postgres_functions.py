"""Write the list of PostgreSQL's own functions that a statement may use undecided.

    python tools/postgres_functions.py BINDIR [BINDIR …]

Each BINDIR is the folder with `initdb` of one version; give all versions that are supported. The
list is what `QUERY` finds on every one of them: a name is pure only if *all* functions of that
name are, on each server that has it. `tests/integration/test_postgres_sql_facts.py` compares the
list with real servers.
"""

import sys
import textwrap
from pathlib import Path

import psycopg

from callpoint.cli.postgres_server import PostgresServer, find_servers
from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.gateways.postgres.sql.purity import FUNCTION_QUERY, pure_names

WIDTH = 96
WHY = "noqa: SIM905 -- words are read more easily than quotes"
TARGET = Path(__file__).parent.parent / "src/callpoint/gateways/postgres/sql/own_names.py"
HEAD = '''"""PostgreSQL's own functions that a statement may use undecided.

Written by tools/postgres_functions.py from servers of version {versions}; do not edit. The rule
is in ``purity``: a name is here if each function of that name, on each of those servers, reads
no more than its arguments and the session, and runs nothing that its caller chose.
"""

'''


def chosen(bindirs: list[str]) -> list[PostgresServer]:
    """The servers of these folders, or all of the machine."""
    found = list(find_servers())
    if not bindirs:
        return found
    known = {str(server.bindir): server for server in found}
    missing = [name for name in bindirs if name not in known]
    if missing:
        sys.exit(f"no PostgreSQL in {', '.join(missing)}; this machine has {', '.join(known)}")
    return [known[name] for name in bindirs]


def read(server: PostgresServer) -> list[tuple[str, bool]]:
    """Names of functions, each with whether it is pure by the catalogue."""
    with (
        ThrowawayPostgres(server, settings={}) as running,
        psycopg.connect(running.superuser_url()) as session,
    ):
        functions = session.execute(FUNCTION_QUERY).fetchall()
    return [(str(name), bool(pure)) for name, pure in functions]


def packed(constant: str, names: frozenset[str]) -> str:
    """One constant: words, wrapped."""
    body = textwrap.fill(" ".join(sorted(names)), WIDTH, break_long_words=False)
    return f'{constant} = frozenset(\n    """\n{body}\n""".split()  # {WHY}\n)\n'


def main(arguments: list[str]) -> int:
    servers = chosen(arguments)
    functions = pure_names([read(server) for server in servers])
    versions = " and ".join(sorted({str(server.major) for server in servers}))
    TARGET.write_text(HEAD.format(versions=versions) + packed("PURE_FUNCTIONS", functions))
    print(f"{TARGET.name}: {len(functions)} functions")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
