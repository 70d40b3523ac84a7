"""What a process gets from the machine, and what it opens with that alone.

Offline commands work with this; what a server has besides is in ``process``, and takes half a
second to load.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TextIO

from callpoint.adapters.clock.system import SystemClock, SystemRandom
from callpoint.adapters.identity.signatures import SignedOrderJudge
from callpoint.adapters.keys.files import FileLogSigner
from callpoint.adapters.node.files import FilePicture, FileShelf
from callpoint.adapters.stores.sql.store import SqlStore
from callpoint.adapters.stores.sqlite.store import SqliteStore
from callpoint.bootstrap.connectors import REGISTRY, Build
from callpoint.bootstrap.home import Home
from callpoint.config.settings import Settings, StoreKind
from callpoint.domain.errors import UnavailableError
from callpoint.domain.governance import Bundle, Installation
from callpoint.lifecycle.node import Node, Picture, Tombstones
from callpoint.ports.clock import Clock, Random
from callpoint.ports.decider import Decider
from callpoint.ports.keys import LogSigner


@dataclass(frozen=True)
class Outside:
    """What a process gets from the machine; a test hands over something else.

    Attributes:
        environment: Where secrets are: DSNs by the names that the configuration gives.
        registry: Builders of connectors by name.
        stream: Where the log goes.
    """

    environment: Mapping[str, str]
    clock: Clock = field(default_factory=SystemClock)
    random: Random = field(default_factory=SystemRandom)
    registry: Mapping[str, Build] = field(default_factory=lambda: REGISTRY)
    stream: TextIO = field(default_factory=lambda: sys.stderr)

    def secret(self, variable: str, what: str) -> str:
        """A variable's value.

        Raises:
            UnavailableError: It is not set.
        """
        value = self.environment.get(variable, "")
        if not value:
            raise UnavailableError(
                f"the environment variable {variable} is not set", way_out=f"set it to {what}"
            )
        return value


async def open_store(
    settings: Settings,
    installation: Installation,
    outside: Outside,
    *,
    signer: LogSigner | None = None,
    alone: bool = False,
    allow_moved: bool = False,
) -> SqlStore:
    """The store that the settings name.

    Args:
        settings: Which store, and its home folder.
        installation: Whose it must be.
        outside: For the DSN and the clock.
        signer: Instead of the log key of the home folder.
        alone: No other process with the log key may be at work on it (SQLite never allows one).
        allow_moved: Open it although it is not where it was, to adopt it.

    Raises:
        UnavailableError: Its DSN's variable is not set.
        StoreUnavailableError: It cannot be opened.
        HeldError: It is not where it was.
    """
    signer = signer or FileLogSigner(Home(settings.home).keys)
    # A recovery adds to the origin; the store begins with the installation's own.
    origin = f"callpoint/{installation.id}"
    match settings.store:
        case StoreKind.SQLITE:
            return await SqliteStore.open(
                settings.sqlite_path,
                signer=signer,
                clock=outside.clock,
                checkpoint_file=settings.checkpoint_file,
                origin=origin,
                installation=installation.id,
                former_log_keys=installation.former_log_keys,
                allow_moved=allow_moved,
            )
        case StoreKind.POSTGRESQL:
            from callpoint.adapters.stores.postgresql.store import PostgresStore

            dsn = outside.secret(settings.store_dsn_env, "the DSN of Callpoint's own database")
            if alone:
                await PostgresStore.must_be_idle(dsn)
            return await PostgresStore.open(
                dsn,
                signer=signer,
                checkpoint_file=settings.checkpoint_file,
                origin=origin,
                installation=installation.id,
                former_log_keys=installation.former_log_keys,
                allow_moved=allow_moved,
            )


def open_node(settings: Settings, installation: Installation, outside: Outside) -> Node:
    """What this node keeps in its home folder for the time without the store."""
    home = Home(settings.home)
    return Node(
        picture=Picture(FilePicture(home.known_leases)),
        tombstones=Tombstones(FileShelf(home.tombstones)),
        judge=SignedOrderJudge(installation.id, settings.public, outside.clock),
    )


def build_decider(bundle: Bundle) -> Decider:
    """The PDP over a bundle's policies. Raises ConfigErrors."""
    from callpoint.policy import pap  # Cedar, which only rules need

    return pap.decider(bundle.policies, bundle.configuration)
