"""Connectors follow the configuration: built, kept, retired, adopted."""

import io
from datetime import timedelta

import msgspec
import pytest

from callpoint.adapters.targets.postgresql.settings import EndpointKind, Mode
from callpoint.bootstrap.connectors import Connectors, Site, postgresql_settings
from callpoint.bootstrap.former import former_targets
from callpoint.bootstrap.journal import make_logger
from callpoint.bootstrap.retired import RetiredConnector
from callpoint.domain.configuration import Configuration, Target, TargetRole
from callpoint.domain.errors import ConfigError, TamperError, UnavailableError
from callpoint.domain.governance import Bundle, StoredBundle
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.stores import Where
from callpoint.ports.targets import Connector, MintRequest
from tests.fakes.clock import SeededRandom, SimulatedClock
from tests.fakes.simulated_target import SimulatedTarget
from tests.fakes.world import INSTALLATION, configuration

CLOCK = SimulatedClock()


def site(**environment: str) -> Site:
    return Site(INSTALLATION, environment, CLOCK, SeededRandom())


def build(target: Target, where: Site) -> Connector:
    """A simulated target that needs the variable of its name."""
    if target.id not in where.environment:
        raise UnavailableError(f"the environment variable {target.id} is not set")
    return SimulatedTarget(target.id, CLOCK, SeededRandom(), INSTALLATION)


def connectors(*names: str) -> tuple[Connectors, io.StringIO]:
    stream = io.StringIO()
    where = site(**dict.fromkeys(names, "set"))
    return Connectors(where, make_logger(CLOCK, stream), {"simulated": build}), stream


def rules(*targets: Target) -> Configuration:
    return msgspec.structs.replace(configuration(), targets={t.id: t for t in targets})


def target(name: str, **changes: object) -> Target:
    made = Target(name, "simulated", "production", (TargetRole("repair"),))
    return msgspec.structs.replace(made, **changes)


def mint(name: str) -> MintRequest:
    not_after = CLOCK.now() + timedelta(minutes=5)
    return MintRequest(f"{INSTALLATION}abc", name, "repair", not_after)


def test_an_unchanged_target_keeps_its_connector():
    """A new bundle that does not touch a target leaves its connector alone."""
    made, _ = connectors("a", "b")
    made.follow(rules(target("a"), target("b")))
    before = dict(made)
    made.follow(rules(target("a"), target("b", environment="test")))
    assert made["a"] is before["a"]
    assert made["b"] is not before["b"]


def test_a_target_without_its_secret_leaves_the_others_alone():
    """It is named with the reason, once, and the others work."""
    made, stream = connectors("a")
    for _ in range(3):
        made.follow(rules(target("a"), target("b")))
    assert list(made) == ["a"]
    assert len(made) == 1
    assert "variable b is not set" in made.unusable["b"]
    assert stream.getvalue().count("target_unusable") == 1


def test_a_target_that_left_only_takes_away():
    """What is open there can be removed; nothing new is planned."""
    made, _ = connectors("a", "b")
    made.follow(rules(target("a"), target("b")))
    made.follow(rules(target("a")))
    retired = made["b"]
    assert isinstance(retired, RetiredConnector)
    with pytest.raises(UnavailableError, match="no longer configured"):
        retired.plan(mint("b"))
    made.follow(rules(target("a"), target("b")))
    assert made["b"].plan(mint("b")).target == "b"


async def test_a_retired_connector_hands_on_what_takes_away():
    """Each step of a revocation reaches the target; minting does not."""
    inner = SimulatedTarget("a", CLOCK, SeededRandom(), INSTALLATION)
    plan = inner.plan(mint("a"))
    issued = await inner.issue(plan)
    retired = RetiredConnector(inner, "it left")
    assert retired.target == "a"
    with pytest.raises(UnavailableError):
        await retired.issue(plan)
    inner.calls.clear()
    (account,) = await retired.list_managed()
    assert retired.adopt(account).account == plan.account
    await retired.probe(plan, issued.credential)
    await retired.disable(plan)
    assert await retired.kill_sessions(plan) == 0
    assert await retired.diff_persistence(plan, issued.baseline) == ()
    await retired.revoke(plan)
    assert (await retired.verify_absent(plan, issued.credential)).dead
    await retired.residual()
    await retired.skew()
    assert (await retired.selftest()).ok
    assert [method for method, _ in inner.calls] == [
        "list_managed",
        "probe",
        "disable",
        "kill_sessions",
        "diff_persistence",
        "revoke",
        "verify_absent",
        "residual",
        "skew",
        "selftest",
    ]


def test_a_connector_that_is_not_here_is_told():
    """A kind of target that this program does not know is named with those that it does."""
    made, _ = connectors()
    made.follow(rules(target("a", connector="mainframe")))
    assert "no connector 'mainframe'" in made.unusable["a"]


def test_a_former_target_is_adopted_once():
    """A target of an earlier bundle joins only to take away; one that cannot be built is said."""
    made, stream = connectors("a", "b")
    made.follow(rules(target("a")))
    made.adopt(target("b"))
    first = made["b"]
    made.adopt(target("b"))
    assert made["b"] is first
    assert isinstance(first, RetiredConnector)
    made.adopt(target("a"))
    assert not isinstance(made["a"], RetiredConnector)
    made.adopt(target("c"))
    assert "former_target_unusable" in stream.getvalue()


def test_the_postgresql_settings_of_a_configuration():
    """Every setting reaches the connector, with secrets from the environment alone."""
    made = Target(
        "orders-db",
        "postgresql",
        "production",
        (TargetRole("repair", {"parent": "orders_repair"}),),
        {
            "dsn_env": "DSN",
            "endpoints_env": ("replica standby REPLICA",),
            "databases": ("orders",),
            "advertise_host": "db.example",
            "connection_limit": 3,
            "mode": "createrole",
            "schema": "cp",
        },
    )
    where = site(DSN="postgresql://broker:x@h/orders", REPLICA="postgresql://broker:x@r/orders")
    settings = postgresql_settings(made, where)
    assert (settings.mode, settings.schema, settings.connection_limit) == (
        Mode.CREATEROLE,
        "cp",
        3,
    )
    assert settings.endpoints[0].kind is EndpointKind.STANDBY
    assert settings.roles["repair"].parent == "orders_repair"
    with pytest.raises(UnavailableError, match="REPLICA is not set"):
        postgresql_settings(made, site(DSN="postgresql://broker@h/orders"))
    broken = msgspec.structs.replace(made, settings={"dsn_env": "DSN", "endpoints_env": ("x",)})
    with pytest.raises(ConfigError, match="cannot be read"):
        postgresql_settings(broken, where)


class Rows:
    """As much of a view as ``former_targets`` reads."""

    def __init__(self, leases: tuple[Lease, ...], bundles: tuple[Bundle, ...]) -> None:
        self.leases = leases
        self.bundles = {b.number: StoredBundle(b, b.digest()) for b in bundles}

    def select(self, kind: type[Lease], where: Where) -> tuple[Lease, ...]:
        return tuple(lease for lease in self.leases if lease.state in where.states)

    def find(self, kind: type[StoredBundle], key: str) -> StoredBundle | None:
        return self.bundles.get(int(key))


def lease(name: str, state: LeaseState = LeaseState.ENDING) -> Lease:
    plan = UndoPlan("simulated", name, "repair", "h", "cp_h", CLOCK.now())
    return Lease(f"h{name}", "a", "alice", plan, state=state)


def history(*configurations: Configuration) -> tuple[Bundle, ...]:
    made: list[Bundle] = []
    for number, found in enumerate(configurations, start=1):
        previous = made[-1].digest() if made else ""
        made.append(Bundle(INSTALLATION, number, previous, found, {}))
    return tuple(made)


def test_former_targets_come_from_the_latest_bundle_that_has_them():
    """Only targets with open leases, each as it was last configured."""
    old = history(
        rules(target("a"), target("b", environment="first")),
        rules(target("a"), target("b", environment="last"), target("c")),
        rules(target("a")),
    )
    rows = Rows((lease("a"), lease("b"), lease("c", LeaseState.ENDED)), old)
    (found,) = former_targets(rows, old[-1])  # type: ignore[arg-type]  # as much as it reads
    assert (found.id, found.environment) == ("b", "last")


def test_a_former_bundle_that_was_changed_is_not_believed():
    """An earlier bundle counts only with the digest that its successor names."""
    old = history(rules(target("a"), target("b")), rules(target("a")))
    forged = msgspec.structs.replace(old[0], policies={"x.cedar": ""})
    rows = Rows((lease("b"),), (forged, old[1]))
    with pytest.raises(TamperError):
        former_targets(rows, old[1])  # type: ignore[arg-type]  # as much as it reads
