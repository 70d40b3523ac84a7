"""Gateways of one process: those that run inside the server, and one that runs alone.

Like ``server.toml`` this is not governed: what a gateway may do is decided by the authority, and
which targets are behind it is in the configuration. Nothing here can hold a target's credential or
a key of the log: there are no such keys.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from callpoint.config.document import MAX_BYTES, Document, Problems, parse_document
from callpoint.config.kinds import (
    ADDRESS,
    BOOLEAN,
    NAME,
    PATH,
    PUBLIC_KEY,
    array,
    integer,
    matching,
)
from callpoint.config.shape import Key, Shape, Values, read_table, refuse_unknown
from callpoint.domain.address import is_confidential, is_loopback
from callpoint.domain.errors import ConfigError

GATEWAYS = "gateway"
"""The table of server.toml."""

_LISTEN = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,100}):[0-9]{1,5}")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_$]{0,62}")
_HIGHEST_PORT = 65535

POSTGRESQL: Shape = (
    Key("name", NAME, "What the configuration calls it, in `[gateways.NAME]`."),
    Key(
        "listen",
        matching("ADDRESS:PORT; an IPv6 address in brackets, port 0 for any free one", _LISTEN),
        "Where actors' clients connect.",
        default="127.0.0.1:6432",
    ),
    Key(
        "tls_certificate",
        PATH,
        "PEM file that clients see, with its chain; needed where others than this machine can "
        "connect.",
        default=None,
    ),
    Key("tls_key", PATH, "PEM file with its private key.", default=None),
    Key(
        "target_certificates",
        PATH,
        "PEM file of the authorities that vouch for targets; left out, those of this machine.",
        default=None,
    ),
    Key(
        "search_path",
        array(matching("a schema in lower case", _SCHEMA), most=20),
        "Schemas that every session is pinned to.",
        default=("public",),
    ),
    Key(
        "journal",
        PATH,
        "File where what is done without the authority goes on record first. Left out, a gateway "
        "inside the server has one in the home directory; one that runs alone has none, and cuts.",
        default=None,
    ),
    Key("connections", integer(1, 10_000), "How many there may be at a time.", default=500),
)
AUTHORITY: Shape = (
    Key(
        "servers",
        array(ADDRESS, most=8),
        "Where Callpoint servers answer, the best first; the next one is asked when one does not.",
    ),
    Key("key", PATH, "The gateway's key file, from `callpoint keygen`; it names the principal."),
    Key(
        "certificates",
        PATH,
        "PEM file of the authorities that vouch for the servers; left out, those of this machine.",
        default=None,
    ),
    Key(
        "lost_after",
        integer(3, 15),
        "Seconds without an answer after which every session is cut.",
        default=15,
    ),
    Key(
        "token_keys",
        array(PUBLIC_KEY, most=4),
        "The installation's token key (`token_key` in `installation.json`), and the next one "
        "around its rotation: who signs with another is not believed. Left out, a session "
        "believes the key that it was opened with.",
        default=None,
    ),
)
TABLES: dict[str, Shape] = {"authority": AUTHORITY, "postgresql": POSTGRESQL}
"""Of the settings of a gateway that runs alone."""


@dataclass(frozen=True, slots=True)
class PostgresListener:
    """A gateway for PostgreSQL.

    Attributes:
        name: As the configuration calls it.
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        tls_certificate: PEM file; empty: none, and only this machine can connect.
        tls_key: PEM file.
        target_certificates: PEM file; empty: those of this machine.
        search_path: Schemas that sessions are pinned to.
        connections: At a time.
        journal: File for what is done without the authority; empty: none.
    """

    name: str
    host: str
    port: int
    tls_certificate: str = ""
    tls_key: str = ""
    target_certificates: str = ""
    search_path: tuple[str, ...] = ("public",)
    connections: int = 500
    journal: str = ""


@dataclass(frozen=True, slots=True)
class AuthorityPlace:
    """Where a gateway that runs alone asks.

    Attributes:
        servers: Addresses, the best first.
        key: Its principal's key file.
        certificates: PEM file of who vouches for the servers; empty: those of this machine.
        lost_after: Seconds of its silence after which every session is cut.
        token_keys: Who is believed; empty: for each session, who opened it.
    """

    servers: tuple[str, ...]
    key: Path
    certificates: str = ""
    lost_after: int = 15
    token_keys: tuple[str, ...] = ()


def read_gateways(data: Mapping[str, object], problems: Problems) -> PostgresListener | None:
    """The gateways inside a server, None when ``server.toml`` names none."""
    raw = data.get(GATEWAYS, {})
    kinds = (Key("postgresql", BOOLEAN, ""),)
    if not isinstance(raw, dict) or not raw:
        if GATEWAYS in data:
            problems.add((GATEWAYS,), "names no gateway", "write a table [gateway.postgresql]")
        return None
    refuse_unknown(kinds, raw, (GATEWAYS,), problems)
    return _listener(raw.get("postgresql"), (GATEWAYS, "postgresql"), problems)


def load_gateway(file: Path) -> tuple[AuthorityPlace, PostgresListener]:
    """Read the settings of a gateway that runs alone.

    Raises:
        ConfigErrors: All that is wrong in the file.
        ConfigError: It cannot be read.
    """
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}", file=str(file), way_out="check path, owner, mode"
        ) from error
    return _read_alone(parse_document(raw, str(file)))


def _read_alone(document: Document) -> tuple[AuthorityPlace, PostgresListener]:
    problems = Problems((document,))
    refuse_unknown(tuple(Key(name, BOOLEAN, "") for name in TABLES), document.data, (), problems)
    place = read_table(AUTHORITY, document.data.get("authority", {}), ("authority",), problems)
    if place is not None:
        for number, server in enumerate(place["servers"]):
            _must_be_confidential(server, number, problems)
    listener = _listener(document.data.get("postgresql", {}), ("postgresql",), problems)
    problems.raise_all()
    if place is None or listener is None:
        raise AssertionError("a table that cannot be read is a problem")
    return (
        AuthorityPlace(key=Path(place.pop("key")), **place),
        listener,
    )


def _must_be_confidential(server: str, number: int, problems: Problems) -> None:
    """What is asked and answered says who does what, and is no business of the network's."""
    if not is_confidential(server):
        problems.add(
            ("authority", "servers", number),
            "is in clear over a network",
            "write https://, as the proxy in front of the server has it",
        )


def _listener(raw: object, path: tuple[str, ...], problems: Problems) -> PostgresListener | None:
    values = read_table(POSTGRESQL, raw, path, problems)
    if values is None:
        return None
    host, _, port = values.pop("listen").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if int(port) > _HIGHEST_PORT:
        problems.add((*path, "listen"), "is no TCP port", f"write one up to {_HIGHEST_PORT}")
    _check_tls(values, host, path, problems)
    return PostgresListener(host=host, port=int(port), **values)


def _check_tls(values: Values, host: str, path: tuple[str, ...], problems: Problems) -> None:
    """A connection secret, and all that a session shows, are not for a network to read."""
    for one, other in (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")):
        if one in values and other not in values:
            problems.add((*path, other), f"is missing beside {one}", "write both, or none")
    if "tls_certificate" not in values and "tls_key" not in values and not is_loopback(host):
        problems.add(
            (*path, "tls_certificate"),
            "is missing, and others than this machine can connect",
            "write tls_certificate and tls_key, or listen on 127.0.0.1",
        )
