"""A configuration that never was a file is held to the rules of a file."""

from datetime import timedelta

import msgspec
import pytest

from callpoint.bootstrap.connectors import REGISTRY
from callpoint.config.connectors import CONNECTORS
from callpoint.config.default_policies import default_pack
from callpoint.config.soundness import as_document, check_bundle, verify_sound
from callpoint.domain.configuration import Configuration
from callpoint.domain.eligibility import Eligibility
from callpoint.domain.errors import ConfigError, ConfigErrors
from callpoint.domain.governance import Bundle
from tests.fakes import orders

REPAIR = orders.configuration().eligibilities["orders-repair"]
LONG = 'endpoints.replica = { dsn = { env = "REPLICA_DSN" } }\nroles.repair'


def replace(value: object, **fields: object) -> object:
    return msgspec.structs.replace(value, **fields)  # type: ignore[type-var]  # any struct


def with_(**fields: object) -> Configuration:
    return msgspec.structs.replace(orders.configuration(), **fields)


def with_rule(**fields: object) -> Configuration:
    rule: Eligibility = msgspec.structs.replace(REPAIR, **fields)
    return with_(eligibilities={**orders.configuration().eligibilities, "orders-repair": rule})


def with_settings(**settings: object) -> Configuration:
    target = orders.configuration().targets["orders-db"]
    bent = replace(target, settings={**target.settings, **settings})
    return with_(targets={"orders-db": bent})


def test_what_came_from_a_file_is_sound():
    """Everything that a file can say comes back equal."""
    verify_sound(orders.configuration())
    verify_sound(orders.read(orders.changed(("roles.repair", LONG))))
    assert as_document(orders.configuration())["groups"] == {
        "sre-oncall": {"members": ["alice", "bob", "orders-fixer"]},
        "incident-commanders": {"members": ["carol", "dave", "grace"]},
        "security": {"members": ["erin", "frank"]},
        "database-owners": {"members": ["grace"]},
    }


def test_what_a_file_may_name_is_what_a_server_has():
    """No connector passes `callpoint check` that no server could open, and none is missing."""
    assert set(CONNECTORS) == set(REGISTRY)
    with pytest.raises(ConfigErrors):
        orders.read(orders.changed(('connector = "postgresql"', 'connector = "simulated"')))


GOVERNANCE = orders.configuration().governance
ALICE = orders.configuration().principals["alice"]
SIMULATED = replace(orders.configuration().targets["orders-db"], connector="simulated", settings={})


@pytest.mark.parametrize(
    "bent,key",
    [
        (with_(governance=replace(GOVERNANCE, quorum=4)), "governance.quorum"),
        (with_(governance=replace(GOVERNANCE, security=())), "governance.security"),
        (with_(governance=replace(GOVERNANCE, governors={})), "governance.governors"),
        (with_rule(ttl=timedelta(days=3)), "eligibilities.orders-repair.for"),
        (with_rule(incident=None), "eligibilities.orders-repair.incident"),
        (with_rule(who=("*",)), "eligibilities.orders-repair.who[0]"),
        (
            with_rule(approval=replace(REPAIR.approval, quorum=0)),
            "eligibilities.orders-repair.approval.quorum",
        ),
        (
            with_rule(approval=replace(REPAIR.approval, approvers=())),
            "eligibilities.orders-repair.approval.from",
        ),
        (with_settings(dsn="postgresql://a:b@c"), "targets.orders-db.dsn"),
        (with_settings(dsn_env="postgresql://a:b@c"), "targets.orders-db.dsn.env"),
        (with_settings(surprise=1), "targets.orders-db.surprise"),
        (with_(targets={"orders-db": SIMULATED}), "targets.orders-db.connector"),
        (with_settings(endpoints_env=("x",)), "targets.orders-db.endpoints.x.kind"),
        (
            with_(principals={"alice": replace(ALICE, persons=())}),
            "principals.alice.person",
        ),
    ],
)
def test_what_no_file_may_say_is_refused(bent: Configuration, key: str):
    """A bundle that was written by hand is refused like the file that it could have come from."""
    with pytest.raises(ConfigErrors) as told:
        verify_sound(bent)
    assert key in {e.key for e in told.value.errors}
    assert {(e.file, e.line) for e in told.value.errors} == {("bundle", None)}


@pytest.mark.parametrize(
    "bent",
    [
        with_(principals={**orders.configuration().principals, "bob": replace(ALICE, id="bob")}),
        with_(
            principals={
                **orders.configuration().principals,
                "alice": replace(ALICE, persons=("alice", "bob")),
            }
        ),
        with_rule(ttl=timedelta(minutes=20, microseconds=1)),
        with_rule(id="another"),
    ],
)
def test_what_no_file_can_say_is_refused(bent: Configuration):
    """An entry under another name, or a person too many, does not slip through."""
    with pytest.raises(ConfigError):
        verify_sound(bent)


def bundle(configuration: Configuration, policies: dict[str, str]) -> Bundle:
    return Bundle(
        installation="a1b2c3",
        number=1,
        previous="",
        configuration=configuration,
        policies=policies,
    )


def test_a_bundle_is_checked_whole():
    """Configuration and policies of a bundle are both held to their rules."""
    check_bundle(bundle(orders.configuration(), default_pack()))
    with pytest.raises(ConfigErrors, match=r"governance\.quorum"):
        check_bundle(bundle(with_(governance=replace(GOVERNANCE, quorum=4)), default_pack()))
    with pytest.raises(ConfigErrors, match=r"a\.cedar"):
        check_bundle(bundle(orders.configuration(), {"a.cedar": "permit ("}))
