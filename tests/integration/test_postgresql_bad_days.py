"""A PostgreSQL that is full, turns hosts away, crashes, hangs, or keeps prepared transactions."""

import asyncio
import time

import asyncpg
import msgspec
import pytest

from callpoint.adapters.targets.postgresql import scram
from callpoint.cli.postgres_server import find_servers
from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.domain.errors import TargetRefusedError, TargetUnknownError
from callpoint.ports.targets import CALL_LIMIT, Attempt
from tests.postgresql_site import open_site
from tests.servers import fifteen, fresh_database, missing, newest

pytestmark = pytest.mark.server("postgresql")

_SETTINGS = {
    "max_prepared_transactions": "5",
    "max_connections": "16",
    "superuser_reserved_connections": "3",
}


@pytest.fixture(scope="module", params=[fifteen, newest])
def small_server(request):
    binaries = request.param(find_servers())
    if binaries is None:
        missing(f"no PostgreSQL that is {request.param.__name__} is on this machine")
    with ThrowawayPostgres(binaries, settings=_SETTINGS) as server:
        yield server


@pytest.fixture
async def site(small_server):
    with fresh_database(small_server) as database:
        async with open_site(database) as prepared:
            yield prepared


@pytest.fixture
async def access_rules(site):
    """Puts lines before those of ``pg_hba.conf``, for one test."""
    path = site.database.server.home / "data" / "pg_hba.conf"
    original = path.read_text()

    async def put(line):
        path.write_text(line + "\n" + original)
        await site.owner.execute("SELECT pg_reload_conf()")
        await asyncio.sleep(0.3)

    yield put
    await put("")
    path.write_text(original)


async def _prepare(site, plan, issued):
    """Leave a prepared transaction that holds a lock on the account's own catalogue row."""
    session = await site.login(issued.credential)
    await session.execute("BEGIN; INSERT INTO orders VALUES (1, 'forged'); SET LOCAL ROLE NONE")
    await session.execute("SELECT lo_create(0)")
    await session.execute(f"PREPARE TRANSACTION 'it''s {plan.handle}'")
    await session.close()


async def test_9_a_prepared_transaction_makes_a_plain_drop_wait_for_ever(site):
    """The trap: its lock on the role outlives the session, and DROP ROLE waits for it."""
    plan = site.plan()
    await _prepare(site, plan, await site.connector.issue(plan))
    await site.owner.execute("SET lock_timeout = '300ms'")
    with pytest.raises(asyncpg.LockNotAvailableError):
        await site.owner.execute(f"DROP ROLE {plan.account}")
    await site.connector.revoke(plan)


async def test_9_prepared_transactions_are_found_and_rolled_back(site):
    """They show in the difference, are rolled back at the end, and leave no data behind."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    await _prepare(site, plan, issued)
    await site.connector.disable(plan)
    assert await site.connector.kill_sessions(plan) == 0
    found = await site.connector.diff_persistence(plan, issued.baseline)
    assert [item.kind for item in found] == ["prepared transaction"]
    await site.connector.revoke(plan)
    assert await site.owner.fetchval("SELECT count(*) FROM pg_prepared_xacts") == 0
    assert await site.owner.fetchval("SELECT count(*) FROM orders") == 0
    assert (await site.connector.verify_absent(plan, issued.credential)).dead


async def test_9_a_lent_account_is_disabled_again_when_the_login_fails(site, access_rules):
    """If we are turned away while the account is lent to us, it does not stay enabled."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    await _prepare(site, plan, issued)
    await access_rules(f"host all +{site.parent} all reject")
    with pytest.raises(TargetRefusedError, match="rejects connection"):
        await site.connector.revoke(plan)
    (listed,) = await site.connector.list_managed()
    assert not listed.enabled
    await access_rules("")
    await site.connector.revoke(plan)
    assert (await site.connector.verify_absent(plan, issued.credential)).dead


async def test_9_a_lent_login_that_is_still_open_is_taken_back(site):
    """Whoever rolls back may die with the login open: it is ended, and the account then dropped."""
    plan = site.plan()
    await _prepare(site, plan, await site.connector.issue(plan))
    broker = await site.broker()
    verifier = scram.verifier("lent", b"0123456789abcdef")
    (lent,) = await broker.fetch("SELECT * FROM callpoint.lend($1, $2)", plan.account, verifier)
    open_one = await asyncpg.connect(site.settings.dsn, user=lent["login"], password="lent")
    try:
        assert await broker.fetchval("SELECT callpoint.take_back($1)", plan.account)
        assert not await site.exists(lent["login"])
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await open_one.execute("SELECT 1")
    finally:
        await site.connector.revoke(plan)


async def test_an_account_at_its_limit_is_accepted(site):
    """The role's own limit is looked at after the secret: right is accepted, wrong is refused."""
    tight = site.with_settings(connection_limit=1)
    plan = tight.plan()
    issued = await tight.connector.issue(plan)
    await site.login(issued.credential)
    probe = await tight.connector.probe(plan, issued.credential)
    assert (probe.attempt, probe.code) == (Attempt.ACCEPTED, "53300")
    wrong = await tight.connector.probe(plan, _wrong(issued.credential))
    assert (wrong.attempt, wrong.code) == (Attempt.REFUSED, "28P01")


async def test_a_server_with_only_reserved_connections_tells_right_from_wrong(site):
    """Reserved slots are looked at after the secret as well."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    crowd = await _fill(site, leave=3)
    probe = await site.connector.probe(plan, issued.credential)
    assert (probe.attempt, probe.code) == (Attempt.ACCEPTED, "53300")
    wrong = await site.connector.probe(plan, _wrong(issued.credential))
    assert (wrong.attempt, wrong.code) == (Attempt.REFUSED, "28P01")
    await _leave(crowd)


async def test_a_full_server_says_nothing_about_a_secret(site):
    """Without any slot it answers before the secret: unknown for the right and the wrong one."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    crowd = await _fill(site, leave=0)
    for credential in (issued.credential, _wrong(issued.credential)):
        assert (await site.connector.probe(plan, credential)).attempt is Attempt.UNKNOWN
    await _leave(crowd)


async def test_a_host_rule_is_no_proof(site, access_rules):
    """Turned away by ``pg_hba`` we know nothing: a living account is not taken for dead."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    await access_rules(f"host all +{site.parent} all reject")
    probe = await site.connector.probe(plan, issued.credential)
    assert (probe.attempt, probe.code) == (Attempt.UNKNOWN, "28000 pg_hba")
    report = await site.connector.selftest()
    (failed,) = [check for check in report.checks if not check.ok]
    assert "pg_hba" in failed.detail
    await site.connector.revoke(plan)


async def test_a_trusting_target_fails_the_selftest(site, access_rules):
    """Where a wrong secret is let in, onboarding fails by rule and by trial."""
    await access_rules(f"host all +{site.parent} all trust")
    report = await site.connector.selftest()
    failed = {check.name: check.detail for check in report.checks if not check.ok}
    assert set(failed) == {"pg_hba", "round trip of repair"}
    assert "wrong secret is accepted" in failed["round trip of repair"]
    assert await site.connector.list_managed() == ()


async def test_a_crash_between_any_two_steps_is_survived(site):
    """While the server is down everything is unknown; after recovery the same plan ends it."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    site.database.server.halt()
    try:
        assert (await site.connector.probe(plan, issued.credential)).attempt is Attempt.UNKNOWN
        for call in (site.connector.disable, site.connector.kill_sessions, site.connector.revoke):
            with pytest.raises(TargetUnknownError):
                await call(plan)
    finally:
        site.database.server.resume()
        site.owner.terminate()
        site.owner = await asyncpg.connect(site.database.owner_url)
    assert (await site.connector.probe(plan, issued.credential)).attempt is Attempt.ACCEPTED
    await site.connector.revoke(plan)
    assert (await site.connector.verify_absent(plan, issued.credential)).dead


async def test_a_silent_server_is_unknown_within_the_limit(site):
    """A server that accepts and never answers costs at most the call's limit."""

    async def say_nothing(reader, writer):
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    mute = site.with_settings(
        dsn=site.settings.dsn.replace(f":{site.database.server.port}/", f":{port}/")
    )
    began = time.monotonic()
    with pytest.raises(TargetUnknownError):
        await mute.connector.disable(site.plan())
    assert time.monotonic() - began < CALL_LIMIT.total_seconds()
    listener.close()


async def test_a_lock_held_by_others_is_an_answer(site):
    """A catalogue lock makes the call fail with a code in time, and it works afterwards."""
    plan = site.plan()
    issued = await site.connector.issue(plan)
    await site.owner.execute("BEGIN; LOCK TABLE pg_authid IN EXCLUSIVE MODE")
    began = time.monotonic()
    with pytest.raises(TargetRefusedError, match="lock timeout"):
        await site.connector.disable(plan)
    assert time.monotonic() - began < CALL_LIMIT.total_seconds()
    await site.owner.execute("ROLLBACK")
    await site.connector.revoke(plan)
    assert (await site.connector.verify_absent(plan, issued.credential)).dead


def _wrong(credential):
    return msgspec.structs.replace(credential, secret="wrong")


async def _fill(site, leave):
    """Take every connection but the last ``leave``."""
    used = await site.owner.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    )
    return [await asyncpg.connect(site.database.owner_url) for _ in range(16 - used - leave)]


async def _leave(crowd):
    for connection in crowd:
        await connection.close()
