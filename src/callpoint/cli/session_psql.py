"""A psql that holds the credential: in its environment alone, on no command line, in no file."""

from collections.abc import Mapping, Sequence

from callpoint.cli.invocation import Invocation
from callpoint.ports.box import SealedCredential

_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "options": "PGOPTIONS",
    "sslmode": "PGSSLMODE",
}
_KEPT = frozenset({"PGSSLROOTCERT", "PGSSLCRL", "PGSSLCRLDIR", "PGCLIENTENCODING", "PGTZ"})
"""What says nothing about where to connect: whom to trust there, and how to show it."""


def run_psql(
    run: Invocation, program: str, sealed: SealedCredential, arguments: Sequence[str]
) -> int:
    """Run psql in the foreground; returns its exit status."""
    return run.machine.run([program, *arguments], environment(sealed, run.machine.environment))


def broke_off(status: int) -> bool:
    """Whether psql ended for another reason than that its user was done."""
    return status != 0


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
