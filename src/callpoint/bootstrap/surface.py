"""What the API of a server works with: built from its process, apart from it.

Commands that open a process without an API load no web framework for it.
"""

from datetime import datetime
from functools import partial

from callpoint.adapters.identity.nonces import MemoryNonceBook
from callpoint.adapters.identity.signatures import SignatureAuthenticator
from callpoint.adapters.incidents.alertmanager import AlertmanagerFeed
from callpoint.adapters.incidents.tokens import authenticate_source
from callpoint.adapters.stores.sql.checkpoint_file import CheckpointFile
from callpoint.api.surface import Surface
from callpoint.bootstrap.denials import denial_tokens
from callpoint.bootstrap.home_check import check_home
from callpoint.bootstrap.process import Process, program_version
from callpoint.bootstrap.tokens import line_signer, token_desk
from callpoint.bootstrap.witnessing import witness_desk
from callpoint.config.soundness import check_bundle
from callpoint.lifecycle.ask_witnesses import ask_witnesses
from callpoint.ports.identity import NonceBook


def surface_of(process: Process, origins: tuple[str, ...]) -> Surface:
    """The surroundings; ``origins`` are the addresses that clients sign for."""
    services, settings = process.services, process.settings

    def authenticator(nonces: NonceBook, since: datetime | None = None) -> SignatureAuthenticator:
        return SignatureAuthenticator(
            lambda: services.rules.last_proven,
            nonces,
            services.clock,
            origins=origins,
            since=since,
        )

    return Surface(
        services=services,
        authenticator=authenticator(process.nonces, process.since),
        without_store=authenticator(MemoryNonceBook(services.clock)),
        on_sight=MemoryNonceBook(services.clock),
        pending_nonces=process.nonces.pending,
        origins=origins,
        authenticate_source=authenticate_source,
        feeds={feed.kind: feed for feed in (AlertmanagerFeed(process.logger),)},
        check=check_bundle,
        unusable=lambda: process.connectors.unusable,
        logger=process.logger,
        version=program_version(),
        beside=lambda: check_home(settings.home),
        kept=CheckpointFile(settings.checkpoint_file).read,
        denials=denial_tokens(settings.home, process.logger),
        witness=witness_desk(settings.home, services),
        ask_witnesses=partial(ask_witnesses, services, process.witnesses, all_of_them=True),
        tokens=token_desk(
            settings.home, services, process.nonces, origins, process.since, process.logger
        ),
        line_signer=line_signer(settings.home, services),
    )
