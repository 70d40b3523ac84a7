"""Which key of a use is in use: ``installation.json`` names it, two files may hold it.

A rotation writes the facts first and moves the key files after; a process that died in between
leaves the staged key named by the facts. Whoever opens the home folder finishes that, so there is
no moment at which a death leaves a server that cannot start.
"""

from typing import assert_never

import msgspec

from callpoint.adapters.keys.files import KeyUse, promote_key, staged_key
from callpoint.bootstrap.home import Home
from callpoint.domain.governance import Installation


def key_in_use(installation: Installation, use: KeyUse) -> str:
    """The public half that genesis or the last rotation named."""
    match use:
        case KeyUse.LOG:
            return installation.log_key
        case KeyUse.TOKEN:
            return installation.token_key
        case KeyUse.SEAL:
            return installation.seal_recipient
        case _:
            assert_never(use)


def with_key(installation: Installation, use: KeyUse, new: str) -> Installation:
    """The facts after a rotation; former log and token keys signed what is there."""
    replace = msgspec.structs.replace
    match use:
        case KeyUse.LOG:
            former = (*installation.former_log_keys, installation.log_key)
            return replace(installation, log_key=new, former_log_keys=former)
        case KeyUse.TOKEN:
            return replace(installation, token_key=new, former_token_key=installation.token_key)
        case KeyUse.SEAL:
            return replace(installation, seal_recipient=new)
        case _:
            assert_never(use)


def finish_rotations(home: Home) -> None:
    """Put staged keys into use that the facts name already.

    Raises:
        ConfigError: The facts, or a staged key, cannot be read.
        StoreUnavailableError: The key folder cannot be written.
    """
    installation = home.installation()
    for use in KeyUse:
        if staged_key(home.keys, use) == key_in_use(installation, use):
            promote_key(home.keys, use)
