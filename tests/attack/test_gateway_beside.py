"""Where reads may pass before their record is durable, nothing else does."""

from typing import Any

import asyncpg
import pytest

from callpoint.domain import event as ev
from callpoint.domain.gateway import Evidence
from tests.fakes.beside import beside
from tests.whole_gateway_site import open_whole


async def read_on(read: Any) -> None:
    """As long as it goes, which is not long."""
    for number in range(1, 100):
        await read.fetchval(number)


async def test_a_writer_is_recorded_before_all_the_same(target, tmp_path):
    """A write, in whatever clothes, waits for the log; without the log nobody passes any more."""
    async with open_whole(target, tmp_path, adapt=beside) as whole:
        link = await whole.login(await whole.activation())
        read = await link.prepare("SELECT word FROM items WHERE id = $1")
        for number in range(1, 31):
            assert await read.fetchval(number) == f"word {number}"
        for text in (
            "WITH gone AS (DELETE FROM items WHERE id = 1 RETURNING id) SELECT count(*) FROM gone",
            "/* SELECT */ UPDATE items SET word = 'x' WHERE id = 2",
            "SELECT 1; DELETE FROM items WHERE id = 3",
            "EXPLAIN ANALYZE DELETE FROM items WHERE id = 4",
        ):
            await link.execute(text)
        whole.signer.is_broken = True
        with pytest.raises(asyncpg.PostgresError):
            await link.execute("DELETE FROM items WHERE id = 5")
        with pytest.raises((asyncpg.PostgresError, OSError, asyncpg.InterfaceError)):
            await read_on(read)
        whole.signer.is_broken = False
        link.terminate()
        decided = await whole.told(ev.ActionDecided)
        numbers = [one.number for one in decided]
        assert numbers == sorted(set(numbers))
        kinds = {one.evidence for one in decided if one.allowed}
        assert kinds == set(Evidence)
        for one in decided:
            reads = all(each.verb in ("sql:select", "sql:explain") for each in one.operations)
            assert reads or one.evidence is Evidence.BEFORE, one.operations
        assert await whole.site.owner.fetchval("SELECT count(*) FROM items WHERE id = 5") == 1
