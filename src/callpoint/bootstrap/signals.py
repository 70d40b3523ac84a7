"""Telling receivers of signals: the token key signs, HTTP carries, the environment has secrets."""

import asyncio
from functools import partial

from callpoint.adapters.keys.files import FileTokenSigner
from callpoint.adapters.signals.http import HttpReceivers
from callpoint.adapters.signals.tokens import JwsEventTokens
from callpoint.bootstrap.home import Home
from callpoint.bootstrap.process import Process
from callpoint.domain.errors import ConfigError
from callpoint.lifecycle.signal_desk import SignalDesk

_WHAT = "the Authorization field that the receiver wants to see"


def signal_desk(
    process: Process, origins: tuple[str, ...], stop: asyncio.Event
) -> SignalDesk | None:
    """The desk of a process.

    None when the token key cannot be read, or is not the one that receivers are told of: then
    nobody is told anything, and the rest is served, above all what takes away. What was not told
    stays in the log, and `callpoint doctor` says what is wrong with the key.

    Args:
        process: Whose desk.
        origins: The addresses that it is known by.
        stop: Set when it ends, so that nobody waits any more.
    """
    try:
        signer = FileTokenSigner(Home(process.settings.home).keys)
        _must_be(signer.public_key, process.services.installation.token_key)
    except ConfigError as error:
        process.logger.error("no_token_key", detail=str(error))  # noqa: TRY400 -- ours, without a trace
        return None
    return SignalDesk(
        services=process.services,
        tokens=JwsEventTokens(signer),
        receivers=HttpReceivers(process.http, partial(process.outside.secret, what=_WHAT)),
        issuer=origins[0].rstrip("/"),
        stop=stop,
    )


def _must_be(found: str, named: str) -> None:
    if found != named:
        raise ConfigError("the token key in the folder is not the one that installation.json names")
