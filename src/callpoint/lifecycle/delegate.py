"""A delegate exchanges the token of the one for whom it acts (RFC 8693, 1.1 and 4.1).

The holder names the delegate in ``may_act``. What the delegate gets is its own: bound to its key,
with the holder in the chain, and dead with the holder's. Policy is asked about the delegate.
"""

from datetime import UTC, datetime

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.decision import Action
from callpoint.domain.eligibility import Mode
from callpoint.domain.errors import DeniedError
from callpoint.domain.token import OAuthError, TokenClaims
from callpoint.lifecycle.exchange import Issued, Wish, exchange
from callpoint.lifecycle.introspect import claims_of, standing_of
from callpoint.lifecycle.killed import is_killed
from callpoint.lifecycle.refusal import on_record
from callpoint.lifecycle.rules import Rules
from callpoint.lifecycle.token_desk import TokenDesk
from callpoint.ports.identity import Caller
from callpoint.ports.stores import View

MOST_DEEP = 4
"""Principals for whom somebody acts, at most: who reads a longer chain does not see who acts."""


async def exchange_as_delegate(desk: TokenDesk, caller: Caller, token: str, wish: Wish) -> Issued:
    """A token of the caller's own, to act for the holder of ``token``.

    Args:
        desk: The desk.
        caller: Who is named in ``may_act``.
        token: The holder's.
        wish: What for; activation and audience are those of ``token``.

    Raises:
        OAuthError: ``invalid_grant``: the token is not active.
        DeniedError: Not named there, not the requester's own, or policy says no now.
        ConflictError, TamperError, UnavailableError: As ``exchange``.
    """
    services = desk.services
    rules = await services.rules.current()
    parent = claims_of(desk, token)
    if parent is None:
        raise _inactive()
    async with on_record(services, caller, Action.CREDENTIAL_REVEAL, parent.txn):
        issued = await services.store.read(
            lambda view: _delegated(view, desk, rules, caller, parent)
        )
    acting = msgspec.structs.replace(caller, acts_for=(issued.actor, *issued.acts_for))
    if len(acting.acts_for) > MOST_DEEP:
        raise OAuthError("invalid_request", f"at most {MOST_DEEP} act one for another")
    if wish.audience not in ("", parent.aud):
        raise OAuthError("invalid_target", "the exchanged token is for another audience")
    return await exchange(
        desk,
        acting,
        msgspec.structs.replace(wish, activation=parent.txn, audience=parent.aud, parent=parent),
    )


def _delegated(
    view: View, desk: TokenDesk, rules: Rules, caller: Caller, parent: TokenClaims
) -> ev.TokenIssued:
    who = caller.principal
    if parent.may_act is None or parent.may_act.sub != who.id:
        raise DeniedError(f"the token does not say that {who.id} may act for its holder")
    issued = standing_of(view, desk, rules.configuration, parent)
    if issued is None:
        raise _inactive()
    if is_killed(view, rules.configuration, who.id, datetime.fromtimestamp(parent.iat, UTC)):
        raise DeniedError(f"{who.id} was killed after the token was given")
    request = view.get(Activation, parent.txn).request
    if request.mode is Mode.HUMAN:
        raise DeniedError(f"{request.eligibility} is for people themselves: nobody acts for them")
    if not set(who.persons) <= set(request.persons):
        # Who approved, or will review, must not stand behind who acts (I9).
        raise DeniedError(f"others than the requester's persons answer for {who.id}")
    return issued


def _inactive() -> OAuthError:
    return OAuthError("invalid_grant", "the token that is to be exchanged is not active")
