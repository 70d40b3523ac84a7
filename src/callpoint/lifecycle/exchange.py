"""Token exchange (RFC 8693): a live activation of the caller's becomes a token bound to a key.

The token is a name for what the log says, for at most five minutes. It passes the same gate as a
credential that is fetched; its event is under a checkpoint before it leaves (I2).
"""

from datetime import datetime, timedelta

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation
from callpoint.domain.asked import Decided
from callpoint.domain.decision import Action
from callpoint.domain.errors import ConflictError, DeniedError
from callpoint.domain.ids import activation_stream
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.token import (
    DETAILS_TYPE,
    LIFE,
    Confirmation,
    Details,
    MayAct,
    OAuthError,
    TokenClaims,
    audience,
    base64url,
    subject_of,
)
from callpoint.lifecycle.ending import leases
from callpoint.lifecycle.gate import enforce_on
from callpoint.lifecycle.node import must_be_able_to_take_away
from callpoint.lifecycle.refusal import on_record
from callpoint.lifecycle.rules import Rules, must_be_in_force
from callpoint.lifecycle.services import must_keep_time
from callpoint.lifecycle.standing import must_stand, proven_life
from callpoint.lifecycle.token_desk import TokenDesk
from callpoint.ports.identity import Caller
from callpoint.ports.stores import Transaction, View

MOST_ALIVE = 32
"""Tokens of one activation that live at the same time: each costs an entry of the log for ever."""

_ID_SIZE = 16


class Wish(msgspec.Struct, frozen=True):
    """What a token is asked for.

    Attributes:
        audience: Empty when the activation has one live lease only.
        cnf: What to bind it to. Of a key its holder has proven to have it.
        narrowed: What the caller says of ``authorization_details``; it may leave out, not add.
        delegate: Who may exchange the token to act for the caller; empty: nobody.
        parent: The token that a delegate exchanges, found to stand by ``delegate``.
    """

    activation: str
    cnf: Confirmation
    audience: str = ""
    narrowed: "Narrowed | None" = None
    delegate: str = ""
    parent: TokenClaims | None = None


class Narrowed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``authorization_details`` as asked for; what is not named is filled in."""

    type: str
    locations: tuple[str, ...] | None = None
    activation: str | None = None
    lease: str | None = None
    incident: str | None = None
    purpose: str | None = None
    actions: tuple[str, ...] = ()


class Issued(msgspec.Struct, frozen=True):
    """A token, and what it says."""

    token: str
    claims: TokenClaims


async def exchange(desk: TokenDesk, caller: Caller, wish: Wish) -> Issued:
    """Issue a token for one live lease of the caller's activation.

    Raises:
        OAuthError: ``invalid_target``, ``invalid_authorization_details``.
        DeniedError: Another principal, or policy says no now.
        ConflictError, NotFoundError: The activation gives nothing now.
        TamperError: The rows are not what the log says.
        UnavailableError: No evidence, no token (I2); nor while expiry is unsure.
    """
    services = desk.services
    rules = await services.rules.current()
    async with on_record(services, caller, Action.CREDENTIAL_REVEAL, wish.activation):
        found, held, details = await services.store.read(
            lambda view: _load(view, desk, caller, wish)
        )
        await services.store.read(lambda view: _must_be_few(view, desk, found, held))
    opened = f"{held.plan.target}:{held.plan.role}"
    asked = msgspec.structs.replace(
        found, request=msgspec.structs.replace(found.request, opens=(opened,))
    )
    decided = await enforce_on(
        services, caller, rules, Action.CREDENTIAL_REVEAL, asked, quorum_met=True
    )
    jti = base64url(services.random.token(_ID_SIZE))

    def work(tx: Transaction) -> TokenClaims:
        _must_be_able(tx, desk, rules, found, held)
        claims = _claims(desk, caller, found, details, wish=wish, jti=jti, now=tx.now())
        event, row = _event(caller, claims, decided, wish), tx.get(Activation, found.id)
        tx.append(activation_stream(found.id), event)
        # Nothing of the row changes. Written all the same, it cannot end beside this: an issue
        # that is numbered after the end would be a life that no activation has.
        tx.put(row.apply(event, tx.now()))
        return claims

    claims = await services.store.transact(work)
    return Issued(token=desk.tokens.sign(claims), claims=claims)


def _load(
    view: View, desk: TokenDesk, caller: Caller, wish: Wish
) -> tuple[Activation, Lease, Details]:
    found = view.get(Activation, wish.activation)
    holders = (caller.principal.id,) if wish.parent is None else caller.acts_for
    if found.request.principal not in holders:
        raise DeniedError(f"only {found.request.principal} can have tokens of {found.id}")
    live = {
        audience(desk.services.installation.id, one.plan.target, one.plan.role): one
        for one in leases(view, found.id)
        if one.state is LeaseState.LIVE
    }
    if not live:
        raise ConflictError(f"activation {found.id} is {found.state} and has no live lease")
    if not wish.audience and len(live) > 1:
        raise OAuthError("invalid_target", f"name one audience of: {', '.join(sorted(live))}")
    name = wish.audience or next(iter(live))
    if name not in live:
        raise OAuthError("invalid_target", "the activation opens no such audience")
    held = live[name]
    must_stand(view, found, held)
    details = _details(found, held, name, wish.narrowed)
    if wish.parent is not None:
        details = _within(details, wish.parent.authorization_details[0])
    return found, held, details


def _must_be_few(view: View, desk: TokenDesk, found: Activation, held: Lease) -> None:
    """The log tells the same as the rows, and of few tokens that are alive."""
    now = view.now()
    alive = sum(
        isinstance(item.event, ev.TokenIssued) and item.event.expires_at > now
        for item in proven_life(view, desk.services, found, held)
    )
    if alive >= MOST_ALIVE:
        raise ConflictError(
            f"activation {found.id} has {alive} tokens that are alive",
            way_out="use them, or wait: each ends within five minutes",
        )


def _details(found: Activation, held: Lease, name: str, narrowed: Narrowed | None) -> Details:
    """What the token says it is for: exactly the lease, with fewer actions if asked."""
    whole = Details(
        type=DETAILS_TYPE,
        locations=(name,),
        activation=found.id,
        lease=held.id,
        incident=found.request.incident,
        purpose=found.request.purpose,
    )
    if narrowed is None:
        return whole
    for field in ("type", "locations", "activation", "lease", "incident", "purpose"):
        said = getattr(narrowed, field)
        if said is not None and said != getattr(whole, field):
            raise OAuthError(
                "invalid_authorization_details", f"{field} is not that of the activation"
            )
    return msgspec.structs.replace(whole, actions=narrowed.actions)


def _within(details: Details, parent: Details) -> Details:
    """Not more than what the exchanged token is for: the same when nothing was said."""
    actions = details.actions or parent.actions
    if details.lease != parent.lease or (
        parent.actions and not set(actions) <= set(parent.actions)
    ):
        raise OAuthError("invalid_authorization_details", "the exchanged token is for less")
    return msgspec.structs.replace(details, actions=actions)


def _must_be_able(
    tx: Transaction, desk: TokenDesk, rules: Rules, seen: Activation, held: Lease
) -> None:
    """All of it again, at the moment that counts (I4)."""
    must_be_able_to_take_away(desk.services.node)
    must_be_in_force(tx, rules)
    must_keep_time(tx, desk.services)
    now_found, now_held = tx.get(Activation, seen.id), tx.get(Lease, held.id)
    must_stand(tx, now_found, now_held)
    if (now_found.request, now_found.not_after, now_held.plan) != (
        seen.request,
        seen.not_after,
        held.plan,
    ):
        raise ConflictError(f"activation {seen.id} moved meanwhile")


def _claims(
    desk: TokenDesk,
    caller: Caller,
    found: Activation,
    details: Details,
    *,
    wish: Wish,
    jti: str,
    now: datetime,
) -> TokenClaims:
    ends = min(now + LIFE, found.not_after or now)
    if wish.parent is not None:
        ends = min(ends, wish.parent.expires_at)
    if ends - now < timedelta(seconds=1):
        raise ConflictError(f"activation {found.id} expires at {found.not_after}")
    subject, act = subject_of(caller.principal.id, caller.acts_for)
    return TokenClaims(
        iss=desk.issuer,
        sub=subject,
        aud=details.locations[0],
        client_id=caller.principal.id,
        iat=int(now.timestamp()),
        exp=int(ends.timestamp()),  # downwards: never past not_after
        jti=jti,
        txn=found.id,
        cnf=wish.cnf,
        authorization_details=(details,),
        act=act,
        may_act=MayAct(wish.delegate) if wish.delegate else None,
    )


def _event(caller: Caller, claims: TokenClaims, decided: Decided, wish: Wish) -> ev.TokenIssued:
    (decision,) = decided.decisions
    return ev.TokenIssued(
        actor=caller.principal.id,
        token=claims.digest,
        lease=claims.authorization_details[0].lease,
        audience=claims.aud,
        expires_at=claims.expires_at,
        binding=claims.cnf.binding,
        thumbprint=claims.cnf.thumbprint,
        key=caller.principal.key,
        key_id=caller.key_id,
        strength=caller.strength,
        acts_for=caller.acts_for,
        decision=decision,
        asked=decided.asked,
        parent=wish.parent.digest if wish.parent is not None else "",
        delegate=wish.delegate,
    )
