"""Which settings each connector takes: an allow-list, so that a misspelt setting is an error.

A setting that holds a secret is written ``{ env = "NAME" }`` and goes on as ``…_env``: the signed
configuration carries the name of the variable, never its value.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from callpoint.config import checked_out, ssh
from callpoint.config.document import Problems
from callpoint.config.kinds import (
    BAD,
    NAME,
    SECRET,
    WORD,
    Kind,
    array,
    choice,
    integer,
    mapping,
    matching,
)
from callpoint.config.positions import Path
from callpoint.config.shape import Key, Shape, Values, table

_SCHEMA = matching(
    "an identifier: a-z, 0-9 and _, at most 41", re.compile(r"[a-z_][a-z0-9_]{0,40}")
)
_PARENT = matching(
    "a role of the owner's: letters, digits and _, at most 63, neither cp_… nor pg_…",
    re.compile(r"(?!cp_|pg_)[A-Za-z_][A-Za-z0-9_]{0,62}"),
)
_PROGRAM = matching(
    "an absolute path without . and .. parts",
    re.compile(r"(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._+-]{1,100}){1,12}"),
)
_DATABASE = matching(
    "a database name: letters, digits, _ . -, at most 63",
    re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}"),
)


@dataclass(frozen=True, slots=True)
class ConnectorShape:
    """What a target of one connector may say.

    Attributes:
        settings: Keys of the target, beside those that all targets have.
        role: Keys of each role.
        check: Notes what does not go together: a role's values, the target's settings, the role's
            path, where to note it.
    """

    settings: Shape
    role: Shape
    check: Callable[[Values, Values, Path, Problems], None]


ENDPOINT: Shape = (
    Key("dsn", SECRET, "The broker's own login there.", into="dsn_env"),
    Key(
        "kind",
        choice(("standby", "pooler")),
        "standby: the broker can look and kill there. pooler: it can only try the old credential.",
        default="standby",
    ),
)


def _endpoints() -> Kind:
    """Endpoints by name, as flat lines ``NAME KIND VARIABLE``: settings hold no nested tables."""
    tables = mapping(NAME, table(ENDPOINT), empty="name an endpoint, or leave the key out")

    def read(value: object, path: Path, problems: Problems) -> object:
        found = tables.read(value, path, problems)
        if not isinstance(found, dict):
            return BAD
        return tuple(f"{name} {e['kind']} {e['dsn_env']}" for name, e in sorted(found.items()))

    return Kind(tables.says, read)


_POSTGRESQL = ConnectorShape(
    settings=(
        Key(
            "dsn",
            SECRET,
            "How the broker reaches the server; it owns nothing there.",
            into="dsn_env",
        ),
        Key(
            "databases",
            array(_DATABASE),
            "Databases that are searched for what a login left behind when it is revoked; "
            "left out, every one that can be connected to.",
            default=None,
        ),
        Key(
            "endpoints",
            _endpoints(),
            "Further ways in (standbys, poolers) where a revoked login must be refused as well.",
            default=None,
            into="endpoints_env",
        ),
        Key(
            "advertise_host",
            WORD,
            "Host that the requester is told to connect to; left out, the broker's.",
            default=None,
        ),
        Key(
            "advertise_port",
            integer(1, 65535),
            "Port that the requester is told; left out, the broker's.",
            default=None,
        ),
        Key(
            "advertise_dbname",
            WORD,
            "Database that the requester is told; left out, the broker's.",
            default=None,
        ),
        Key(
            "connection_limit",
            integer(1, 100),
            "Connections that one credential may hold at a time.",
            default=5,
        ),
        Key(
            "mode",
            choice(("functions", "createrole")),
            "functions: the owner's functions do the work and the broker has no CREATEROLE. "
            "createrole: the broker may create roles itself, which weighs more.",
            default="functions",
        ),
        Key(
            "schema",
            _SCHEMA,
            "Schema of the owner's functions (`callpoint target prepare`).",
            default="callpoint",
        ),
        Key(
            "sslmode",
            choice(("disable", "prefer", "require", "verify-ca", "verify-full")),
            "What the requester is told to use; left out, as in the broker's DSN.",
            default=None,
        ),
    ),
    role=(
        Key(
            "parent",
            _PARENT,
            "The owner's NOLOGIN role whose rights the credential gets; nothing is granted beside. "
            "Minted roles need it.",
            default=None,
        ),
        *checked_out.ROLE,
    ),
    check=checked_out.check_postgresql,
)

_SCRIPT = ConnectorShape(
    settings=(
        Key(
            "program",
            _PROGRAM,
            "The owner's executable on the server's host; it is run without a shell, and neither "
            "it nor its folder may be writable by others.",
        ),
        Key(
            "seconds",
            integer(1, 12),
            "How long one call of it may take.",
            default=10,
        ),
        Key("host", WORD, "Host that the requester is told to connect to."),
        Key(
            "port",
            integer(1, 65535),
            "Port that the requester is told.",
            default=None,
        ),
    ),
    role=(
        *checked_out.ROLE,
        Key(
            "initial",
            SECRET,
            "The account's secret before the first check-out, where the program needs the old "
            "secret to set a new one. Forget it afterwards.",
            default=None,
            into="initial_env",
        ),
    ),
    check=checked_out.check_script,
)

_SSH = ConnectorShape(settings=ssh.SETTINGS, role=ssh.ROLE, check=ssh.check)

CONNECTORS: dict[str, ConnectorShape] = {
    "postgresql": _POSTGRESQL,
    "script": _SCRIPT,
    "ssh": _SSH,
}
