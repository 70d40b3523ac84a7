"""Introspection (RFC 7662): is this token good for anything at this very moment?

The answer is read from the store and the log each time. What cannot be told is an error, and
whoever asked must take an error for a no.
"""

from datetime import datetime, timedelta
from itertools import pairwise

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.configuration import Configuration
from callpoint.domain.lease import Lease
from callpoint.domain.nonce import Nonce
from callpoint.domain.token import OAuthError, TokenClaims, audience, revoked_mark
from callpoint.lifecycle.gate import may_view
from callpoint.lifecycle.killed import is_killed
from callpoint.lifecycle.node import must_be_able_to_take_away
from callpoint.lifecycle.proof import Proven
from callpoint.lifecycle.refusal import on_record
from callpoint.lifecycle.rules import Rules
from callpoint.lifecycle.standing import proven_life, why_not
from callpoint.lifecycle.token_desk import TokenDesk
from callpoint.ports.identity import Caller
from callpoint.ports.stores import View

_ASKED = "token:introspect"


class _Link(msgspec.Struct, frozen=True):
    """One issue, and when it was logged."""

    event: ev.TokenIssued
    at: datetime


async def introspect(desk: TokenDesk, caller: Caller, token: str) -> TokenClaims | None:
    """The token's claims while it is active; None otherwise, whatever the reason.

    Its holder may ask, and whom policy lets view the activation; to others no token is active.

    Raises:
        TamperError: The rows are not what the log says.
        UnavailableError: It cannot be told now: take it for inactive.
    """
    rules = await desk.services.rules.current()
    claims = claims_of(desk, token)
    if claims is None:
        return None
    async with on_record(desk.services, caller, _ASKED, claims.txn):
        return await desk.services.store.read(
            lambda view: (
                claims
                if _may_ask(view, desk, caller, rules, claims)
                and standing_of(view, desk, rules.configuration, claims)
                else None
            )
        )


def claims_of(desk: TokenDesk, token: str) -> TokenClaims | None:
    """What the token says, if it is one of ours that can be alive at all; None otherwise."""
    try:
        claims = desk.tokens.read(token)
    except OAuthError:
        return None
    whole = claims.iss in desk.origins and len(claims.authorization_details) == 1
    ahead = desk.services.clock.now() + desk.services.limits.skew + timedelta(seconds=1)
    return claims if whole and claims.iat <= ahead.timestamp() else None


def standing_of(
    view: View, desk: TokenDesk, configuration: Configuration, claims: TokenClaims
) -> ev.TokenIssued | None:
    """Its issue as the log tells it, while a token that we signed is good for anything.

    Raises:
        TamperError, UnavailableError: As ``introspect``.
    """
    must_be_able_to_take_away(desk.services.node)
    now = view.now()
    if _is_over(view, desk, claims, now):
        return None
    details = claims.authorization_details[0]
    found, held = view.find(Activation, claims.txn), view.find(Lease, details.lease)
    if found is None or held is None or why_not(view, found, held, now):
        return None
    name = audience(desk.services.installation.id, held.plan.target, held.plan.role)
    if name != claims.aud:
        return None
    chain = _chain(proven_life(view, desk.services, found, held), configuration, claims)
    if not chain or _is_cut(view, configuration, chain):
        return None
    issued = chain[0].event
    if found.request.principal not in (issued.actor, *issued.acts_for):
        return None
    return issued


def _is_over(view: View, desk: TokenDesk, claims: TokenClaims, now: datetime) -> bool:
    """It expired, perhaps, or was given up."""
    if now >= claims.expires_at or view.skew() > desk.services.limits.skew:
        return True
    mark = revoked_mark(claims.digest, claims.expires_at)
    return view.find(Nonce, mark.key()) is not None


def _may_ask(
    view: View, desk: TokenDesk, caller: Caller, rules: Rules, claims: TokenClaims
) -> bool:
    if caller.principal.id == claims.client_id:
        return True
    found = view.find(Activation, claims.txn)
    return found is not None and may_view(view, desk.services, caller, rules, found)


def _chain(
    events: tuple[Proven, ...], configuration: Configuration, claims: TokenClaims
) -> tuple[_Link, ...]:
    """The issue of exactly this token, and of each that was exchanged for it; empty if one is off.

    Who acts for somebody holds nothing any more when that one gave up theirs. And a stolen token
    key alone makes no token: the log would not have it.
    """
    issued: dict[str, _Link] = {}
    revoked: set[str] = set()
    for item in events:
        match item.event:
            case ev.TokenIssued() as found:
                issued[found.token] = _Link(found, item.at)
            case ev.TokenRevoked(token=token):
                revoked.add(token)
            case _:
                pass
    chain: list[_Link] = []
    name = claims.digest
    while name:
        link = issued.get(name)
        if link is None or name in revoked or not _is_held(link.event, configuration):
            return ()
        chain.append(link)
        name = link.event.parent
    return tuple(chain) if chain[0].event.actor == claims.client_id else ()


def _is_cut(view: View, configuration: Configuration, chain: tuple[_Link, ...]) -> bool:
    """Somebody who acts was killed after it was let act."""
    return any(
        is_killed(view, configuration, one.event.actor, parent.at)
        for one, parent in pairwise(chain)
    )


def _is_held(issued: ev.TokenIssued, configuration: Configuration) -> bool:
    """Who is removed, or has another key now, holds none; nor does who acts for such a one."""
    holder = configuration.principals.get(issued.actor)
    known = all(name in configuration.principals for name in issued.acts_for)
    return known and holder is not None and holder.key == issued.key
