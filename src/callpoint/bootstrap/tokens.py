"""Activation tokens and offline grants: the token key of the home folder, and the one before."""

from datetime import datetime
from pathlib import Path

import structlog

from callpoint.adapters.keys.files import FileTokenSigner
from callpoint.adapters.tokens.jose import JoseGrants, JoseProofs, JoseTokens
from callpoint.bootstrap.home import Home
from callpoint.domain.errors import ConfigError
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.token_desk import TokenDesk
from callpoint.ports.identity import NonceBook


def token_desk(
    home: Path,
    services: Services,
    nonces: NonceBook,
    origins: tuple[str, ...],
    since: datetime | None,
    logger: structlog.typing.FilteringBoundLogger,
) -> TokenDesk | None:
    """Signs with the key in use, and still reads what the key before it signed.

    None when that key cannot be read: then no token is issued or counts, and the rest is served,
    above all what takes away. ``callpoint doctor`` tells the same.
    """
    before = services.installation.former_token_key
    try:
        signer = _signer(home, services)
    except ConfigError as error:
        logger.error("no_token_key", detail=str(error))  # noqa: TRY400 -- ours, without a trace
        return None
    tokens = JoseTokens(signer, (before,) if before else ())
    return TokenDesk(services, tokens, JoseProofs(), nonces, origins, since)


def offline_grants(home: Path, services: Services) -> JoseGrants | None:
    """Signs grants for gateways that lose this authority; without the key there are none.

    ``token_desk`` of the same process has said so in the log.
    """
    before = services.installation.former_token_key
    try:
        return JoseGrants(_signer(home, services), (before,) if before else ())
    except ConfigError:
        return None


def line_signer(home: Path, services: Services) -> FileTokenSigner | None:
    """Opens lines of gateways that run alone; without the key there are none.

    ``token_desk`` of the same process has said so in the log.
    """
    try:
        return _signer(home, services)
    except ConfigError:
        return None


def _signer(home: Path, services: Services) -> FileTokenSigner:
    signer = FileTokenSigner(Home(home).keys)
    _must_be(signer.public_key, services.installation.token_key)
    return signer


def _must_be(found: str, named: str) -> None:
    if found != named:
        raise ConfigError("the token key in the folder is not the one that installation.json names")
