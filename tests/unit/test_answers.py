"""How a store's thread answers the event loops that wait for it."""

import asyncio
from concurrent.futures import Future
from threading import Thread

import pytest

from callpoint.adapters.stores.sql.answers import Answers


async def test_a_batch_is_answered_together():
    """What a thread answers inside ``together`` arrives, value or error, and only at its end."""
    answers = Answers()
    asked: list[Future[str]] = [Future() for _ in range(3)]
    waiters = [answers.wait(one) for one in asked]
    arrived_early: list[bool] = []

    def thread():
        with answers.together():
            asked[0].set_result("a")
            asked[1].set_exception(ValueError("b"))
            arrived_early.extend(waiter.done() for waiter in waiters)
        asked[2].set_result("c")

    worker = Thread(target=thread)
    worker.start()
    results = await asyncio.gather(*waiters, return_exceptions=True)
    worker.join()
    assert (results[0], str(results[1]), results[2]) == ("a", "b", "c")
    assert arrived_early == [False, False, False]


async def test_who_gives_up_takes_back_what_has_not_begun():
    """A cancelled caller cancels its job, and an answer that comes too late is no error."""
    answers = Answers()
    not_begun: Future[str] = Future()
    begun: Future[str] = Future()
    begun.set_running_or_notify_cancel()
    waiters = [answers.wait(not_begun), answers.wait(begun)]
    for waiter in waiters:
        waiter.cancel()
    await asyncio.sleep(0)
    assert not_begun.cancelled()
    begun.set_result("too late")
    await asyncio.sleep(0)
    assert all(waiter.cancelled() for waiter in waiters)


async def test_a_job_that_was_taken_back_elsewhere_cancels_its_caller():
    """A future that somebody cancels ends the wait as cancelled."""
    answers = Answers()
    asked: Future[str] = Future()
    waiter = answers.wait(asked)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter


def test_a_closed_loop_is_passed_over():
    """An answer for a loop that is closed is dropped, and the thread goes on."""
    answers = Answers()
    asked: Future[str] = Future()

    async def leave():
        answers.wait(asked)

    asyncio.run(leave())
    asked.set_result("nobody is there")
    assert asked.result() == "nobody is there"
