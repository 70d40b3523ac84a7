"""What every rotator guarantees (``ports/rotation.py``): simulated, PostgreSQL, a program."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import msgspec
import pytest

from callpoint.adapters.clock.system import SystemClock, SystemRandom
from callpoint.adapters.targets.postgresql import owner_script
from callpoint.adapters.targets.postgresql.settings import RoleSettings
from callpoint.adapters.targets.script.settings import Between
from callpoint.domain.errors import TargetError, TargetRefusedError, TargetUnknownError
from callpoint.domain.lease_kind import LeaseKind
from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.credential import Attempt
from callpoint.ports.rotation import Presence, Rotation, Rotator
from callpoint.ports.targets import Connector, MintRequest
from tests.fakes.appliance import INITIAL, Appliance
from tests.fakes.simulated_target import SimulatedTarget
from tests.postgresql_site import open_site
from tests.servers import fresh_database

REAL = pytest.mark.server("postgresql")


@dataclass
class Place:
    """One connector with a static account that is locked between its uses.

    Attributes:
        silent: The same when nobody answers.
    """

    connector: Connector
    installation: str
    role: str
    silent: Callable[[], Connector]
    first: str = ""

    @property
    def rotator(self) -> Rotator:
        assert self.connector.rotator is not None
        return self.connector.rotator

    def plan(self) -> UndoPlan:
        return self.connector.plan(
            MintRequest(
                handle=self.installation + SystemRandom().ident(14),
                target=self.connector.target,
                role=self.role,
                not_after=SystemClock().now() + timedelta(minutes=30),
            )
        )

    async def tried(self, plan: UndoPlan, secret: str) -> Attempt:
        return (await self.rotator.attempt(plan, self.rotator.credential(plan, secret))).attempt


@pytest.fixture(params=["simulated", "script", pytest.param("postgresql", marks=REAL)])
async def place(request, tmp_path):
    if request.param == "simulated":
        target = SimulatedTarget(
            "orders-db",
            SystemClock(),
            SystemRandom(),
            "abc123",
            checked_out={"legacy": "legacy_admin"},
        )

        def down():
            target.down = True
            return target

        yield Place(target, "abc123", "legacy", down)
        return
    if request.param == "script":
        appliance = Appliance(tmp_path)

        def broken():
            verbs = ("describe", "set", "try", "sessions", "end_sessions")
            appliance.change(faults=dict.fromkeys(verbs, "not done"))
            return appliance.connector()

        connector = appliance.connector(Between.LOCKED)
        yield Place(connector, "abc123", "admin", broken, first=INITIAL)
        return
    with fresh_database(request.getfixturevalue("postgres_15")) as database:
        async with open_site(database) as bare:
            account = await bare.role("legacy", "LOGIN")
            roles = {**bare.settings.roles, "legacy": RoleSettings(account=account)}
            site = bare.with_settings(roles=roles)
            await bare.owner.execute(owner_script.render_home(site.settings))

            def unreachable():
                dsn = site.settings.dsn.replace(f":{site.database.server.port}/", ":1/")
                return site.with_settings(dsn=dsn).connector

            yield Place(site.connector, site.installation, "legacy", unreachable)


def fresh() -> str:
    return SystemRandom().token(18).hex()


async def test_a_secret_is_set_used_replaced_and_refused(place):
    """Fresh when it is handed out, refused afterwards; the next one is the right one."""
    plan = place.plan()
    assert plan.kind is LeaseKind.CHECKED_OUT
    mine, next_one = fresh(), fresh()
    first = place.rotator.first_secret(plan)
    assert first == place.first
    await place.rotator.rotate(plan, Rotation(mine, (first,), 1, plan.not_after))
    assert await place.tried(plan, mine) is Attempt.ACCEPTED
    await place.rotator.end_sessions(plan)
    assert await place.rotator.presence(plan) == Presence(sessions=0)
    for _ in range(2):  # the same generation may come again
        await place.rotator.rotate(plan, Rotation(next_one, (mine, first), 2, None))
    assert await place.tried(plan, mine) is Attempt.REFUSED
    assert await place.tried(plan, next_one) is Attempt.LOCKED
    assert await place.tried(plan, fresh()) is Attempt.REFUSED


async def test_an_older_generation_changes_nothing(place):
    """A call that arrives late is refused, and the newer secret stays in force."""
    plan = place.plan()
    now, late = fresh(), fresh()
    await place.rotator.rotate(plan, Rotation(now, (place.first,), 9, plan.not_after))
    with pytest.raises(TargetRefusedError):
        await place.rotator.rotate(plan, Rotation(late, (now,), 8, plan.not_after))
    assert await place.tried(plan, now) is Attempt.ACCEPTED
    assert await place.tried(plan, late) is Attempt.REFUSED


async def test_no_other_account_is_touched(place):
    """A plan for an account that the owner did not list is refused by every call."""
    plan = msgspec.structs.replace(place.plan(), account="somebody")
    rotator = place.rotator
    with pytest.raises(TargetRefusedError):
        await rotator.rotate(plan, Rotation(fresh(), (), 1, None))
    for call in (place.connector.disable, place.connector.issue, place.connector.revoke):
        with pytest.raises(TargetRefusedError):
            await call(plan)


async def test_it_is_neither_made_nor_removed(place):
    """Issuing and revoking refuse the account's plan, and it is not listed as one of ours."""
    plan = place.plan()
    for call in (place.connector.issue, place.connector.revoke):
        with pytest.raises(TargetRefusedError):
            await call(plan)
    assert await place.connector.list_managed() == ()
    assert plan.account in {account.name for account in await place.connector.inventory()}


async def test_silence_is_unknown(place):
    """When nobody answers a change is unknown, never refused, and so is an attempt."""
    plan, silent = place.plan(), place.silent()
    assert silent.rotator is not None
    with pytest.raises(TargetUnknownError):
        await silent.rotator.rotate(plan, Rotation(fresh(), (), 1, None))
    for look in (silent.rotator.end_sessions, silent.rotator.presence):
        with pytest.raises(TargetUnknownError):
            await look(plan)
    tried = await silent.rotator.attempt(plan, silent.rotator.credential(plan, "x"))
    assert tried.attempt is Attempt.UNKNOWN


async def test_no_secret_shows(place):
    """Neither representation nor error nor hint nor plan holds a secret."""
    plan, secret = place.plan(), fresh()
    rotation = Rotation(secret, (secret,), 1, plan.not_after)
    credential = place.rotator.credential(plan, secret)
    assert secret not in repr(rotation) + repr(credential) + credential.hint + repr(plan)
    with pytest.raises(TargetError) as error:
        await place.silent().rotator.rotate(plan, rotation)
    assert secret not in str(error.value) + repr(error.value.__cause__)
