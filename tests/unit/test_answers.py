"""How a store's thread answers the event loops that wait for it."""

import asyncio
from threading import Thread

from callpoint.adapters.stores.sql.answers import Answers, Reply


async def test_a_batch_is_answered_together():
    """What a thread answers inside ``together`` arrives, value or error, and only at its end."""
    answers = Answers()
    asked = [Reply() for _ in range(3)]
    waiters = [answers.wait(one) for one in asked]
    arrived_early: list[bool] = []

    def thread():
        with answers.together():
            asked[0].give("a")
            asked[1].fail(ValueError("b"))
            arrived_early.extend(waiter.done() for waiter in waiters)
        asked[2].give("c")

    worker = Thread(target=thread)
    worker.start()
    results = await asyncio.gather(*waiters, return_exceptions=True)
    worker.join()
    assert (results[0], str(results[1]), results[2]) == ("a", "b", "c")
    assert arrived_early == [False, False, False]


async def test_an_answer_that_comes_too_late_is_no_error():
    """Who gave up meanwhile hears nothing, and the others do."""
    answers = Answers()
    asked = [Reply(), Reply()]
    waiters = [answers.wait(one) for one in asked]
    waiters[0].cancel()
    with answers.together():
        for one in asked:
            one.give("late")
    assert await waiters[1] == "late"
    assert waiters[0].cancelled()


def test_a_task_is_begun_or_taken_back_once():
    """Of those who claim it, each on a thread of its own, one may."""
    for _ in range(50):
        asked, claims = Reply(), list[bool]()
        threads = [Thread(target=lambda: claims.append(asked.claim())) for _ in range(4)]  # noqa: B023 -- joined in this round
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(claims) == [False, False, False, True]


def test_a_thread_that_waits_is_told():
    """It gets the value, or the error."""
    for tell in (lambda one: one.give("done"), lambda one: one.fail(ValueError("no"))):
        asked = Reply()
        future = asked.blocking()
        tell(asked)
        assert future.exception() is asked.error
        assert asked.error is not None or future.result() == "done"


def test_a_closed_loop_is_passed_over():
    """An answer for a loop that is closed is dropped, and the thread goes on."""
    answers = Answers()
    asked = Reply()

    async def leave():
        answers.wait(asked)

    asyncio.run(leave())
    asked.give("nobody is there")
    assert asked.is_given
