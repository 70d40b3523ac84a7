"""What a configuration may say of roles that are checked out."""

import pytest

from callpoint.config.connectors import CONNECTORS
from callpoint.config.soundness import verify_sound
from tests.fakes import orders
from tests.fakes.mistake import Mistake, assert_told

READ = 'roles.read = { parent = "orders_read" }'
LEGACY = 'roles.legacy = { kind = "checked_out", account = "legacy_admin", between = "locked" }'
SCRIPT = """
[targets.switch]
connector = "script"
environment = "production"
program = "/opt/callpoint/switch"
host = "switch.internal"
roles.admin = { kind = "checked_out", account = "admin", initial = { env = "SWITCH_INITIAL" } }
accounts.backup = { owner = "group:security", purpose = "reads the configuration at night" }
"""


def mistake(new: str, key: str, says: str, way_out: str) -> Mistake:
    return Mistake(says, READ, f"{READ}\nroles.legacy = {new}", "roles.legacy", key, says, way_out)


MISTAKES = (
    mistake(
        '{ kind = "checked_out" }',
        "targets.orders-db.roles.legacy.account",
        "is missing",
        "name the account",
    ),
    mistake(
        '{ account = "legacy_admin", parent = "orders_read" }',
        "targets.orders-db.roles.legacy.account",
        "is for checked-out roles",
        'kind = "checked_out"',
    ),
    mistake("{}", "targets.orders-db.roles.legacy.parent", "is missing", "whose rights"),
    mistake(
        '{ kind = "checked_out", account = "a", parent = "orders_read" }',
        "targets.orders-db.roles.legacy.parent",
        "is for minted roles",
        "leave it out",
    ),
    mistake(
        '{ kind = "checked_out", account = "a-b" }',
        "targets.orders-db.roles.legacy.account",
        "is no role name",
        "letters, digits",
    ),
    mistake(
        '{ kind = "checked_out", account = "cp_x" }',
        "targets.orders-db.roles.legacy.account",
        "has another form",
        "an account of the owner's",
    ),
)


@pytest.mark.parametrize("wrong", MISTAKES, ids=str)
def test_a_wrong_checked_out_role_is_told(wrong: Mistake):
    """Each mistake names the key, what is wrong and what to write."""
    assert_told(wrong)


def test_a_broker_with_createrole_checks_nothing_out():
    """Such a broker cannot be kept to a list of accounts, so the combination is an error."""
    text = orders.changed((READ, f'{READ}\n{LEGACY}\nmode = "createrole"'))
    (error,) = orders.errors_of(text)
    assert error.key == "targets.orders-db.roles.legacy.kind"
    assert 'mode = "functions"' in error.way_out


def test_checked_out_roles_and_known_accounts_come_back_from_a_bundle_unchanged():
    """What a file says of them is what a signed bundle says, and is sound."""
    read = orders.read(orders.changed((READ, f"{READ}\n{LEGACY}")) + SCRIPT)
    verify_sound(read)
    legacy = next(r for r in read.targets["orders-db"].roles if r.id == "legacy")
    assert legacy.settings["account"] == "legacy_admin"
    admin = read.targets["switch"].roles[0]
    assert admin.settings == {
        "kind": "checked_out",
        "account": "admin",
        "initial_env": "SWITCH_INITIAL",
    }
    assert read.targets["switch"].known_accounts["backup"].owner == "group:security"
    assert read.targets["orders-db"].known_accounts == {}
    assert set(CONNECTORS) >= {"postgresql", "script"}
