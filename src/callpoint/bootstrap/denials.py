"""Binding tokens with the token key of the home folder."""

from pathlib import Path

import structlog

from callpoint.adapters.denials.compact import CompactDenialTokens
from callpoint.adapters.keys.files import Ed25519Verifier, FileTokenSigner
from callpoint.bootstrap.home import Home
from callpoint.domain.errors import ConfigError


def denial_tokens(
    home: Path, logger: structlog.typing.FilteringBoundLogger
) -> CompactDenialTokens | None:
    """None when the key cannot be read: then no denial is requestable, and the rest is served."""
    try:
        return CompactDenialTokens(FileTokenSigner(Home(home).keys), Ed25519Verifier())
    except ConfigError as error:
        logger.error("no_token_key", detail=str(error))  # noqa: TRY400 -- ours, without a trace
        return None
