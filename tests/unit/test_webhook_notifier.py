"""Notices by webhook: delivered in order, or counted; never waited for, never raised."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import httpx
import pytest
import structlog
from structlog.testing import CapturingLogger

from callpoint.adapters.notifiers.webhook import CAPACITY, KEEP_FOR, WebhookNotifier
from callpoint.domain.errors import ConfigError
from callpoint.ports.notifiers import Notice
from tests.fakes.clock import SeededRandom, SimulatedClock

URL = "https://hooks.example/T0/secret-path"


def notice(number: int, *, urgent: bool = False) -> Notice:
    return Notice("activation:requested", f"act-{number}", ("bo",), "Ana asks.", urgent=urgent)


class Receiver:
    """The other end: answers from a list (then 204), and remembers what arrived."""

    def __init__(self, *answers: int | BaseException) -> None:
        self.answers = list(answers)
        self.arrived: list[dict[str, Any]] = []
        self.requests: list[httpx.Request] = []
        self.log = CapturingLogger()
        self.clock = SimulatedClock()

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.arrived.append(json.loads(request.content))
        outcome = self.answers.pop(0) if self.answers else 204
        if isinstance(outcome, BaseException):
            raise outcome
        return httpx.Response(outcome, headers={"location": "https://evil.example/"})

    @property
    def order(self) -> list[str]:
        return [payload["about"] for payload in self.arrived]

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [call.kwargs for call in self.log.calls if call.kwargs["event"] == event]


@asynccontextmanager
async def notifying(receiver: Receiver):
    """A notifier for the receiver, not running yet."""
    transport = httpx.MockTransport(receiver.answer)
    async with httpx.AsyncClient(transport=transport) as client:
        yield WebhookNotifier(
            URL,
            client=client,
            clock=receiver.clock,
            random=SeededRandom(),
            logger=structlog.wrap_logger(receiver.log, processors=[]),
        )


@asynccontextmanager
async def running(notifier: WebhookNotifier):
    """The notifier's run, in a task that is cancelled at the end and must not have failed."""
    task = asyncio.create_task(notifier.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def settle(receiver: Receiver, *, seconds: float = 0.0) -> None:
    """Let what can happen now happen; then let simulated time pass in small steps."""
    steps = int(seconds)
    for step in range(steps + 1):
        for _ in range(50):
            await asyncio.sleep(0)
        if step < steps:
            receiver.clock.advance(timedelta(seconds=1))


async def test_notices_arrive_in_order():
    """Notices queued before and during the run are posted as JSON, in order."""
    receiver = Receiver()
    async with notifying(receiver) as notifier:
        await notifier.notify(notice(1))
        async with running(notifier):
            await notifier.notify(notice(2))
            await settle(receiver)
            await notifier.notify(notice(3, urgent=True))
            await settle(receiver)
    assert receiver.order == ["act-1", "act-2", "act-3"]
    assert receiver.arrived[2] == {
        "version": 1,
        "kind": "activation:requested",
        "about": "act-3",
        "to": ["bo"],
        "text": "Ana asks.",
        "urgent": True,
    }
    assert receiver.requests[0].headers["content-type"] == "application/json"
    assert (notifier.dropped, notifier.pending) == (0, 0)


@pytest.mark.parametrize(
    "failure", [500, 503, 408, 429, httpx.ConnectError("refused"), httpx.ReadTimeout("slow")]
)
async def test_a_failure_is_retried_until_it_works(failure):
    """A receiver that is down for a while gets the notice later, before the next one."""
    receiver = Receiver(failure, failure, failure)
    async with notifying(receiver) as notifier, running(notifier):
        await notifier.notify(notice(1))
        await notifier.notify(notice(2))
        await settle(receiver)
        assert receiver.order == ["act-1"]
        await settle(receiver, seconds=30)
    assert receiver.order == ["act-1"] * 4 + ["act-2"]
    assert notifier.dropped == 0
    assert len(receiver.logged("notice_delayed")) == 1


async def test_waits_grow_and_are_capped():
    """Attempts come ever more rarely, but at least every minute."""
    receiver = Receiver(*[503] * 1000)
    async with notifying(receiver) as notifier, running(notifier):
        await notifier.notify(notice(1))
        counts = []
        for _ in range(20):
            before = len(receiver.arrived)
            await settle(receiver, seconds=61)
            counts.append(len(receiver.arrived) - before)
    assert counts[0] > counts[-1]
    assert min(counts) >= 1
    assert max(counts[5:]) <= 3


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410])
async def test_a_final_answer_gives_one_notice_up(status):
    """An answer that a repetition cannot change drops that notice, and the next is delivered."""
    receiver = Receiver(status)
    async with notifying(receiver) as notifier, running(notifier):
        await notifier.notify(notice(1))
        await notifier.notify(notice(2))
        await settle(receiver)
    assert receiver.order == ["act-1", "act-2"]
    assert {str(request.url) for request in receiver.requests} == {URL}
    assert notifier.dropped == 1
    (lost,) = receiver.logged("notice_dropped")
    assert lost["why"] == f"HTTP {status}"


async def test_a_mistake_of_ours_does_not_end_the_run():
    """An exception that nobody expects is logged, costs one notice, and the run goes on."""
    receiver = Receiver(RuntimeError("a bug"))
    async with notifying(receiver) as notifier, running(notifier):
        await notifier.notify(notice(1))
        await notifier.notify(notice(2))
        await settle(receiver)
    assert receiver.order == ["act-1", "act-2"]
    assert receiver.logged("notice_dropped")[0]["why"] == "unexpected RuntimeError"


async def test_an_old_notice_is_not_delivered():
    """After an hour of failures a notice is given up: it would wake people for what is over."""
    receiver = Receiver(*[503] * 1000)
    async with notifying(receiver) as notifier, running(notifier):
        await notifier.notify(notice(1))
        await settle(receiver, seconds=KEEP_FOR.total_seconds() + 120)
    assert notifier.dropped == 1
    assert receiver.logged("notice_dropped")[0]["why"] == "HTTP 503"


async def test_a_full_queue_drops_the_oldest_that_wakes_nobody():
    """Beyond its capacity the queue stays bounded: calm notices go first, each loss is counted."""
    receiver = Receiver()
    async with notifying(receiver) as notifier:
        await notifier.notify(notice(0, urgent=True))
        for number in range(1, CAPACITY + 2):
            await notifier.notify(notice(number))
        assert notifier.pending == CAPACITY
        assert notifier.dropped == 2
        async with running(notifier):
            while notifier.pending:
                await settle(receiver)
            await settle(receiver)
    assert receiver.order[:2] == ["act-0", "act-3"]
    assert len(receiver.order) == CAPACITY
    assert [lost["total"] for lost in receiver.logged("notice_dropped")] == [1, 2]


async def test_a_queue_full_of_urgent_notices_drops_the_oldest():
    """When everything is urgent the oldest goes."""
    receiver = Receiver()
    async with notifying(receiver) as notifier:
        for number in range(CAPACITY + 1):
            await notifier.notify(notice(number, urgent=True))
        async with running(notifier):
            await settle(receiver)
        assert receiver.order[0] == "act-1"


async def test_what_waits_at_the_end_is_counted():
    """Ending the process counts the notice in delivery and those that wait."""
    receiver = Receiver(*[503] * 9)
    async with notifying(receiver) as notifier:
        async with running(notifier):
            for number in range(3):
                await notifier.notify(notice(number))
            await settle(receiver)
        assert notifier.dropped == 3
        assert notifier.pending == 0


async def test_no_secret_and_no_raw_text_is_logged_or_sent():
    """The URL, which may be a secret, is never logged; untrusted words are escaped and cut."""
    receiver = Receiver(503, 404)
    async with notifying(receiver) as notifier, running(notifier):
        await notifier.notify(Notice("k\n", "a\x1b", ("b\u202e",), "x\n" * 5000))
        await settle(receiver, seconds=3)
    assert "secret-path" not in repr(receiver.log.calls)
    payload = receiver.arrived[0]
    assert (payload["kind"], payload["about"], payload["to"]) == ("k\\n", "a\\x1b", ["b\\u202e"])
    assert len(payload["text"]) == 1000


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example",
        "http://hooks.example/s3cret",
        "ftp://localhost/",
        "https://",
        "https://[",
    ],
)
async def test_an_url_that_cannot_be_used_is_refused(url):
    """Clear text to another machine, and what is no URL, are refused without quoting it."""
    async with httpx.AsyncClient() as client:
        with pytest.raises(ConfigError) as refusal:
            WebhookNotifier(
                url,
                client=client,
                clock=SimulatedClock(),
                random=SeededRandom(),
                logger=structlog.get_logger(),
            )
    assert "s3cret" not in str(refusal.value)


async def test_this_machine_may_be_told_in_clear():
    """A bridge on the same machine is posted to over http."""
    async with httpx.AsyncClient() as client:
        notifier = WebhookNotifier(
            "http://127.0.0.1:9000/",
            client=client,
            clock=SimulatedClock(),
            random=SeededRandom(),
            logger=structlog.get_logger(),
        )
        assert notifier.pending == 0
