"""Revocation (RFC 7009): the holder gives a token up before it expires. Nothing is asked for it."""

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.ids import activation_stream
from callpoint.domain.nonce import Nonce
from callpoint.domain.token import OAuthError, revoked_mark
from callpoint.lifecycle.token_desk import TokenDesk
from callpoint.ports.identity import Caller
from callpoint.ports.stores import Transaction


async def revoke_token(desk: TokenDesk, caller: Caller, token: str) -> None:
    """From its return on the token is inactive. What is no live token of ours is no error.

    Urgent: it waits for neither the log nor the PDP.

    Raises:
        OAuthError: ``unauthorized_client``, it is another principal's.
        StoreUnavailableError: It is not known to be done.
    """
    try:
        claims = desk.tokens.read(token)
    except OAuthError:
        return
    if claims.client_id != caller.principal.id:
        raise OAuthError("unauthorized_client", "the token was issued to another principal")

    def work(tx: Transaction) -> None:
        mark = revoked_mark(claims.digest, claims.expires_at)
        found = tx.find(Activation, claims.txn)
        if (
            found is None
            or found.state is not ActivationState.ACTIVE
            or tx.now() >= claims.expires_at
        ):
            return
        if tx.find(Nonce, mark.key()) is not None:
            return
        tx.put(mark)
        lease = claims.authorization_details[0].lease if claims.authorization_details else ""
        event = ev.TokenRevoked(actor=caller.principal.id, token=claims.digest, lease=lease)
        tx.append(activation_stream(found.id), event)

    await desk.services.store.transact(work, urgent=True)
