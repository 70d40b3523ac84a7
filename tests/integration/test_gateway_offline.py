"""A real gateway before a real server of PostgreSQL, and an authority that goes away."""

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from callpoint.adapters.clock.system import SystemRandom
from callpoint.adapters.journals.files import FileJournal
from callpoint.cli.throwaway import ThrowawayPostgres
from callpoint.domain import event as ev
from callpoint.domain.offline_journal import DecidedOffline, FinishedOffline, GrantUsed
from callpoint.ports.authority import LOSS
from tests.servers import FreshDatabase, fresh_database
from tests.whole_gateway_site import WholeSite, open_whole

TREE = Path(__file__).parents[2]


@pytest.fixture
def target(postgres_15: ThrowawayPostgres) -> Iterator[FreshDatabase]:
    with fresh_database(postgres_15) as fresh:
        yield fresh


async def _lost(made: WholeSite) -> None:
    """The authority is away, and for so long already that the gateway knows it."""
    front = made.front
    await asyncio.sleep(1.2)  # the next grant lists what was allowed in between
    front.authority.is_away = True
    front.clock.ahead += LOSS.total_seconds()
    async with asyncio.timeout(5):
        while front.gateway.is_heard:  # noqa: ASYNC110 -- it has no event for it
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)


async def test_a_session_goes_on_and_its_evidence_comes_later(target, tmp_path):
    """Old statements pass, new ones do not; back again all is told; a kill meanwhile cuts then."""
    journal = FileJournal(tmp_path / "journal", SystemRandom())
    async with open_whole(target, tmp_path, journal=journal) as made:
        activation = await made.activation()
        client = await made.login(activation)
        assert await client.fetchval("SELECT count(*) FROM items") == 400
        await _lost(made)
        assert await client.fetchval("SELECT count(*) FROM items") == 400
        assert len(await client.fetch("SELECT id FROM items WHERE id <= 5")) == 5
        with pytest.raises(asyncpg.PostgresError, match="before the authority fell silent"):
            await client.execute("DELETE FROM items")
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await made.login(activation)
        kinds = [type(one.entry) for one in journal.waiting()]
        assert kinds[0] is GrantUsed
        assert kinds.count(DecidedOffline) == 3
        made.front.authority.is_away = False
        await made.settled(lambda: not journal.waiting() and made.front.gateway.is_heard)
        decided = await made.told(ev.ActionOffline)
        assert [(one.allowed, one.trouble) for one in decided] == [
            (True, ""), (True, ""), (False, ""),
        ]  # fmt: skip
        finished = await made.told(ev.ActionFinishedOffline)
        assert sorted(one.rows for one in finished) == [1, 5]
        await client.execute("DELETE FROM items WHERE id = 400")
        await _lost(made)
        await made.kill(activation)
        made.front.authority.is_away = False
        await made.settled(lambda: made.front.gateway.sessions == 0)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await client.fetchval("SELECT 1")
    journal.close()


_DIES = """
    import asyncio, os, signal
    from pathlib import Path
    import structlog
    from callpoint.adapters.clock.system import SystemClock, SystemRandom
    from callpoint.adapters.journals.files import FileJournal
    from callpoint.adapters.tokens.jose import JoseGrantReader
    from callpoint.domain.offline import OnLoss
    from callpoint.domain.operation import Operation
    from callpoint.gateways.offline import EnduringAuthority, Keeping, OfflineKit
    from callpoint.ports.authority import Arrival, Deed
    from callpoint.ports.credential import Credential
    from tests.fakes.authority import FakeAuthority

    READ = Deed((Operation("sql:select", "public.items"),))

    async def main():
        journal = FileJournal(Path({path!r}), SystemRandom())
        keeping = Keeping(OfflineKit(journal, JoseGrantReader), "front", SystemClock())
        authority = FakeAuthority(Credential("u", "s"), on_loss=OnLoss.OFFLINE)
        enduring = EnduringAuthority(authority, keeping, SystemClock(), structlog.get_logger())
        await enduring.answered()
        made = await enduring.open_session(Arrival("conn1", "192.0.2.7", "front"))
        await enduring.decide(made.session, READ)
        await enduring.answered()
        enduring.lost()
        assert (await enduring.decide(made.session, READ)).allowed
        os.kill(os.getpid(), signal.SIGKILL)  # before anything is sent to the target

    asyncio.run(main())
"""


def test_a_gateway_that_dies_between_journal_and_target_leaves_its_record(tmp_path):
    """Killed at that moment, the next process finds the action on record, and no outcome of it."""
    path = tmp_path / "journal"
    source = textwrap.dedent(_DIES).format(path=str(path))
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=TREE, env={"PYTHONPATH": f"{TREE / 'src'}:{TREE}"}, capture_output=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == -9, done.stderr
    journal = FileJournal(path, SystemRandom())
    entries = [one.entry for one in journal.waiting()]
    journal.close()
    assert [type(one) for one in entries] == [GrantUsed, DecidedOffline]
    decided = entries[1]
    assert isinstance(decided, DecidedOffline)
    assert decided.allowed
    assert not any(isinstance(one, FinishedOffline) for one in entries)
