"""Rendering the owner's script: complete, deterministic, and with nothing left to fill in."""

import re

from callpoint.adapters.targets.postgresql import owner_script
from callpoint.adapters.targets.postgresql.settings import PostgresqlSettings, RoleSettings


def _settings(**changes):
    given = {
        "name": "orders-db",
        "installation": "abc123",
        "dsn": "postgresql://the_broker:hush@db.internal/orders",
        "roles": {"repair": RoleSettings("orders_repair")},
    }
    return PostgresqlSettings(**(given | changes))


def test_the_script_names_everything_and_no_secret():
    """Installation, broker, parents and limits are in it; the password of the DSN is not."""
    script = owner_script.render(_settings(schema="emergency"))
    for word in ("cp_abc123", '"the_broker"', "'orders_repair'", "emergency.disable", "8 hours"):
        assert word in script
    assert "hush" not in script
    assert "{{" not in script


def test_rendering_is_repeatable():
    """The same settings give the same bytes, so that an owner can compare."""
    assert owner_script.render(_settings()) == owner_script.render(_settings())


def test_each_further_database_gets_its_part():
    """Listed databases are connected to in turn; the home database is not repeated."""
    script = owner_script.render(_settings(databases=("orders", "billing", "stock")))
    assert [line for line in script.splitlines() if line.startswith("\\connect")] == [
        '\\connect "billing"',
        '\\connect "stock"',
    ]
    assert script.count("CREATE OR REPLACE FUNCTION callpoint.sweep") == 3
    assert script.count("CREATE OR REPLACE FUNCTION callpoint.create_account") == 1


def test_every_function_is_definer_with_a_pinned_path():
    """No function is rendered without its search path, and each is closed to PUBLIC."""
    script = owner_script.render_home(_settings())
    functions = script.count("CREATE OR REPLACE FUNCTION")
    assert functions > 15
    pinned = re.findall(
        r" SET search_path = pg_catalog, pg_temp(?: SET lock_timeout = '\w+')?\s+AS \$callpoint\$",
        script,
    )
    assert len(pinned) == functions
    assert "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA callpoint FROM PUBLIC" in script
