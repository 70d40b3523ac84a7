"""Telling receivers of signals: the token key signs, HTTP carries, the environment has secrets."""

from functools import partial

from callpoint.adapters.keys.files import FileTokenSigner
from callpoint.adapters.signals.http import HttpReceivers
from callpoint.adapters.signals.tokens import JwsEventTokens
from callpoint.bootstrap.home import Home
from callpoint.bootstrap.process import Process
from callpoint.lifecycle.signal_desk import SignalDesk

_WHAT = "the Authorization field that the receiver wants to see"


def signal_desk(process: Process, origins: tuple[str, ...]) -> SignalDesk:
    """The desk of a process; ``origins`` are the addresses that it is known by.

    Raises:
        ConfigError: The token key is missing or malformed.
    """
    return SignalDesk(
        services=process.services,
        tokens=JwsEventTokens(FileTokenSigner(Home(process.settings.home).keys)),
        receivers=HttpReceivers(process.http, partial(process.outside.secret, what=_WHAT)),
        issuer=origins[0].rstrip("/"),
        waiting=set(),
    )
