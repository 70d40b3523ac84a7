"""Notices as JSON, posted to one address: a chat, a pager, a bridge of your own.

Best effort in memory: a notice that waits when the process ends is lost, and is counted. Nothing
depends on one: what is due is in the store.
"""

import asyncio
from collections import deque
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog

from callpoint.domain.errors import ConfigError
from callpoint.domain.untrusted import printable
from callpoint.ports.clock import Clock, Random
from callpoint.ports.notifiers import Notice

CAPACITY: Final = 1000
"""Notices that wait; a night of them, less than a megabyte."""

KEEP_FOR: Final = timedelta(hours=1)
"""A notice older than this is not delivered any more: it would wake people for what is over."""

FIRST_WAIT: Final = timedelta(seconds=1)
LONGEST_WAIT: Final = timedelta(seconds=60)
ATTEMPT_TIMEOUT: Final = timedelta(seconds=10)

_MAX_TEXT = 1000
_MAX_NAMES = 100
# Worth another attempt among the 4xx: time-out, too early, too many requests.
_RETRIED = {408, 425, 429}
_SERVER_ERROR = 500
_LOCAL = {"localhost", "127.0.0.1", "::1"}


class _Waiting(msgspec.Struct, frozen=True):
    """A notice in the queue; ``queued`` in seconds of the monotonic clock."""

    notice: Notice
    queued: float


class _Payload(msgspec.Struct, frozen=True):
    """What is posted; members are only added, at the end."""

    version: int
    kind: str
    about: str
    to: tuple[str, ...]
    text: str
    urgent: bool


class WebhookNotifier:
    """Implements ``ports.notifiers.Notifier``; `run` delivers what `notify` queues.

    Notices are delivered in order, each until the receiver answers 2xx. An answer that a repetition
    cannot change (3xx and most 4xx) gives one up; so does its age. When the queue is full the
    oldest notice that wakes nobody is dropped, else the oldest. Every loss is counted and logged,
    without the text.

    Args:
        url: Where to post; https, or http on this machine. It may hold a secret: it is never
            logged.
        client: Not following redirects; closed by whoever made it.
        clock: For waiting and ages.
        random: For jitter.
        logger: For losses and failures.

    Attributes:
        dropped: How many notices were not delivered and never will be.

    Raises:
        ConfigError: The URL cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        client: httpx.AsyncClient,
        clock: Clock,
        random: Random,
        logger: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self.dropped = 0
        self._url = url
        self._host = _checked_host(url)
        self._client = client
        self._clock = clock
        self._random = random
        self._logger = logger
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()

    @property
    def pending(self) -> int:
        """How many notices wait, without the one that is being delivered."""
        return len(self._queue)

    async def notify(self, notice: Notice) -> None:
        """See the port: queues it, never waits."""
        if len(self._queue) >= CAPACITY:
            self._make_room()
        self._queue.append(_Waiting(notice, self._clock.monotonic()))
        self._arrived.set()

    async def run(self) -> None:
        """Deliver until cancelled; belongs into the process's TaskGroup, and never raises else."""
        try:
            while True:
                await self._arrived.wait()
                if not self._queue:
                    self._arrived.clear()
                    continue
                await self._deliver_or_count(self._queue.popleft())
        finally:
            if self._queue:
                self._lose("the process ends", count=len(self._queue))
                self._queue.clear()

    async def _deliver_or_count(self, waiting: _Waiting) -> None:
        try:
            await self._deliver(waiting)
        except BaseException:
            self._lose("the process ends", kind=waiting.notice.kind)
            raise

    async def _deliver(self, waiting: _Waiting) -> None:
        wait = FIRST_WAIT
        attempt = 0
        while True:
            attempt += 1
            failure, final = await self._attempt(waiting.notice)
            if not failure:
                return
            age = self._clock.monotonic() - waiting.queued
            if final or age > KEEP_FOR.total_seconds():
                self._lose(failure, kind=waiting.notice.kind, attempts=attempt)
                return
            if attempt == 1:
                self._logger.warning("notice_delayed", host=self._host, failure=failure)
            # Between half and the whole, so that replicas do not knock in step.
            await self._clock.sleep(wait * (0.5 + self._random.fraction() / 2))
            wait = min(wait * 2, LONGEST_WAIT)

    async def _attempt(self, notice: Notice) -> tuple[str, bool]:
        """Post once; returns what failed (empty when nothing) and whether that is final."""
        try:
            async with (
                asyncio.timeout(ATTEMPT_TIMEOUT.total_seconds()),
                # Streamed, and the answer's body left unread: it has no size that we chose.
                self._client.stream(
                    "POST",
                    self._url,
                    content=msgspec.json.encode(_payload(notice)),
                    headers={"content-type": "application/json"},
                    follow_redirects=False,
                ) as answer,
            ):
                status = answer.status_code
        except (httpx.HTTPError, OSError) as error:  # TimeoutError is an OSError
            return type(error).__name__, False
        except Exception as error:  # noqa: BLE001 -- a notice that cannot be sent must not end the revoker's task group; it is counted and logged
            return f"unexpected {type(error).__name__}", True
        if answer.is_success:
            return "", True
        return f"HTTP {status}", status < _SERVER_ERROR and status not in _RETRIED

    def _make_room(self) -> None:
        calm = next((w for w in self._queue if not w.notice.urgent), self._queue[0])
        self._queue.remove(calm)
        self._lose("the queue is full", kind=calm.notice.kind)

    def _lose(self, why: str, *, count: int = 1, **about: object) -> None:
        self.dropped += count
        self._logger.error(
            "notice_dropped", host=self._host, why=why, count=count, total=self.dropped, **about
        )


def _payload(notice: Notice) -> _Payload:
    return _Payload(
        version=1,
        kind=printable(notice.kind),
        about=printable(notice.about),
        to=tuple(printable(person) for person in notice.to[:_MAX_NAMES]),
        text=printable(notice.text, _MAX_TEXT),
        urgent=notice.urgent,
    )


def _checked_host(url: str) -> str:
    """The URL's host, for log lines; ConfigError (without the URL) when it cannot be used."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        usable = parts.scheme == "https" or (parts.scheme == "http" and host in _LOCAL)
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        host, usable = "", False
    if not host or not usable:
        raise ConfigError(
            "the notifier's URL cannot be used",
            way_out="it begins with https://, or with http:// and a host of this machine",
        )
    return host
