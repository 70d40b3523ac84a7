"""Events that an insider puts into the spool get numbers, and never a credential.

The spool is how processes without the log key reach the log, so whoever writes to the database can
reach it too. What gives something must therefore rest on people's signatures, not on the log alone.
"""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pyrage
import pytest

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation, begin
from callpoint.domain.approval import Quorum, Verdict, signed_message
from callpoint.domain.errors import CallpointError, TamperError
from callpoint.domain.governance import Bundle, InForce, StoredBundle
from callpoint.domain.ids import INSTALLATION_STREAM, activation_stream
from callpoint.domain.request import Request
from callpoint.lifecycle import issue
from callpoint.lifecycle.found import published
from callpoint.lifecycle.votes import statement_for
from callpoint.ports.stores import Where
from tests.attack.quarry import Quarry
from tests.fakes.keys import Signer
from tests.fakes.world import found_world, signed


@pytest.fixture
async def quarry(tmp_path: Path) -> Quarry:
    """Founded, with an open incident and a request of alice's that nobody approved."""
    made = Quarry(tmp_path / "quarry")
    made.folder.mkdir()
    async with made.world() as world:
        await found_world(world)
        await world.incident()
        await world.ask()
    return made


def loosened(bundle: Bundle) -> Bundle:
    """Alice commands incidents, and one commander is enough."""
    rules = bundle.configuration
    usual = rules.eligibilities["orders-repair"]
    rule = msgspec.structs.replace(usual.approval, quorum=1, approvers=("group:oncall",))
    changed = msgspec.structs.replace(usual, approval=rule)
    wide = msgspec.structs.replace(rules, eligibilities={usual.id: changed})
    return msgspec.structs.replace(bundle, number=2, previous=bundle.digest(), configuration=wide)


@pytest.mark.parametrize("signers", [(), ("gina",)], ids=["nobody", "one governor"])
@pytest.mark.parametrize("is_pinned", [False, True], ids=["first start", "pinned"])
async def test_a_configuration_counts_by_its_signatures(
    quarry: Quarry, signers: tuple[str, ...], is_pinned: bool
):
    """A configuration that is in the database and in the log is not loaded unsigned (I15)."""
    async with quarry.world() as world:
        wide = loosened(world.bundle)
    event = published(wide, (), signed(wide, *signers), "gina")
    quarry.put(StoredBundle(wide, wide.digest()))
    quarry.put(InForce(2, wide.digest()))
    quarry.spool(INSTALLATION_STREAM, event)
    async with quarry.world() as world:
        assert await world.services.store.merge_spool() == 0
        book = world.rule_book(pinned=world.bundle if is_pinned else None)
        with pytest.raises(TamperError, match="governors"):
            await book.current()


async def test_what_the_governors_signed_is_loaded(quarry: Quarry):
    """The same with both signatures is a configuration like any other."""
    async with quarry.world() as world:
        wide = loosened(world.bundle)
    quarry.put(StoredBundle(wide, wide.digest()))
    quarry.put(InForce(2, wide.digest()))
    quarry.spool(INSTALLATION_STREAM, published(wide, (), signed(wide, "gina", "hugo"), "gina"))
    async with quarry.world() as world:
        await world.services.store.merge_spool()
        assert (await world.rule_book().current()).bundle == wide


BOTH = ("carol", "dave")
FORGED: dict[str, tuple[dict[str, object], tuple[str, ...]]] = {
    "approved by herself": (
        {"quorum": Quorum(1, ("alice",)), "persons": ("nobody",)},
        ("alice",),
    ),
    "by whoever may ask": (
        {"quorum": Quorum(1, ("group:oncall",)), "persons": ("bob",)},
        ("alice",),
    ),
    "by too few": ({"quorum": Quorum(1, ("group:commanders",))}, ("carol",)),
    "for longer": ({"ttl": timedelta(hours=3)}, BOTH),
    "for more": ({"opens": ("orders-db:read", "orders-db:repair")}, BOTH),
    "without end": ({"lapses_at": datetime(2027, 1, 1, tzinfo=UTC)}, BOTH),
    "without review": ({"reviewers": ("alice",)}, BOTH),
    "without incident": ({"incident": ""}, BOTH),
}


@pytest.mark.parametrize("name", FORGED)
async def test_a_request_that_was_never_made_gives_nothing(quarry: Quarry, name: str):
    """Alice writes a request that the rules do not know, with all the votes that it asks for."""
    forged = await _forge(quarry, *FORGED[name])
    async with quarry.world() as world:
        assert await world.services.store.merge_spool() == 0
        with pytest.raises(CallpointError):
            await issue.issue(world.services, world.caller("alice"), forged)
        assert not world.target.accounts


async def test_what_two_commanders_signed_is_issued(quarry: Quarry):
    """The same by the rules, whatever way it came: two persons signed exactly this."""
    forged = await _forge(quarry, {}, BOTH)
    async with quarry.world() as world:
        await world.services.store.merge_spool()
        await issue.issue(world.services, world.caller("alice"), forged)
        assert len(world.target.accounts) == 1


async def _forge(quarry: Quarry, changes: dict[str, object], voters: tuple[str, ...]) -> str:
    """Rows and spooled events of an activation that these voters approved with their real keys."""
    async with quarry.world() as world:
        (usual,) = await world.services.store.read(lambda view: view.select(Activation, Where()))
        principals = world.bundle.configuration.principals
    key, identity = pyrage.x25519.Identity.generate(), "a" * len(usual.id)
    request: Request = msgspec.structs.replace(
        usual.request, activation=identity, seal_to=str(key.to_public()), **changes
    )
    asked = ev.ActivationRequested(
        actor="alice", request=request, digest=request.digest(), decisions=()
    )
    made, stream, now = begin(asked), activation_stream(identity), quarry.clock.now()
    quarry.spool(stream, asked)
    for voter in voters:
        body = statement_for(made, principals[voter], Verdict.APPROVE, "").body()
        event = ev.ApprovalRecorded(
            actor=voter,
            approver=voter,
            person=voter,
            verdict="approve",
            statement=base64.b64encode(body).decode(),
            signature=Signer(voter).sign(signed_message(body)),
            key=principals[voter].key,
        )
        quarry.spool(stream, event)
        made = made.apply(event, now)
    done = ev.ActivationApproved(actor="alice", persons=voters)
    quarry.spool(stream, done)
    quarry.put(made.apply(done, now))
    return identity
