"""What a PostgreSQL target's configuration says, checked once.

Everything that ends up inside SQL text (schema, roles, installation) is held to a narrow form
here, so that the owner's script cannot be bent by a configuration line.
"""

import re
from enum import StrEnum
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from callpoint.domain.errors import ConfigError
from callpoint.domain.ids import is_installation

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_DATABASE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_SSL_MODES = ("", "disable", "prefer", "require", "verify-ca", "verify-full")
_MOST_CONNECTIONS = 100
_DEFAULT_PORT = 5432

PREFIX = "cp_"
CUSTODIAN = "cp_lost"
"""The NOLOGIN role that inherits what an account owned: data made in a repair is not destroyed."""


class Mode(StrEnum):
    """How the broker may act: owner-installed functions (7a) or CREATEROLE (7b)."""

    FUNCTIONS = "functions"
    CREATEROLE = "createrole"


class EndpointKind(StrEnum):
    """``standby``: we can look and kill there. ``pooler``: we can only try the old credential."""

    STANDBY = "standby"
    POOLER = "pooler"


class Between(StrEnum):
    """A checked-out account while nobody has it: nobody gets in, or whoever knows its secret."""

    LOCKED = "locked"
    ROTATED = "rotated"


class RoleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One target role: ``parent`` or ``account``, one of them.

    Attributes:
        parent: The NOLOGIN role whose rights a minted account of it may take.
        account: The owner's login role that is checked out instead.
        between: What the account is while nobody has it.
    """

    parent: str = ""
    account: str = ""
    between: Between = Between.LOCKED


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A further way in to the same data. ``dsn`` is the broker's own login there."""

    name: str
    dsn: str
    kind: EndpointKind = EndpointKind.STANDBY

    def __repr__(self) -> str:
        return f"Endpoint(name={self.name!r}, kind={self.kind.value!r})"


class PostgresqlSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One target.

    Attributes:
        name: The target's configured name.
        installation: The installation's id, ``[a-z0-9]{6}``; every account begins with it.
        dsn: The broker's login at the primary, in the database that holds the owner's functions.
        roles: Target role to parent role.
        endpoints: Standbys and poolers in front of the same data.
        databases: Those to sweep and compare; empty for every connectable one.
        connection_limit: Sessions that one account may have at a time.
        schema: Where the owner's functions are.
        mode: 7a or 7b.
        advertise_host: What the actor connects to; empty for what the DSN says. Likewise the
            port (0) and the database.
        sslmode: libpq's word, for us and for the actor; empty leaves it to the DSN.
    """

    name: str
    installation: str
    dsn: str
    roles: dict[str, RoleSettings]
    endpoints: tuple[Endpoint, ...] = ()
    databases: tuple[str, ...] = ()
    connection_limit: int = 5
    schema: str = "callpoint"
    mode: Mode = Mode.FUNCTIONS
    advertise_host: str = ""
    advertise_port: int = 0
    advertise_dbname: str = ""
    sslmode: str = ""

    def __post_init__(self) -> None:
        self._must(is_installation(self.installation), "installation", "6 of a-z0-9")
        self._must(bool(_SCHEMA.fullmatch(self.schema)), "schema", "a lower-case identifier")
        self._must(bool(self.roles), "roles", "at least one role with its parent")
        for role, role_settings in self.roles.items():
            self._check_role(role, role_settings)
        self._must(1 <= self.connection_limit <= _MOST_CONNECTIONS, "connection_limit", "1 to 100")
        self._must(self.sslmode in _SSL_MODES, "sslmode", f"one of {', '.join(_SSL_MODES[1:])}")
        self._must(bool(_NAME.fullmatch(self.broker)), "dsn", "postgresql://BROKER@HOST/DATABASE")
        self._must(
            bool(_DATABASE.fullmatch(self.database)), "dsn", "a database of letters, digits, _ . -"
        )
        for name in self.databases:
            self._must(
                bool(_DATABASE.fullmatch(name)), "databases", "names of letters, digits, _ . -"
            )
        names = [endpoint.name for endpoint in self.endpoints]
        self._must(
            len(set(names)) == len(names), "endpoints", "a name of its own for each endpoint"
        )

    def __repr__(self) -> str:
        # The DSN holds the broker's password (I14).
        return f"PostgresqlSettings(name={self.name!r}, mode={self.mode.value!r})"

    def _check_role(self, role: str, given: RoleSettings) -> None:
        key = "account" if given.account else "parent"
        name = given.account or given.parent
        where = f"roles.{role}.{key}"
        self._must(bool(_NAME.fullmatch(name)), where, "a role name of letters, digits and _")
        mine = name.startswith((PREFIX, "pg_"))
        self._must(not mine, where, "a role of the owner's, neither cp_… nor pg_…")
        if given.account:
            self._must(not given.parent, where, "account or parent, one of them")
            self._must(name != self.broker, where, "an account that is not the broker's own")
            self._must(
                self.mode is Mode.FUNCTIONS,
                where,
                'it with mode = "functions": a broker with CREATEROLE cannot be kept to a list of'
                " accounts",
            )

    @property
    def account_prefix(self) -> str:
        """What every account of this installation begins with."""
        return PREFIX + self.installation

    @property
    def broker(self) -> str:
        """The login role in the DSN."""
        return address_of(self.dsn).user

    @property
    def database(self) -> str:
        """The database in the DSN: where the owner's functions are."""
        return address_of(self.dsn).dbname

    @property
    def powers(self) -> str:
        """7b: the NOLOGIN role with CREATEROLE that the broker's login acts as."""
        return f"callpoint_{self.installation}_powers"

    @property
    def advertised(self) -> "Address":
        """Where the actor connects to."""
        own = address_of(self.dsn)
        return Address(
            user="",
            host=self.advertise_host or own.host,
            port=self.advertise_port or own.port,
            dbname=self.advertise_dbname or own.dbname,
        )

    @property
    def parents(self) -> tuple[str, ...]:
        """The allow-list of parent roles, sorted."""
        return tuple(sorted({role.parent for role in self.roles.values() if role.parent}))

    @property
    def checked_out(self) -> tuple[str, ...]:
        """The allow-list of accounts that are checked out, sorted."""
        return tuple(sorted({role.account for role in self.roles.values() if role.account}))

    @property
    def left_open(self) -> tuple[str, ...]:
        """Those of them that stay open for who knows the secret while nobody has them, sorted."""
        open_ones = (r.account for r in self.roles.values() if r.between is Between.ROTATED)
        return tuple(sorted({account for account in open_ones if account}))

    def _must(self, holds: bool, key: str, way_out: str) -> None:  # noqa: FBT001 - an assertion
        if not holds:
            raise ConfigError(
                f"{key} is not valid for a PostgreSQL target",
                key=f"targets.{self.name}.{key}",
                way_out=f"write {way_out}",
            )


class Address(msgspec.Struct, frozen=True):
    """The parts of a DSN that are no secret. ``host`` may be the directory of a socket."""

    user: str
    host: str
    port: int
    dbname: str


def address_of(dsn: str) -> Address:
    """Take a ``postgresql://`` DSN apart.

    Raises:
        ConfigError: It is no such DSN, or names several hosts (declare those as endpoints).
    """
    try:
        parts = urlsplit(dsn)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        return Address(
            user=unquote(parts.username or query.get("user", "")),
            host=unquote(parts.hostname or query.get("host", "localhost")),
            port=parts.port or int(query.get("port", _DEFAULT_PORT)),
            dbname=unquote(parts.path.lstrip("/")) or query.get("dbname", ""),
        )
    except ValueError:
        # Without the cause: its text quotes the DSN, which holds a password (I14).
        raise ConfigError(
            "the DSN cannot be read", way_out="write postgresql://BROKER@HOST:PORT/DATABASE"
        ) from None
