"""A PostgreSQL target's settings: what is accepted, and that no secret shows."""

from typing import Any

import pytest

from callpoint.adapters.targets.postgresql.settings import (
    Address,
    Endpoint,
    PostgresqlSettings,
    RoleSettings,
    address_of,
)
from callpoint.domain.errors import ConfigError

GOOD: dict[str, Any] = {
    "name": "orders-db",
    "installation": "abc123",
    "dsn": "postgresql://broker:hush@db.internal:6432/orders",
    "roles": {"repair": RoleSettings("orders_repair"), "look": RoleSettings("orders_read")},
}


def test_the_actor_is_sent_where_the_dsn_or_the_advertisement_says():
    """Host, port and database come from the DSN unless they are advertised."""
    assert PostgresqlSettings(**GOOD).advertised == Address("", "db.internal", 6432, "orders")
    other = PostgresqlSettings(
        **GOOD, advertise_host="db.example", advertise_port=5433, advertise_dbname="other"
    )
    assert other.advertised == Address("", "db.example", 5433, "other")


def test_parents_are_a_sorted_set():
    """The allow-list holds each parent once."""
    assert PostgresqlSettings(**GOOD).parents == ("orders_read", "orders_repair")


def test_a_socket_and_query_parameters_are_read():
    """A DSN may name a socket directory, user and port as parameters, and escape characters."""
    text = "postgresql:///my%20db?host=%2Frun%2Fpg&port=5433&user=broker"
    assert address_of(text) == Address("broker", "/run/pg", 5433, "my db")
    assert address_of("postgresql://b%40x@h/d") == Address("b@x", "h", 5432, "d")


def test_no_secret_shows():
    """Neither the settings nor an endpoint show a DSN."""
    endpoint = Endpoint("standby", "postgresql://broker:hush@s/orders")
    settings = PostgresqlSettings(**GOOD, endpoints=(endpoint,))
    assert "hush" not in repr(settings) + str(settings) + repr(endpoint)


@pytest.mark.parametrize(
    "key,value",
    [
        ("installation", "ABC123"),
        ("installation", "abc"),
        ("schema", 'x"; DROP ROLE x; --'),
        ("schema", "Upper"),
        ("roles", {}),
        ("roles", {"r": RoleSettings("x; DROP TABLE y")}),
        ("roles", {"r": RoleSettings("pg_write_all_data")}),
        ("roles", {"r": RoleSettings("cp_lost")}),
        ("connection_limit", 0),
        ("connection_limit", 1000),
        ("sslmode", "perhaps"),
        ("dsn", "postgresql://db/orders"),
        ("dsn", "postgresql://broker:hush@db"),
        ("dsn", "postgresql://broker:hush@db:many/orders"),
        ("dsn", "postgresql://broker:hush@db/or'ders"),
        ("databases", ("fine", "not'fine")),
        (
            "endpoints",
            (Endpoint("s", "postgresql://b@x/y"), Endpoint("s", "postgresql://b@z/y")),
        ),
    ],
)
def test_what_could_bend_a_script_is_refused(key, value):
    """Each line that is not plain is an error that names it, and shows no secret."""
    with pytest.raises(ConfigError) as refused:
        PostgresqlSettings(**(GOOD | {key: value}))
    assert refused.value.way_out
    assert "hush" not in str(refused.value)
