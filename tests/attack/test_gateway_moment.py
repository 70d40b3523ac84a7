"""An activation is no entitlement: what changed a moment ago counts for the next statement."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import msgspec
import pytest

from callpoint.domain import event as ev
from callpoint.domain.configuration import Group, IncidentSource
from callpoint.domain.eligibility import Severity
from callpoint.domain.kill import Scope
from callpoint.lifecycle import incidents, publish
from callpoint.lifecycle.kill import kill
from callpoint.ports.incidents import Report
from tests.fakes.world import signed
from tests.whole_gateway_site import WholeSite, open_whole

_READ, _WRITE = "SELECT count(*) FROM items", "DELETE FROM items WHERE id = 1"
_PAGER = IncidentSource("pager", "alertmanager", "ab" * 32, {}, {})


@pytest.fixture
async def whole(target, tmp_path) -> AsyncIterator[WholeSite]:
    async with open_whole(target, tmp_path) as made:
        yield made


async def reported(whole: WholeSite, severity: Severity, began: datetime) -> str:
    """What the pager says of an incident; its name."""
    said = Report("pager-1", True, severity, ("orders-db",), began, "orders is down")
    (incident,) = await incidents.report(whole.world.services, _PAGER, (said,), b"{}")
    return incident.id


async def test_the_incident_loses_its_severity(whole: WholeSite):
    """Same session, next statement: denied, also for what was prepared; back when it is back."""
    began = datetime.now(UTC)
    name = await reported(whole, Severity.SEV1, began)
    link = await whole.login(await whole.activation(incident=name))
    prepared = await link.prepare(_READ)
    assert await prepared.fetchval() == 400
    await reported(whole, Severity.SEV3, began)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="sev3"):
        await prepared.fetchval()
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="sev3"):
        await link.execute(_WRITE)
    await reported(whole, Severity.SEV1, began)
    assert await prepared.fetchval() == 400
    assert await link.execute(_WRITE) == "DELETE 1"
    await link.close()


async def test_the_requester_leaves_the_group(whole: WholeSite):
    """By a published configuration, while the session is open and a transaction is under way."""
    key = await whole.activation()
    link = await whole.login(key)
    work = link.transaction()
    await work.start()
    assert await link.execute(_WRITE) == "DELETE 1"
    old = whole.world.bundle
    rules = old.configuration
    groups = rules.groups | {"oncall": Group("oncall", ("bob", "fixer", "deployer"))}
    changed = msgspec.structs.replace(rules, groups=groups)
    new = msgspec.structs.replace(
        old, number=old.number + 1, previous=old.digest(), configuration=changed
    )
    await publish.publish(
        whole.world.services, whole.world.caller("gina"), new, signed(new, "gina", "hugo"),
        lambda _: None,
    )  # fmt: skip
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await link.execute(_READ)
    with pytest.raises(asyncpg.PostgresError):
        await link.execute("COMMIT")
    await link.close()
    assert await whole.site.owner.fetchval("SELECT count(*) FROM items") == 400


async def test_nothing_passes_without_the_log(whole: WholeSite):
    """A statement that cannot be put on record is not sent; a kill does not wait for the log."""
    key = await whole.activation()
    link = await whole.login(key)
    assert await link.fetchval(_READ) == 400
    before = len(await whole.told(ev.ActionDecided))
    whole.signer.is_broken = True
    for text in (_WRITE, _READ):
        with pytest.raises(asyncpg.PostgresConnectionError):
            await link.execute(text)
    whole.signer.is_broken = False
    assert await link.fetchval(_READ) == 400
    assert len(await whole.told(ev.ActionDecided)) >= before + 1
    whole.signer.is_broken = True
    await kill(whole.world.services, whole.world.caller("carol"), Scope.PRINCIPAL, "alice")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)):
        await link.execute(_WRITE)
    assert await whole.backends() == 0
    assert await whole.site.owner.fetchval("SELECT count(*) FROM items") == 400
    link.terminate()
