"""What every book of nonces promises, and what the one in the store promises besides."""

import asyncio
from datetime import timedelta

import pytest

from callpoint.adapters.identity.nonces import KEEP_FOR, StoreNonceBook
from callpoint.adapters.stores.sqlite import SqliteStore
from callpoint.domain.errors import ConflictError, StoreUnavailableError
from callpoint.domain.nonce import Nonce
from callpoint.domain.request_signature import MAX_AGE, MAX_AHEAD
from callpoint.ports.stores import Where
from tests.fakes.clock import SimulatedClock
from tests.fakes.keys import MemoryLogSigner
from tests.fakes.memory_store import MemoryStore
from tests.fakes.nonces import FakeNonceBook

ORIGIN = "callpoint/nonces"


@pytest.fixture
def clock():
    return SimulatedClock()


@pytest.fixture
def memory(clock):
    signer = MemoryLogSigner(ORIGIN)
    return MemoryStore(signer=signer, clock=clock, origin=ORIGIN, installation="nonces")


@pytest.fixture
async def sqlite(tmp_path, clock):
    store = await SqliteStore.open(
        tmp_path / "state.db",
        signer=MemoryLogSigner(ORIGIN),
        clock=clock,
        checkpoint_file=tmp_path / "checkpoint",
        origin=ORIGIN,
        installation="nonces",
    )
    yield store
    await store.close()


@pytest.fixture(params=["fake", "memory", "sqlite"])
def book(request, clock):
    if request.param == "fake":
        return FakeNonceBook()
    return StoreNonceBook(request.getfixturevalue(request.param), clock)


@pytest.fixture(params=["memory", "sqlite"])
def store(request):
    return request.getfixturevalue(request.param)


async def test_a_nonce_is_spent_once(book):
    """True the first time, False after it; another nonce or another key is another matter."""
    assert await book.spend("ana", "n-1")
    assert not await book.spend("ana", "n-1")
    assert await book.spend("ana", "n-2")
    assert await book.spend("bo", "n-1")
    assert not await book.spend("ana", "n-1")


async def test_of_many_at_once_one_wins(book):
    """Twenty deliveries of one request at the same moment: one is accepted."""
    answers = await asyncio.gather(*[book.spend("ana", "n-1") for _ in range(20)])
    assert sorted(answers) == [False] * 19 + [True]


async def test_a_nonce_outlives_its_request(store, clock):
    """A sweep forgets no nonce whose request could still be accepted, and all that are old."""
    assert KEEP_FOR > (MAX_AGE + MAX_AHEAD) * 2
    book = StoreNonceBook(store, clock)
    for number in range(1201):
        await book.spend("ana", f"n-{number}")
    clock.advance(KEEP_FOR - timedelta(seconds=1))
    assert await book.sweep() == 0
    assert not await book.spend("ana", "n-7")
    await book.spend("ana", "young")
    clock.advance(timedelta(seconds=2))
    assert await book.sweep() == 1201
    assert await book.sweep() == 0
    kept = await store.read(lambda view: view.select(Nonce, Where()))
    assert [nonce.key() for nonce in kept] == ["ana:young"]


async def test_a_clock_that_is_set_back_forgets_nothing(store, clock):
    """After the node's clock jumped back, a spent nonce stays spent and is not swept."""
    book = StoreNonceBook(store, clock)
    await book.spend("ana", "n-1")
    clock.jump(timedelta(minutes=-30))
    assert await book.sweep() == 0
    assert not await book.spend("ana", "n-1")


async def test_the_later_clock_decides_how_long(memory, clock):
    """A node whose clock is behind the store's keeps its nonces as long as any other."""
    behind = SimulatedClock(clock.now() - KEEP_FOR * 2)
    await StoreNonceBook(memory, behind).spend("ana", "n-1")
    assert await StoreNonceBook(memory, clock).sweep() == 0
    assert not await StoreNonceBook(memory, behind).spend("ana", "n-1")


async def test_a_nonce_is_spent_while_the_log_is_down(memory, clock):
    """A kill is authenticated, once, while nothing can be signed (I2)."""
    memory.log_down = True
    book = StoreNonceBook(memory, clock)
    assert await book.spend("ana", "n-1")
    assert not await book.spend("ana", "n-1")
    assert await book.sweep() == 0


async def test_a_dead_store_authenticates_nobody(memory, clock):
    """When the store does not answer, the book neither says yes nor no."""
    memory.dead = True
    with pytest.raises(StoreUnavailableError):
        await StoreNonceBook(memory, clock).spend("ana", "n-1")


async def test_done_but_unanswered_is_not_accepted_twice(memory, clock):
    """When the store wrote the nonce but did not say so, the same request is refused later."""

    def silent():
        memory.after = lambda: None
        raise StoreUnavailableError("written, but not said")

    memory.after = silent
    book = StoreNonceBook(memory, clock)
    with pytest.raises(StoreUnavailableError):
        await book.spend("ana", "n-1")
    assert not await book.spend("ana", "n-1")


async def test_a_conflict_on_the_nonce_is_a_no(memory, clock):
    """When somebody else spends the same nonce at this moment, this request is refused."""

    def moved():
        raise ConflictError("somebody was faster")

    memory.before = moved
    assert not await StoreNonceBook(memory, clock).spend("ana", "n-1")
