"""What the holder of a token asks with the token itself, and a DPoP proof (RFC 9449, 7)."""

from typing import Any

import msgspec
from litestar import Controller, Request, Response, get
from litestar.params import FromQuery

from callpoint.api.answers import PROBLEMS
from callpoint.api.oauth_form import OAuthRefusal, refusal, unstored
from callpoint.api.surface import GivenSurface
from callpoint.api.token_documents import RESOURCE, place_of
from callpoint.api.tokens import desk_of
from callpoint.domain.token import OAuthError
from callpoint.lifecycle.token_desk import TokenDesk
from callpoint.lifecycle.verify_token import NO_CERTIFICATE, Shown, verify_token

SELF = "/v1/token"

_AUDIENCE_LIMIT = 512
_FIELDS = "send one Authorization: DPoP TOKEN and one DPoP field"


class HolderController(Controller):
    """Authenticated by the token: signatures of principals do not count here."""

    tags = ("tokens",)

    @get(SELF, responses=PROBLEMS, summary="What my token names now")
    async def standing(
        self, surface: GivenSurface, request: Request[Any, Any, Any], audience: FromQuery[str] = ""
    ) -> Response[dict[str, Any] | OAuthRefusal]:
        """Checked as an enforcement point for ``audience`` checks it; spends the proof."""
        desk = desk_of(surface)
        try:
            shown = shown_by(request, desk, SELF)
            if not 0 < len(audience) <= _AUDIENCE_LIMIT:
                return refusal(400, "invalid_request", "say which audience= the token is for")
            verified = await verify_token(desk, shown, audience)
        except OAuthError as error:
            return challenge(desk, error)
        told: dict[str, Any] = {
            "holder": verified.caller.principal.id,
            "acts_for": list(verified.caller.acts_for),
            "claims": msgspec.to_builtins(verified.claims),
        }
        return unstored(told)


def shown_by(request: Request[Any, Any, Any], desk: TokenDesk, path: str) -> Shown:
    """Each field once. Whatever the client's TLS was ends before this API, so no certificate.

    Raises:
        OAuthError: ``invalid_token``.
    """
    sent, proofs = (request.headers.getall(name, []) for name in ("authorization", "dpop"))
    scheme, _, token = (sent[0] if len(sent) == 1 else "").partition(" ")
    if scheme.lower() == "bearer":
        # As a token that is bound to a certificate is sent (RFC 8705, 3).
        raise OAuthError("invalid_token", f"{_FIELDS}; {NO_CERTIFICATE}")
    if scheme.lower() != "dpop" or not token or len(proofs) > 1:
        raise OAuthError("invalid_token", _FIELDS)
    return Shown(
        token=token,
        method=request.method,
        uris=desk.places(path),
        proof=proofs[0] if proofs else "",
    )


def challenge(desk: TokenDesk, error: OAuthError) -> Response[Any]:
    """401, with what a client needs to do better (RFC 9449, 7.1; RFC 9728, 5.1)."""
    answer = refusal(401, error.code, error.message)
    answer.headers["www-authenticate"] = (
        f'DPoP error="{error.code}", algs="{" ".join(desk.proofs.algorithms)}",'
        f' resource_metadata="{place_of(RESOURCE, desk.issuer)}"'
    )
    return answer
