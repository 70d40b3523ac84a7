"""The bundle in force: configuration and policy, believed only as far as the log vouches (I15)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from callpoint.domain import event as ev
from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import (
    CallpointError,
    ConfigError,
    ConflictError,
    NotFoundError,
    TamperError,
    UnavailableError,
)
from callpoint.domain.governance import Bundle, InForce, Installation, StoredBundle
from callpoint.domain.ids import INSTALLATION_STREAM
from callpoint.domain.request import Request
from callpoint.lifecycle.landmark import Landmark
from callpoint.lifecycle.lineage import must_descend
from callpoint.lifecycle.verified_log import VerifiedLog
from callpoint.ports.decider import Decider
from callpoint.ports.keys import Verifier
from callpoint.ports.stores import Store, View

T = TypeVar("T")


@dataclass(frozen=True)
class Rules:
    """One published bundle, ready to be asked."""

    bundle: Bundle
    digest: str
    configuration_digest: str
    policy_digest: str
    decider: Decider

    @property
    def configuration(self) -> Configuration:
        """Who exists and what can be opened."""
        return self.bundle.configuration

    def covers(self, request: Request) -> bool:
        """Whether the request was made under exactly these rules: only then do its votes count."""
        return (request.configuration_digest, request.policy_digest) == (
            self.configuration_digest,
            self.policy_digest,
        )


class RuleBook:
    """Gives the rules in force; loads a newly published bundle once, after checking it.

    Args:
        build: Makes a decider of a bundle (the composition root knows the PDP).
        verifier: Of the governors' signatures: no configuration counts by the log alone.
        pinned: The newest bundle that was ever proven here, kept outside the database: an older
            one is refused, and its configuration still tells who somebody is when the database
            cannot be believed any more.
        on_load: Told of each newly proven bundle before it is used; when it raises, the bundle is
            not used.
        landmark: How far an earlier process had proven the publications.
    """

    def __init__(
        self,
        installation: Installation,
        store: Store,
        build: Callable[[Bundle], Decider],
        *,
        verifier: Verifier,
        pinned: Bundle | None = None,
        on_load: Callable[[Bundle], None] | None = None,
        landmark: Landmark | None = None,
    ) -> None:
        self._installation = installation
        self._store = store
        self._build = build
        self._verifier = verifier
        self._newest = pinned
        self._newest_digest = pinned.digest() if pinned else ""
        self._on_load = on_load
        self._loaded: Rules | None = None
        # Once from genesis on; what comes later then costs what was logged in between.
        self._log = VerifiedLog((INSTALLATION_STREAM,), landmark=landmark)
        self._refused = ""

    async def current(self) -> Rules:
        """The rules in force now.

        Raises:
            UnavailableError: Nothing was published yet, or the policies in force do not load.
            TamperError: The stored bundle is not the one that the log names last, or is older than
                one that was in force before.
        """
        return self._settled(await self._store.read(self._read))

    async def beside(self, look: Callable[[View], T]) -> tuple[Rules, T]:
        """The rules in force, and what ``look`` finds in the very view that names them.

        Raises:
            UnavailableError, TamperError: As ``current``; and what ``look`` raises.
        """
        fresh, found = await self._store.read(lambda view: (self._read(view), look(view)))
        return self._settled(fresh), found

    def _settled(self, fresh: Rules) -> Rules:
        known = self._newest.number if self._newest is not None else 0
        # Another task may have seen a newer one while this one read.
        if fresh is not self._loaded and fresh.bundle.number >= known:
            if self._on_load is not None:
                self._on_load(fresh.bundle)
            self._newest, self._newest_digest = fresh.bundle, fresh.digest
            self._loaded = fresh
        self._refused = ""
        return fresh

    @property
    def loaded(self) -> Rules | None:
        """What ``current`` returned last, without looking again; None before the first time.

        Who decides by it must look itself, in the view and in the transaction of the decision
        (``must_be_in_force``).
        """
        return self._loaded

    def _read(self, view: View) -> Rules:
        """Pointer, bundle and log in one view, so that a publication in between misleads nobody."""
        pointer = view.find(InForce, "bundle")
        if pointer is None:
            raise UnavailableError(
                "no configuration is published", way_out="run `callpoint init` first"
            )
        loaded = self._loaded
        if loaded is not None and loaded.digest == pointer.digest:
            return loaded
        try:
            self._must_not_go_back(pointer)
            return self._load(view, pointer)
        except CallpointError:
            self._refused = pointer.digest
            raise

    async def refresh(self) -> Configuration:
        """The configuration in force, or the last one that was proven if that cannot be told now.

        It says who somebody is, for authentication and for what takes away: those must go on with
        a tampered or unreadable bundle (I11). Whatever gives something asks ``current``.

        Raises:
            UnavailableError: None was ever proven here.
            TamperError: The same, and what is stored now is not what the log names.
        """
        newest = self._newest
        # Proving a bundle replays the log, and a stranger's request comes here before it is
        # authenticated: what was refused is not proven again for it, only by who asks `current`.
        try:
            if newest is not None and self._refused:
                is_refused = await self._store.read(self._is_refused)
                if is_refused:
                    return newest.configuration
            return (await self.current()).configuration
        except CallpointError:
            if self._newest is None:
                raise
            return self._newest.configuration

    async def look_on(self) -> Landmark | None:
        """Verify what was logged since the last time; where the next process goes on from.

        Raises:
            TamperError, LogUnavailableError, StoreUnavailableError: It cannot be told now.
        """

        def read(view: View) -> Landmark | None:
            return self._log.landmark(view, self._installation)

        return await self._store.read(read)

    async def published(self, number: int) -> StoredBundle:
        """A configuration that is or was in force, as the log names it.

        Raises:
            NotFoundError: None of that number was ever published.
            TamperError: What the database holds is not what was published.
        """

        def read(view: View) -> StoredBundle:
            named = {event.number: event.digest for event in self._published(view)}
            if number not in named:
                raise NotFoundError(
                    f"no configuration {number} was published",
                    way_out=f"they are numbered 1 to {max(named)}",
                )
            row = view.find(StoredBundle, f"{number:08d}")
            if row is None or row.bundle.digest() != named[number]:
                raise TamperError(
                    f"configuration {number} in the database is not the one in the log",
                    way_out="the newest backup of the database holds it; what it decided cannot be"
                    " replayed without it",
                )
            return row

        return await self._store.read(read)

    def _is_refused(self, view: View) -> bool:
        pointer = view.find(InForce, "bundle")
        return pointer is not None and pointer.digest == self._refused

    def outdates(self, request: Request) -> bool:
        """Whether a request was made under other rules than those that were loaded last.

        For telling people only; vote and issue compare with ``current`` and refuse.
        """
        rules = self._loaded
        return rules is not None and not rules.covers(request)

    @property
    def last_proven(self) -> Configuration:
        """What ``refresh`` returned last, without looking again.

        Raises:
            UnavailableError: None was ever proven here.
        """
        if self._newest is None:
            raise UnavailableError("no configuration is known here yet")
        return self._newest.configuration

    @property
    def number(self) -> int:
        """Number of the newest configuration that was proven here; 0 before the first."""
        return self._newest.number if self._newest is not None else 0

    def _must_not_go_back(self, pointer: InForce) -> None:
        newest = self._newest
        if newest is None or pointer.number > newest.number:
            return
        if pointer.number < newest.number or pointer.digest != self._newest_digest:
            how = "an older" if pointer.number < newest.number else "another"
            raise TamperError(
                f"the database names {how} configuration ({pointer.number}) than was in force here"
                f" ({newest.number})",
                way_out="put the newest backup of the database back; if this is it, stop the server"
                " and run `callpoint log recover`; what takes away goes on meanwhile",
            )

    def _load(self, view: View, pointer: InForce) -> Rules:
        stored = view.find(StoredBundle, f"{pointer.number:08d}")
        if stored is None:
            raise TamperError(f"configuration {pointer.number} is not in the database")
        bundle = stored.bundle
        digest = bundle.digest()
        history = self._published(view)
        published = history[-1]
        facts = (
            digest,
            bundle.number,
            bundle.configuration_digest(),
            bundle.policy_digest(),
        )
        logged = (
            published.digest,
            published.number,
            published.configuration_digest,
            published.policy_digest,
        )
        if facts != logged or pointer.digest != digest:
            raise TamperError(
                f"configuration {pointer.number} in the database is not the one in the log",
                way_out="put the newest backup of the database back: nothing is given or published"
                " on a changed row; what takes away goes on meanwhile",
            )
        must_descend(
            self._installation,
            self._newest,
            history,
            lambda number: view.find(StoredBundle, f"{number:08d}"),
            self._verifier,
        )
        return Rules(
            bundle=bundle,
            digest=digest,
            configuration_digest=published.configuration_digest,
            policy_digest=published.policy_digest,
            decider=self._decider(bundle),
        )

    def _decider(self, bundle: Bundle) -> Decider:
        try:
            return self._build(bundle)
        except ConfigError as error:
            raise UnavailableError(
                f"the policies of configuration {bundle.number} do not load: {error}",
                way_out="publish a configuration that `callpoint check` accepts, or go back to the"
                " version of Callpoint that published this one",
            ) from error

    def _published(self, view: View) -> tuple[ev.BundlePublished, ...]:
        """Every configuration that the log names, oldest first."""
        streams = [INSTALLATION_STREAM]
        events = self._log.proven(view, self._installation, streams)[INSTALLATION_STREAM]
        found = [item.event for item in events if isinstance(item.event, ev.BundlePublished)]
        if not found:
            raise TamperError("the log holds no published configuration")
        return tuple(found)


def must_be_in_force(view: View, rules: Rules) -> None:
    """The rules that a step began with are still in force when it writes (I15).

    Raises:
        ConflictError: Others were published meanwhile.
    """
    pointer = view.find(InForce, "bundle")
    if pointer is None or pointer.digest != rules.digest:
        raise ConflictError(
            "the configuration changed meanwhile", way_out="run the same command again"
        )
