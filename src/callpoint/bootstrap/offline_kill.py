"""``callpoint kill --offline``: the kill switch on the server's own machine, with no server at all.

It works from the home folder (rules, picture of live leases) and the targets, and leaves the
tombstone there: whichever server starts next on this home merges it before it gives anything. It
may run beside a server, too.
"""

import io
from pathlib import Path

import msgspec

from callpoint.adapters.keys.files import AgeSealer, Ed25519Verifier, FileVault
from callpoint.adapters.notifiers.log import LogNotifier
from callpoint.adapters.stores.late import LateStore
from callpoint.bootstrap.connectors import Connectors, Site
from callpoint.bootstrap.home import Home
from callpoint.bootstrap.journal import make_logger
from callpoint.bootstrap.outside import Outside, build_decider, open_node
from callpoint.config.settings import Settings, load_settings
from callpoint.domain.errors import ConfigError, UnavailableError
from callpoint.domain.governance import Bundle
from callpoint.domain.kill import Killed, Scope
from callpoint.domain.tombstone import SignedOrder, Tombstone, offline_origin, tombstone_id
from callpoint.lifecycle.kill_without_store import kill_without_store
from callpoint.lifecycle.pep import Pep
from callpoint.lifecycle.rules import RuleBook
from callpoint.lifecycle.services import Services


def address_of(home: Path) -> str:
    """What an order is signed for that goes to no server: it names the home's installation.

    Raises:
        ConfigError: The folder holds no installation.
    """
    try:
        return offline_origin(Home(home).installation().id)
    except ConfigError as error:
        raise ConfigError(
            error.message, file=error.file, way_out="name the server's own folder: --home DIR"
        ) from error


async def kill_offline(
    home: Path, principal: str, scope: Scope, about: str, order: SignedOrder, outside: Outside
) -> Killed:
    """Judge the order by the rules last proven here, kill at the targets, leave a tombstone.

    Args:
        home: The installation's folder.
        principal: Who signed.
        scope: What to kill.
        about: Its name.
        order: Signed for ``address_of(home)``.
        outside: With the targets' secrets, as the server has them.

    Raises:
        ConfigError: The folder holds no installation.
        AuthenticationError: By those rules the key is not the principal's.
        DeniedError, RequestError: As ``kill_without_store``.
        UnavailableError: No rules were ever proven here.
    """
    settings = load_settings(home)
    pinned = Home(home).pinned()
    if pinned is None:
        raise UnavailableError(
            "no configuration is known in this folder", way_out="name the server's: --home DIR"
        )
    services, connectors = _assemble(settings, pinned, outside)
    judge = services.node.judge
    if judge is None:
        raise UnavailableError("nobody judges signatures here")
    now = outside.clock.now()
    name = about.lower() if scope is Scope.INCIDENT else about
    said = Tombstone(tombstone_id(order.headers), now, principal, scope, name, order)
    caller = judge.judge(said, pinned.configuration)
    killed = await kill_without_store(services, caller, scope, about, order)
    unusable = tuple(f"target {name}: {why}" for name, why in connectors.unusable.items())
    return msgspec.structs.replace(killed, trouble=(*killed.trouble, *unusable))


def _assemble(settings: Settings, pinned: Bundle, outside: Outside) -> tuple[Services, Connectors]:
    """A process without store, API and workers; what it would log, the answer says."""
    home = Home(settings.home)
    installation = home.installation()
    store = LateStore("this command asks none")
    quiet = io.StringIO()
    site = Site(installation.id, outside.environment, outside.clock, outside.random)
    connectors = Connectors(site, make_logger(outside.clock, quiet), outside.registry)
    connectors.follow(pinned.configuration)
    verifier = Ed25519Verifier()
    services = Services(
        installation=installation,
        store=store,
        rules=RuleBook(installation, store, build_decider, verifier=verifier, pinned=pinned),
        pep=Pep(store),
        clock=outside.clock,
        random=outside.random,
        notifier=LogNotifier(outside.clock, quiet),
        sealer=AgeSealer(),
        vault=FileVault(home.keys),
        verifier=verifier,
        targets=connectors,
        node=open_node(settings, installation, outside),
    )
    return services, connectors
