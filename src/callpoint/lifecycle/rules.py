"""The bundle in force: configuration and policy, believed only as far as the log vouches (I15)."""

from collections.abc import Callable
from dataclasses import dataclass

from callpoint.domain import event as ev
from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import TamperError, UnavailableError
from callpoint.domain.governance import Bundle, InForce, Installation, StoredBundle
from callpoint.domain.ids import INSTALLATION_STREAM
from callpoint.lifecycle.proof import proven
from callpoint.ports.decider import Decider
from callpoint.ports.stores import Store, View


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


class RuleBook:
    """Gives the rules in force; loads a newly published bundle once, after checking it.

    Args:
        build: Makes a decider of a bundle (the composition root knows the PDP).
    """

    def __init__(
        self, installation: Installation, store: Store, build: Callable[[Bundle], Decider]
    ) -> None:
        self._installation = installation
        self._store = store
        self._build = build
        self._loaded: Rules | None = None

    async def current(self) -> Rules:
        """The rules in force now.

        Raises:
            UnavailableError: Nothing was published yet.
            TamperError: The stored bundle is not the one that the log names last.
        """
        pointer = await self._store.read(lambda view: view.find(InForce, "bundle"))
        if pointer is None:
            raise UnavailableError(
                "no configuration is published", way_out="run `callpoint init` first"
            )
        loaded = self._loaded
        if loaded is not None:
            if loaded.digest == pointer.digest:
                return loaded
            if pointer.number <= loaded.bundle.number:
                raise TamperError("the database names an older configuration than was in force")
        fresh = await self._store.read(lambda view: self._load(view, pointer))
        self._loaded = fresh
        return fresh

    def _load(self, view: View, pointer: InForce) -> Rules:
        stored = view.get(StoredBundle, f"{pointer.number:08d}")
        bundle = stored.bundle
        digest = bundle.digest()
        published = self._last_published(view)
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
                way_out="compare with the governors' copy; restore the database or publish again",
            )
        return Rules(
            bundle=bundle,
            digest=digest,
            configuration_digest=published.configuration_digest,
            policy_digest=published.policy_digest,
            decider=self._build(bundle),
        )

    def _last_published(self, view: View) -> ev.BundlePublished:
        events = proven(view, self._installation, [INSTALLATION_STREAM])[INSTALLATION_STREAM]
        for item in reversed(events):
            if isinstance(item.event, ev.BundlePublished):
                return item.event
        raise TamperError("the log holds no published configuration")
