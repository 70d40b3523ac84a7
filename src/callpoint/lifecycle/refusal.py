"""A refusal that policy was not asked about leaves evidence too: who tried what, and why not.

What the PDP refuses is recorded by the gate (``pep``), with the whole question.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from callpoint.domain import event as ev
from callpoint.domain.errors import DeniedError, TamperError
from callpoint.domain.ids import REFUSALS_STREAM
from callpoint.domain.untrusted import printable
from callpoint.lifecycle.announce import watchers
from callpoint.lifecycle.services import Services
from callpoint.ports.identity import Caller
from callpoint.ports.notifiers import Notice

_REASON_LIMIT = 500


@asynccontextmanager
async def on_record(
    services: Services, caller: Caller, action: str, about: str
) -> AsyncIterator[None]:
    """Record a DeniedError or a TamperError of the body, and raise it again.

    Evidence that does not agree with itself wakes everybody who watches. Never put the gate into
    the body: it records what it refuses itself.
    """
    async with refused_on_record(services, caller.principal.id, action, about):
        yield


@asynccontextmanager
async def refused_on_record(
    services: Services, actor: str, action: str, about: str
) -> AsyncIterator[None]:
    """The same where only a principal's name is known, or (empty) not even that."""
    try:
        yield
    except (DeniedError, TamperError) as error:
        event = ev.RequestRefused(
            actor=actor,
            action=action,
            about=printable(about),
            reason=printable(error.message, _REASON_LIMIT),
        )
        await services.store.transact(lambda tx: tx.append(REFUSALS_STREAM, event), urgent=True)
        if isinstance(error, TamperError):
            await services.notifier.notify(
                Notice(
                    kind="tamper:found",
                    about=printable(about),
                    to=watchers(services),
                    text=printable(error.message, _REASON_LIMIT),
                    urgent=True,
                )
            )
        raise
