"""Founding: genesis and the first configuration in one transaction, once."""

import msgspec
import pytest

from callpoint.domain import event as ev
from callpoint.domain.errors import ConflictError, DeniedError, RequestError, UnavailableError
from callpoint.domain.governance import Bundle
from callpoint.lifecycle.found import found
from callpoint.lifecycle.rules import RuleBook
from tests.fakes.clock import SimulatedClock
from tests.fakes.invariants import history
from tests.fakes.keys import Ed25519Checker, MemoryLogSigner, Signer
from tests.fakes.memory_store import MemoryStore
from tests.fakes.world import (
    INSTALLATION,
    ORIGIN,
    build_decider,
    configuration,
    installation,
    signed,
)

BUNDLE = Bundle(INSTALLATION, 1, "", configuration(), {})


def empty() -> MemoryStore:
    return MemoryStore(
        signer=MemoryLogSigner(ORIGIN),
        clock=SimulatedClock(),
        origin=ORIGIN,
        installation=INSTALLATION,
    )


async def test_the_first_two_entries_are_genesis_and_the_first_configuration():
    """They name the governors, their quorum and who signed; there is no other administrator."""
    store = empty()
    await found(installation(), store, Ed25519Checker(), BUNDLE, signed(BUNDLE, "gina", "hugo"))
    genesis, published = (item.event for item in history(store.state))
    assert isinstance(genesis, ev.InstallationCreated)
    assert isinstance(published, ev.BundlePublished)
    assert (set(genesis.governors), genesis.quorum, genesis.trial) == ({"gina", "hugo"}, 2, False)
    assert (published.number, published.digest) == (1, BUNDLE.digest())
    assert [s.governor for s in published.signatures] == ["gina", "hugo"]


async def test_one_governor_alone_is_a_trial_and_says_so():
    """One of one is allowed for trying out."""
    store = empty()
    alone = {"gina": Signer("gina").public}
    rules = configuration()
    governance = msgspec.structs.replace(rules.governance, governors=alone, quorum=1)
    bundle = msgspec.structs.replace(
        BUNDLE, configuration=msgspec.structs.replace(rules, governance=governance)
    )
    made = msgspec.structs.replace(installation(), governors=alone, quorum=1)
    await found(made, store, Ed25519Checker(), bundle, signed(bundle, "gina"))
    genesis = history(store.state)[0].event
    assert isinstance(genesis, ev.InstallationCreated)
    assert genesis.trial


@pytest.mark.parametrize("governors", [(), ("gina",), ("gina", "gina"), ("gina", "alice")])
async def test_without_the_governors_signatures_nothing_is_founded(governors):
    """The first configuration is signed like every later one that widens."""
    store = empty()
    with pytest.raises(DeniedError):
        await found(installation(), store, Ed25519Checker(), BUNDLE, signed(BUNDLE, *governors))
    assert not store.state.leaves


async def test_a_store_is_founded_once():
    """A second founding is refused, and says where to go."""
    store = empty()
    both = signed(BUNDLE, "gina", "hugo")
    await found(installation(), store, Ed25519Checker(), BUNDLE, both)
    with pytest.raises(ConflictError, match="holds an installation already"):
        await found(installation(), store, Ed25519Checker(), BUNDLE, both)
    assert len(store.state.leaves) == 2


@pytest.mark.parametrize(
    "changes", [{"number": 2}, {"previous": "0" * 64}, {"installation": "other1"}]
)
async def test_a_bundle_that_is_not_the_first_of_this_installation_is_refused(changes):
    """Genesis begins with bundle one."""
    bundle = msgspec.structs.replace(BUNDLE, **changes)
    with pytest.raises(RequestError, match="not the first bundle"):
        await found(
            installation(), empty(), Ed25519Checker(), bundle, signed(bundle, "gina", "hugo")
        )


async def test_the_configuration_names_the_governors_of_genesis():
    """Nobody is slipped in between."""
    rules = configuration()
    governance = msgspec.structs.replace(rules.governance, quorum=1)
    bundle = msgspec.structs.replace(
        BUNDLE, configuration=msgspec.structs.replace(rules, governance=governance)
    )
    with pytest.raises(RequestError, match="not those of the genesis"):
        await found(
            installation(), empty(), Ed25519Checker(), bundle, signed(bundle, "gina", "hugo")
        )


async def test_before_genesis_there_are_no_rules():
    """An empty store says what to do first."""
    store = empty()
    with pytest.raises(UnavailableError) as refused:
        await RuleBook(installation(), store, build_decider, verifier=Ed25519Checker()).current()
    assert "callpoint init" in refused.value.way_out
