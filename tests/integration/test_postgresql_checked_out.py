"""A static PostgreSQL role on a real server: handed out, rotated, locked, and what it resists."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from callpoint.adapters.clock.system import SystemClock, SystemRandom
from callpoint.adapters.targets.postgresql import owner_script
from callpoint.adapters.targets.postgresql.settings import Between, RoleSettings
from callpoint.domain.errors import ConflictError, TargetRefusedError
from callpoint.domain.lease import LeaseState
from callpoint.lifecycle import give_back, issue
from callpoint.ports.credential import Attempt
from callpoint.ports.rotation import Rotation
from tests.fakes.keys import MemoryLogSigner
from tests.fakes.memory_store import MemoryStore
from tests.fakes.world import INSTALLATION, ORIGIN, assemble, eligibility, found_world
from tests.postgresql_site import login, open_site
from tests.servers import fresh_database

pytestmark = pytest.mark.server("postgresql")
HOUR = timedelta(hours=1)


def secret() -> str:
    return SystemRandom().token(18).hex()


def rotation(new: str, generation: int, until: datetime | None = None) -> Rotation:
    return Rotation(new=new, former=(), generation=generation, open_until=until)


def soon(minutes: float = 30) -> datetime:
    return datetime.now(UTC) + timedelta(minutes=minutes)


@asynccontextmanager
async def legacy_site(server, between=Between.LOCKED):
    """A site whose owner lets Callpoint check out one role, and its plan."""
    with fresh_database(server) as database:
        async with open_site(database) as bare:
            account = await bare.role("legacy", "LOGIN PASSWORD 'of-many-years'")
            await bare.owner.execute(f"GRANT SELECT ON orders TO {account}")
            roles = {
                **bare.settings.roles,
                "legacy": RoleSettings(account=account, between=between),
            }
            site = bare.with_settings(roles=roles)
            await site.owner.execute(owner_script.render_home(site.settings))
            yield site, site.plan(role="legacy")


@pytest.fixture(params=["postgres_15", "postgres_newest"])
async def legacy(request):
    async with legacy_site(request.getfixturevalue(request.param)) as found:
        yield found


@pytest.fixture
async def one(postgres_15):
    async with legacy_site(postgres_15) as found:
        yield found


async def tried(site, plan, word):
    rotator = site.connector.rotator
    return (await rotator.attempt(plan, rotator.credential(plan, word))).attempt


async def test_a_role_is_opened_and_locked_again_with_fresh_secrets(legacy):
    """Out: its secret works until the end. In: locked, the old is refused, the new is right."""
    site, plan = legacy
    rotator = site.connector.rotator
    mine, next_one, until = secret(), secret(), soon()
    await rotator.rotate(plan, rotation(mine, 1, until))
    assert await tried(site, plan, mine) is Attempt.ACCEPTED
    assert await tried(site, plan, "of-many-years") is Attempt.REFUSED
    end = await site.owner.fetchval(
        "SELECT rolvaliduntil FROM pg_roles WHERE rolname = $1", plan.account
    )
    assert abs(end - until) < timedelta(seconds=1)
    session = await login(rotator.credential(plan, mine), options=False)
    await rotator.rotate(plan, rotation(next_one, 2))
    assert (await rotator.presence(plan)).sessions == 1
    await rotator.end_sessions(plan)
    assert (await rotator.presence(plan)).sessions == 0
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await session.fetchval("SELECT 1")
    assert await tried(site, plan, mine) is Attempt.REFUSED
    assert await tried(site, plan, next_one) is Attempt.LOCKED
    assert await tried(site, plan, secret()) is Attempt.REFUSED


async def test_between_uses_a_rotated_role_may_stay_open(postgres_15):
    """With ``between = rotated`` the new secret logs in, and the old one does not."""
    async with legacy_site(postgres_15, Between.ROTATED) as (site, plan):
        mine, next_one = secret(), secret()
        await site.connector.rotator.rotate(plan, rotation(mine, 1, soon()))
        await site.connector.rotator.rotate(plan, rotation(next_one, 2))
        assert await tried(site, plan, mine) is Attempt.REFUSED
        assert await tried(site, plan, next_one) is Attempt.ACCEPTED


async def test_a_call_that_arrives_late_changes_nothing(one):
    """An older generation is refused by the owner's function; the same one may be repeated."""
    site, plan = one
    rotator = site.connector.rotator
    late, now = secret(), secret()
    for _ in range(2):
        await rotator.rotate(plan, rotation(now, 7))
    with pytest.raises(TargetRefusedError) as refused:
        await rotator.rotate(plan, rotation(late, 6, soon()))
    assert refused.value.code == "55000"
    assert await tried(site, plan, now) is Attempt.LOCKED
    assert await tried(site, plan, late) is Attempt.REFUSED


async def test_an_actor_that_changed_the_secret_and_stays_is_out_all_the_same(one):
    """Its own secret is replaced, its open transaction on the role is ended, and it is told."""
    site, plan = one
    rotator = site.connector.rotator
    mine, own, next_one = secret(), secret(), secret()
    await rotator.rotate(plan, rotation(mine, 1, soon()))
    before = await rotator.baseline(plan)
    credential = rotator.credential(plan, mine)
    first = await login(credential, options=False)
    await first.execute(f"ALTER ROLE {plan.account} PASSWORD '{own}'")
    holder = await login(rotator.credential(plan, own), options=False)
    await holder.execute("BEGIN")
    await holder.execute(f"ALTER ROLE {plan.account} PASSWORD '{own}x'")
    await rotator.rotate(plan, rotation(next_one, 2))
    await rotator.end_sessions(plan)
    for word in (mine, own, own + "x"):
        assert await tried(site, plan, word) is Attempt.REFUSED
    assert await tried(site, plan, next_one) is Attempt.LOCKED
    found = await site.connector.diff_persistence(plan, before)
    assert [(item.kind, item.name) for item in found] == [("changed password", plan.account)]


async def test_a_clean_use_leaves_no_difference(one):
    """Opening, using and locking the role is Callpoint's own work and no finding."""
    site, plan = one
    rotator = site.connector.rotator
    mine = secret()
    await rotator.rotate(plan, rotation(mine, 1, soon()))
    before = await rotator.baseline(plan)
    session = await login(rotator.credential(plan, mine), options=False)
    assert await session.fetch("SELECT * FROM orders") == []
    await rotator.rotate(plan, rotation(secret(), 2))
    await rotator.end_sessions(plan)
    assert await site.connector.diff_persistence(plan, before) == ()
    assert await site.connector.diff_persistence(plan, None) == ()


async def test_the_owners_functions_keep_to_the_owners_list(one):
    """No other role, no dangerous role, no far end and no plaintext, whatever the broker asks."""
    site, plan = one
    broker = await site.broker()
    other = await site.role("other", "LOGIN")
    verifier = "SCRAM-SHA-256$4096:" + "A" * 22 + "==$" + "B" * 43 + "=:" + "C" * 43 + "="
    call = f"SELECT {site.settings.schema}.rotate($1, $2, $3, $4, $5)"
    refused = [
        (other, verifier, 5, True, soon()),
        ("postgres", verifier, 5, True, soon()),
        (site.settings.broker, verifier, 5, True, soon()),
        (site.plan().account, verifier, 5, True, soon()),
        (plan.account, "plaintext", 5, True, soon()),
        (plan.account, verifier, 5, True, soon(60 * 9)),
        (plan.account, verifier, 5, True, soon(-1)),
        (plan.account, verifier, None, True, soon()),
        (plan.account, verifier, 5, None, soon()),
        (None, verifier, 5, True, soon()),
    ]
    for arguments in refused:
        with pytest.raises(asyncpg.PostgresError) as error:
            await broker.execute(call, *arguments)
        assert error.value.sqlstate in {"42501", "22023", "55000"}, arguments
    for power in ("SUPERUSER", "CREATEROLE", "REPLICATION", "BYPASSRLS"):
        await site.owner.execute(f"ALTER ROLE {plan.account} {power}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await broker.execute(call, plan.account, verifier, 5, True, soon())
        await site.owner.execute(f"ALTER ROLE {plan.account} NO{power}")
    for internal in ("alter_listed($1, 'SUPERUSER')", "reap_checked_out()"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await broker.execute(
                f"SELECT {site.settings.schema}.{internal}",
                *([plan.account] if "$1" in internal else []),
            )
    assert await site.owner.fetchval(
        "SELECT NOT rolsuper FROM pg_roles WHERE rolname = $1", plan.account
    )


async def test_minted_accounts_functions_do_not_take_it_and_the_connector_never_removes_it(one):
    """``disable`` only locks it; ``issue`` and ``revoke`` refuse; the role stays."""
    site, plan = one
    for call in (site.connector.issue, site.connector.revoke):
        with pytest.raises(TargetRefusedError):
            await call(plan)
    broker = await site.broker()
    for function in ("disable", "drop_account", "sweep"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await broker.execute(f"SELECT {site.settings.schema}.{function}($1)", plan.account)
    mine = secret()
    await site.connector.rotator.rotate(plan, rotation(mine, 1, soon()))
    await site.connector.disable(plan)
    assert await tried(site, plan, mine) is Attempt.LOCKED
    assert await site.exists(plan.account)
    assert await site.connector.list_managed() == ()


async def test_the_reaper_puts_a_late_holder_out(one):
    """When Callpoint is dead, the owner's reaper locks the role and ends its sessions."""
    site, plan = one
    rotator = site.connector.rotator
    mine = secret()
    await rotator.rotate(plan, rotation(mine, 1, soon()))
    session = await login(rotator.credential(plan, mine), options=False)
    table = f"{site.settings.schema}.checked_out"
    await site.owner.execute(f"SELECT {site.settings.schema}.reap()")
    assert await session.fetchval("SELECT 1") == 1
    await site.owner.execute(f"UPDATE {table} SET until = now() - interval '1 s'")
    await site.owner.execute(f"SELECT {site.settings.schema}.reap()")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await session.fetchval("SELECT 1")
    assert await tried(site, plan, mine) is Attempt.LOCKED


async def test_the_selftest_tells_a_role_that_became_dangerous(one):
    """With a list that is in order every check passes; a role with power fails its own line."""
    site, plan = one
    assert (await site.connector.selftest()).ok
    await site.owner.execute(f"ALTER ROLE {plan.account} CREATEROLE")
    report = await site.connector.selftest(trial=False)
    assert [c.name for c in report.checks if not c.ok] == ["checked-out accounts"]
    await site.owner.execute(f"ALTER ROLE {plan.account} NOCREATEROLE")


async def test_the_inventory_names_powers_and_the_account(one):
    """Superusers, and who can become one, are told as such; ages are unknown, not invented."""
    site, plan = one
    climber = await site.role("climber", "LOGIN")
    await site.owner.execute(f"GRANT pg_execute_server_program TO {climber}")
    found = {account.name: account for account in await site.connector.inventory()}
    assert "superuser" in found["postgres"].powers
    assert found[climber].powers == ("can become pg_execute_server_program",)
    assert (found[plan.account].powers, found[plan.account].handle) == ((), "")
    assert not found[plan.account].secret_changed.known
    assert not any(name.startswith("pg_") for name in found)


async def test_a_whole_activation_hands_it_out_and_takes_it_back(one):
    """Asked, approved, issued, used, abused and returned: proven dead, free for the next."""
    site, plan = one
    roles = {"repair": site.settings.roles["legacy"]}
    site = site.with_settings(installation=INSTALLATION, roles=roles)
    await site.owner.execute(owner_script.render_home(site.settings))
    clock = SystemClock()
    store = MemoryStore(
        signer=MemoryLogSigner(ORIGIN), clock=clock, origin=ORIGIN, installation=INSTALLATION
    )
    world = assemble(
        eligibility(accept_residual=True),
        store=store,
        clock=clock,
        random=SystemRandom(),
        targets={"orders-db": site.connector},
    )
    await found_world(world)
    await world.incident()
    made = await world.active()
    given = (await world.credential(made.id)).credential
    assert given.username == plan.account
    session = await login(given, options=False)
    await session.execute(f"ALTER ROLE {plan.account} PASSWORD 'kept-for-later'")
    waiting = await world.approved("bob")
    with pytest.raises(ConflictError, match="checked out"):
        await issue.issue(world.services, world.caller("bob"), waiting.id)
    await give_back.give_back(world.services, world.caller("alice"), made.id)
    (lease,) = await world.leases(made.id)
    assert (lease.state, lease.evidence) == (LeaseState.ENDED, "rotated, old refused")
    assert lease.probed == Attempt.REFUSED
    (finding,) = (await world.get(made.id)).findings
    assert finding.text == f"orders-db: changed password {plan.account} concerns the account"
    for word in (given.secret, "kept-for-later"):
        assert await tried(site, site.plan(), word) is Attempt.REFUSED
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await session.fetchval("SELECT 1")
    again = await issue.issue(world.services, world.caller("bob"), waiting.id)
    fresh = (await world.credential(again.id, "bob")).credential
    assert await tried(site, site.plan(), fresh.secret) is Attempt.ACCEPTED
    await give_back.give_back(world.services, world.caller("bob"), again.id)
    assert await site.connector.list_managed() == ()
