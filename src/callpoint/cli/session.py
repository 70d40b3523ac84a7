"""A psql that holds the credential: in its environment alone, on no command line, in no file."""

from collections.abc import Mapping, Sequence

from callpoint.cli.invocation import Invocation
from callpoint.domain.errors import RequestError
from callpoint.lifecycle.sealing import SealedCredential

_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "options": "PGOPTIONS",
    "sslmode": "PGSSLMODE",
}
_KEPT = frozenset({"PGSSLROOTCERT", "PGSSLCRL", "PGSSLCRLDIR", "PGCLIENTENCODING", "PGTZ"})
"""What says nothing about where to connect: whom to trust there, and how to show it."""


def run_psql(run: Invocation, sealed: SealedCredential, arguments: Sequence[str]) -> int:
    """Run psql in the foreground; returns its exit status.

    Raises:
        RequestError: The target is no PostgreSQL, or there is no psql.
    """
    must_be_postgresql(sealed)
    program = find_psql(run, sealed.activation)
    return run.machine.run([program, *arguments], environment(sealed, run.machine.environment))


def find_psql(run: Invocation, activation: str = "ID") -> str:
    """The program; also asked before anything is requested or taken up only for a session.

    Raises:
        RequestError: It is not installed.
    """
    program = run.machine.find_program("psql")
    if program is None:
        raise RequestError(
            "psql is not installed here",
            way_out=f"install it, or use `callpoint credentials {activation} --file FILE`"
            " with another client",
        )
    return program


def must_be_postgresql(sealed: SealedCredential) -> None:
    """Refuse a target that psql cannot talk to."""
    if "dbname" not in sealed.credential.endpoint:
        raise RequestError(
            f"{sealed.target} is no PostgreSQL, so psql cannot connect to it",
            way_out=f"`callpoint credentials {sealed.activation}` says how: "
            + sealed.credential.hint,
        )


def environment(sealed: SealedCredential, around: Mapping[str, str]) -> dict[str, str]:
    """The child's environment.

    What the caller's own environment says about PostgreSQL is left out: a PGHOSTADDR or PGSERVICE
    of another day would send this secret to another server.
    """
    kept = {n: value for n, value in around.items() if n in _KEPT or not n.startswith("PG")}
    for key, value in sealed.credential.endpoint.items():
        if key in _VARIABLES:
            kept[_VARIABLES[key]] = value
    return {
        **kept,
        "PGUSER": sealed.credential.username,
        "PGPASSWORD": sealed.credential.secret,
        "PGAPPNAME": f"callpoint {sealed.activation}",
    }
