"""What the API works with, handed over once by the composition root."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from callpoint.domain.configuration import Configuration, IncidentSource
from callpoint.domain.governance import Bundle
from callpoint.lifecycle.ask_witnesses import Asked
from callpoint.lifecycle.cosign import WitnessDesk
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.signal_desk import SignalDesk
from callpoint.lifecycle.symptoms.symptom import Symptom
from callpoint.lifecycle.token_desk import TokenDesk
from callpoint.ports.authority import Authority
from callpoint.ports.denials import DenialTokens
from callpoint.ports.identity import Authenticator, NonceBook, PendingNonce, Recognised
from callpoint.ports.incidents import IncidentFeed
from callpoint.ports.keys import TokenSigner

AuthenticateSource: TypeAlias = Callable[[Configuration, str, str | None], IncidentSource]
"""Configuration, source's name and ``Authorization`` field to the source; AuthenticationError."""


AskWitnesses: TypeAlias = Callable[[], Awaitable[Asked]]


def _nothing() -> None:
    """No checkpoint is kept outside."""


@dataclass(frozen=True)
class Surface:
    """The services, and what only this face needs.

    Attributes:
        authenticator: Proves who signed a request.
        authenticate_source: Proves which incident source delivers.
        feeds: By kind of source.
        check: Raises ConfigError when the policies of a bundle cannot be published.
        unusable: Configured targets that this process has no connector for, and why.
        logger: For defects and tampering.
        version: Of the program.
        without_store: Proves who signed a kill while the store does not answer; None for a face
            that then refuses it.
        pending_nonces: Of requests whose nonce is spent with their record; without it all nonces
            are spent beforehand.
        on_sight: Nonces of kills that have cut on sight; without it none does.
        origins: The addresses that it answers for, which a tombstone must tell.
        beside: What is wrong with the process's own home folder and disk.
        kept: The checkpoint that is kept outside the database, None when there is none.
        witness: This installation as a witness of others, where it has a key for it.
        ask_witnesses: Asks each witness of the log now, also those that signed just before.
        tokens: For activation tokens; None where no key signs them.
        denials: Binds denials to what was asked; without it no denial is requestable.
        signals: Tells receivers outside; None for a face that does not.
        line_signer: The installation's token key, which opens gateways' lines; None where there is
            none, and then no line.
        authority: Decides for the configured gateway of that name; None where nobody does.
        searches: Whoever searches the whole log takes turns.
    """

    services: Services
    authenticator: Authenticator
    authenticate_source: AuthenticateSource
    feeds: Mapping[str, IncidentFeed]
    check: Callable[[Bundle], None]
    unusable: Callable[[], Mapping[str, str]]
    logger: structlog.typing.FilteringBoundLogger
    version: str
    without_store: Authenticator | None = None
    on_sight: NonceBook | None = None
    pending_nonces: Callable[[Recognised], PendingNonce] | None = None
    origins: tuple[str, ...] = ()
    beside: Callable[[], tuple[Symptom, ...]] = tuple
    kept: Callable[[], bytes | None] = _nothing
    witness: WitnessDesk | None = None
    ask_witnesses: AskWitnesses | None = None
    tokens: TokenDesk | None = None
    denials: DenialTokens | None = None
    signals: SignalDesk | None = None
    line_signer: TokenSigner | None = None
    authority: Callable[[str], Authority] | None = None
    searches: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))


# Not validated: it is ours, and holds what no schema describes.
GivenSurface: TypeAlias = NamedDependency[SkipValidation[Surface]]
