"""Building what a process works with, from a home folder and the environment."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version

import httpx
import structlog

from callpoint.adapters.identity.nonces import StoreNonceBook
from callpoint.adapters.keys.files import AgeSealer, Ed25519Verifier, FileVault
from callpoint.adapters.notifiers.fan_out import FanOut
from callpoint.adapters.notifiers.log import LogNotifier
from callpoint.adapters.notifiers.webhook import WebhookNotifier
from callpoint.adapters.stores.late import LateStore
from callpoint.adapters.witnesses.http import HttpWitnesses
from callpoint.bootstrap.connectors import Connectors, Site
from callpoint.bootstrap.former import former_targets
from callpoint.bootstrap.held import HeldStore
from callpoint.bootstrap.home import Home
from callpoint.bootstrap.journal import make_logger
from callpoint.bootstrap.key_change import finish_rotations
from callpoint.bootstrap.outside import Outside, build_decider, open_node, open_store
from callpoint.config.settings import Settings
from callpoint.domain.errors import (
    CallpointError,
    HeldError,
    StoreUnavailableError,
)
from callpoint.domain.governance import Bundle, Installation
from callpoint.lifecycle.epoch import epoch_of
from callpoint.lifecycle.landmark import Landmarks
from callpoint.lifecycle.pep import Pep
from callpoint.lifecycle.rules import RuleBook
from callpoint.lifecycle.services import Limits, Services
from callpoint.lifecycle.verified_log import VerifiedLog
from callpoint.ports.notifiers import Notifier
from callpoint.ports.stores import Store
from callpoint.ports.witnesses import Witnesses

STORE_EVERY = timedelta(seconds=2)
"""How often a process that began without its store looks for it."""


@dataclass(frozen=True)
class Process:
    """Everything that runs, not yet running. ``open_process`` makes and closes it.

    Attributes:
        http: For witnesses and authorities outside.
        late: In the store's place until it answers.
        held: Why nothing at all is done here (I8); None where it is.
        since: Nonces that were spent before are not all known.
    """

    settings: Settings
    services: Services
    connectors: Connectors
    nonces: StoreNonceBook
    webhook: WebhookNotifier | None
    logger: structlog.typing.FilteringBoundLogger
    outside: Outside
    http: httpx.AsyncClient
    late: LateStore | None = None
    held: HeldError | None = None
    since: datetime | None = None

    @property
    def witnesses(self) -> Witnesses:
        """The way to the log's witnesses."""
        return HttpWitnesses(self.http)

    async def find_store(self, stop: asyncio.Event) -> None:
        """Until it is there or ``stop`` is set: nothing else makes a process whole again."""
        late, services = self.late, self.services
        while late is not None and not late.is_there and not stop.is_set():
            await services.clock.sleep(STORE_EVERY)
            try:
                late.attach(await open_store(self.settings, services.installation, self.outside))
            except CallpointError as error:
                self.logger.error("store_not_there", detail=str(error))  # noqa: TRY400 -- ours
            else:
                self.logger.warning("store_is_there")

    async def note_landmarks(self) -> None:
        """Remember how far the log is proven, so that the next start goes on there."""
        services = self.services
        log, installation = services.log, services.installation
        marks = Landmarks(
            publications=await services.rules.look_on(),
            open=await services.store.read(lambda view: log.landmark(view, installation)),
        )
        await asyncio.to_thread(Home(self.settings.home).note_landmarks, marks)

    async def follow(self) -> None:
        """Bring rules and connectors up to what is in force; targets that were left as well."""
        rules = await self.services.rules.current()
        store = self.services.store
        for target in await store.read(lambda view: former_targets(view, rules.bundle)):
            self.connectors.adopt(target)


@contextlib.asynccontextmanager
async def open_process(settings: Settings, outside: Outside) -> AsyncIterator[Process]:
    """Build everything; close the store at the end.

    Raises:
        ConfigError: The home folder holds no installation, or a key cannot be used.
        StoreUnavailableError: The store refuses; a silent one may come later, if rules are known.
        TamperError: What is pinned in the home folder was changed by hand.
    """
    home = Home(settings.home)
    finish_rotations(home)
    installation = home.installation()
    logger = make_logger(outside.clock, outside.stream)
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient())
        notifier, webhook = await _notifier(stack, settings, outside, logger)
        pinned = home.pinned()
        store, late, held = await _store_or_none(settings, installation, outside, pinned)
        stack.push_async_callback(store.close)
        connectors = _connectors(installation, outside, logger, held)
        if pinned is not None and held is None:
            connectors.follow(pinned.configuration)  # from here on what takes away works

        yield Process(
            settings=settings,
            services=Services(
                installation=installation,
                store=store,
                rules=_rule_book(home, installation, store, connectors),
                pep=Pep(store, notifier),
                clock=outside.clock,
                random=outside.random,
                notifier=notifier,
                sealer=AgeSealer(),
                vault=FileVault(home.keys),
                verifier=Ed25519Verifier(),
                targets=connectors,
                limits=_limits(settings),
                node=open_node(settings, installation, outside),
                log=VerifiedLog(landmark=home.landmarks().open),
            ),
            connectors=connectors,
            nonces=StoreNonceBook(store, outside.clock),
            webhook=webhook,
            logger=logger,
            late=late,
            held=held,
            since=await _nonces_since(store, outside, is_there=late is None and held is None),
            outside=outside,
            http=http,
        )


async def _store_or_none(
    settings: Settings, installation: Installation, outside: Outside, pinned: Bundle | None
) -> tuple[Store, LateStore | None, HeldError | None]:
    """The store; or one in its place, with which nothing works, or only a kill (I8, I13)."""
    try:
        return await open_store(settings, installation, outside), None, None
    except HeldError as error:
        return HeldStore(error), None, error
    except StoreUnavailableError as error:
        if pinned is None or not error.is_silent:
            raise
        late = LateStore(error.message)
        return late, late, None


def _connectors(
    installation: Installation,
    outside: Outside,
    logger: structlog.typing.FilteringBoundLogger,
    held: HeldError | None,
) -> Connectors:
    """None yet. A copy of an installation does not even know how to reach a target."""
    site = Site(installation.id, outside.environment, outside.clock, outside.random)
    return Connectors(site, logger, {} if held else outside.registry)


def _rule_book(
    home: Home, installation: Installation, store: Store, connectors: Connectors
) -> RuleBook:
    """What is proven is remembered in the home folder, and the connectors follow it."""

    def on_load(bundle: Bundle) -> None:
        home.pin(bundle)
        connectors.follow(bundle.configuration)

    return RuleBook(
        installation,
        store,
        build_decider,
        verifier=Ed25519Verifier(),
        pinned=home.pinned(),
        on_load=on_load,
        landmark=home.landmarks().publications,
    )


async def _nonces_since(store: Store, outside: Outside, *, is_there: bool) -> datetime | None:
    """Since when every spent nonce is known; None: always. Without a store nobody can say."""
    if not is_there:
        return outside.clock.now()
    epoch = await store.read(epoch_of)
    return epoch.lost_at if epoch is not None else None


def _limits(settings: Settings) -> Limits:
    stamps = settings.stamp_for if settings.stamp_url else None
    return Limits(claim_for=settings.claim_for, stamp_every=stamps)


def program_version() -> str:
    """As the package says; a source tree that was never installed has none."""
    try:
        return version("callpoint")
    except PackageNotFoundError:
        return "source tree"


async def _notifier(
    stack: contextlib.AsyncExitStack,
    settings: Settings,
    outside: Outside,
    logger: structlog.typing.FilteringBoundLogger,
) -> tuple[Notifier, WebhookNotifier | None]:
    """The log always, and the webhook where one is set."""
    log = LogNotifier(outside.clock, outside.stream)
    if not settings.notify_env:
        return log, None
    webhook = WebhookNotifier(
        outside.secret(settings.notify_env, "the address that notices are posted to"),
        client=await stack.enter_async_context(httpx.AsyncClient()),
        clock=outside.clock,
        random=outside.random,
        logger=logger,
    )
    return FanOut((log, webhook)), webhook
