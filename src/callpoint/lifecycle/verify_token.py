"""For whoever lets something through: who sends this token, and does it name a living activation?

The answer is no permission. It says which activation, whose, and which lease; the decision comes
after it, from policy, for the very thing that is to be done (``docs/authorization-flow.md``).
"""

import hmac

import msgspec

from callpoint.domain.configuration import Configuration
from callpoint.domain.dpop import INVALID, Expected, Proof
from callpoint.domain.token import (
    Binding,
    OAuthError,
    TokenClaims,
    certificate_thumbprint,
)
from callpoint.lifecycle.introspect import claims_of, standing_of
from callpoint.lifecycle.refusal import on_record
from callpoint.lifecycle.token_desk import TokenDesk
from callpoint.ports.identity import Caller

NO_CERTIFICATE = (
    "a token that is bound to a client certificate counts only where TLS ends, and it does not end"
    " here: exchange the activation for a token bound to a DPoP key (dpop_jkt)"
)
"""For who shows one where nobody sees the certificate."""

_ASKED = "token:verify"


class Shown(msgspec.Struct, frozen=True):
    """A token, and what came with it.

    Attributes:
        method: Of the request.
        uris: Where the request was sent, as the one who receives it knows its own addresses: never
            taken from the request's ``Host``.
        proof: The ``DPoP`` field; empty when there was none.
        certificate: DER of the client certificate whose key the TLS handshake has proven, from who
            ended that TLS itself; empty when there was none.
    """

    token: str
    method: str
    uris: tuple[str, ...]
    proof: str = ""
    certificate: bytes = b""


class Verified(msgspec.Struct, frozen=True):
    """Whose token it is, and what it names.

    Attributes:
        claims: ``txn`` is the activation, ``authorization_details[0]`` says the lease and the
            actions that the holder narrowed it to; ``sub``, ``act`` and ``cnf`` as signed.
        caller: The holder as it authenticated for the token: whom policy is to be asked about.
    """

    claims: TokenClaims
    caller: Caller


async def verify_token(desk: TokenDesk, shown: Shown, audience: str) -> Verified:
    """Who sends it, and what the token names, for this audience at this moment.

    A proof is spent before the state is read, so a kill that returned before the call is seen.

    Raises:
        OAuthError: ``invalid_token``, ``invalid_dpop_proof``.
        TamperError: The rows are not what the log says.
        UnavailableError: It cannot be told now: let nothing through.
    """
    claims = claims_of(desk, shown.token)
    if claims is None or claims.aud != audience:
        raise _inactive()
    proof = _held(desk, claims, shown)
    # Only now: else everybody could fill the book. Whose token has expired cannot either.
    if desk.services.clock.now() >= claims.expires_at:
        raise _inactive()
    if proof is not None:
        await desk.spend(proof)
    rules = await desk.services.rules.current()
    holder = _holder(rules.configuration, claims)
    async with on_record(desk.services, holder, _ASKED, claims.txn):
        issued = await desk.services.store.read(
            lambda view: standing_of(view, desk, rules.configuration, claims)
        )
    if issued is None:
        raise _inactive()
    caller = Caller(holder.principal, issued.key_id, issued.strength, issued.acts_for)
    return Verified(claims=claims, caller=caller)


def _held(desk: TokenDesk, claims: TokenClaims, shown: Shown) -> Proof | None:
    """The sender has what the token is bound to; the proof of it, where that is one.

    Raises:
        OAuthError: It has not.
    """
    match claims.cnf.binding:
        case Binding.KEY:
            if not shown.proof:
                raise OAuthError(INVALID, "the token is bound to a key: send a DPoP proof")
            expected = Expected(shown.method, shown.uris, shown.token)
            proof = desk.prove(shown.proof, expected)
            if not hmac.compare_digest(proof.jkt.encode(), claims.cnf.jkt.encode()):
                raise OAuthError(INVALID, "the token is bound to another key")
            return proof
        case Binding.CERTIFICATE:
            if not shown.certificate:
                raise OAuthError("invalid_token", NO_CERTIFICATE)
            known = certificate_thumbprint(shown.certificate)
            if not hmac.compare_digest(known.encode(), claims.cnf.certificate.encode()):
                raise OAuthError("invalid_token", "the token is bound to another certificate")
            return None


def _holder(configuration: Configuration, claims: TokenClaims) -> Caller:
    principal = configuration.principals.get(claims.client_id)
    if principal is None:
        raise _inactive()
    return Caller(principal, key_id="")


def _inactive() -> OAuthError:
    return OAuthError("invalid_token", "the token is not active here")
