"""Activation tokens: exchange, introspection, revocation."""

from typing import Any

import msgspec
from litestar import Controller, Request, Response, post

from callpoint.api.authentication import GivenCaller, signed
from callpoint.api.oauth_form import (
    REFUSALS,
    OAuthRefusal,
    needed,
    of_oauth,
    of_ours,
    proof_of,
    read_form,
    unstored,
)
from callpoint.api.surface import GivenSurface, Surface
from callpoint.domain.dpop import INVALID, Expected
from callpoint.domain.errors import CallpointError, NotFoundError, RequestError
from callpoint.domain.ids import parse_activation, parse_name
from callpoint.domain.token import (
    MAX_ACTIONS,
    SUBJECT_TYPE,
    Binding,
    Confirmation,
    OAuthError,
    confirmation,
)
from callpoint.lifecycle.delegate import exchange_as_delegate
from callpoint.lifecycle.exchange import Narrowed, Wish, exchange
from callpoint.lifecycle.introspect import introspect
from callpoint.lifecycle.revoke_token import revoke_token
from callpoint.lifecycle.token_desk import TokenDesk

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 -- a type's name
PLACE = "/oauth/token"

_BINDINGS = {"dpop_jkt": Binding.KEY, "x5t#S256": Binding.CERTIFICATE}
_ASKED = frozenset(
    {
        "grant_type",
        "subject_token",
        "subject_token_type",
        "requested_token_type",
        "audience",
        "resource",
        "authorization_details",
        "delegate",
        *_BINDINGS,
    }
)
_NAMED = frozenset({"token", "token_type_hint"})
_MAX_ACTION = 128
_REFUSALS: Any = {OAuthError: of_oauth, CallpointError: of_ours}


class TokenAnswer(msgspec.Struct, frozen=True):
    """A successful exchange (RFC 8693, 2.2.1; RFC 9396, 7)."""

    access_token: str
    issued_token_type: str
    token_type: str
    expires_in: int
    authorization_details: list[dict[str, Any]]


class TokenController(Controller):
    """What signed callers may do with tokens; form fields in, OAuth's errors out."""

    path = "/oauth"
    guards = (signed,)
    tags = ("tokens",)
    exception_handlers = _REFUSALS

    @post(
        "/token",
        status_code=200,
        responses=REFUSALS,
        summary="Exchange an activation for a token (RFC 8693)",
    )
    async def token(
        self, surface: GivenSurface, caller: GivenCaller, request: Request[Any, Any, Any]
    ) -> Response[TokenAnswer | OAuthRefusal]:
        """Bound to the key of the request's DPoP proof, or to a client certificate.

        Either is named in the signed body: nobody between can put another one in its place.
        """
        desk = desk_of(surface)
        fields = await read_form(request, _ASKED)
        wish, token = _wish(fields)
        if wish.cnf.binding is Binding.KEY:
            proof = desk.prove(proof_of(request), Expected("POST", desk.places(PLACE)))
            if proof.jkt != wish.cnf.jkt:
                raise OAuthError(INVALID, "dpop_jkt is not the thumbprint of the proof's key")
            await desk.spend(proof)
        if token:
            issued = await exchange_as_delegate(desk, caller, token, wish)
        else:
            issued = await exchange(desk, caller, wish)
        claims = msgspec.to_builtins(issued.claims)
        return unstored(
            TokenAnswer(
                access_token=issued.token,
                issued_token_type=ACCESS_TOKEN,
                token_type=issued.claims.cnf.token_type,
                expires_in=issued.claims.exp - issued.claims.iat,
                authorization_details=claims["authorization_details"],
            )
        )

    @post(
        "/introspect",
        status_code=200,
        responses=REFUSALS,
        summary="Is this token active now? (RFC 7662)",
    )
    async def introspect(
        self, surface: GivenSurface, caller: GivenCaller, request: Request[Any, Any, Any]
    ) -> Response[dict[str, Any]]:
        """Read from the store and the log each time; an error means no."""
        fields = await read_form(request, _NAMED)
        claims = await introspect(desk_of(surface), caller, needed(fields, "token"))
        if claims is None:
            return unstored({"active": False})
        told = {"active": True, "token_type": claims.cnf.token_type}
        return unstored(told | msgspec.to_builtins(claims))

    @post("/revoke", status_code=200, responses=REFUSALS, summary="Give a token up (RFC 7009)")
    async def revoke(
        self, surface: GivenSurface, caller: GivenCaller, request: Request[Any, Any, Any]
    ) -> Response[dict[str, Any]]:
        """200 too for what is no live token; policy is not asked."""
        fields = await read_form(request, _NAMED)
        await revoke_token(desk_of(surface), caller, needed(fields, "token"))
        return unstored({})


def desk_of(surface: Surface) -> TokenDesk:
    """The desk, or NotFoundError where tokens are not served."""
    if surface.tokens is None:
        raise NotFoundError(
            "this server has no key for tokens",
            way_out="see `callpoint doctor`, or ask another node",
        )
    return surface.tokens


def _wish(fields: dict[str, str]) -> tuple[Wish, str]:
    """What is asked for, and the token that a delegate exchanges, empty without one.

    Raises:
        OAuthError: OAuth has a name for what is wrong.
    """
    if needed(fields, "grant_type") != GRANT:
        raise OAuthError("unsupported_grant_type", f"the one grant type here is {GRANT}")
    kind = needed(fields, "subject_token_type")
    if kind not in (SUBJECT_TYPE, ACCESS_TOKEN):
        raise OAuthError("invalid_request", f"subject_token_type is {SUBJECT_TYPE}")
    if fields.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        raise OAuthError("invalid_request", f"requested_token_type is {ACCESS_TOKEN}")
    places = {fields[name] for name in ("audience", "resource") if name in fields}
    if len(places) > 1:
        raise OAuthError("invalid_target", "audience and resource name two places")
    subject, is_token = needed(fields, "subject_token"), kind == ACCESS_TOKEN
    try:
        activation = "" if is_token else parse_activation(subject)
        delegate = parse_name(fields["delegate"], "delegate") if "delegate" in fields else ""
    except RequestError as error:
        raise OAuthError("invalid_request", error.message) from error
    wish = Wish(
        activation=activation,
        delegate=delegate,
        cnf=_cnf(fields),
        audience=next(iter(places), ""),
        narrowed=_narrowed(fields.get("authorization_details", "")),
    )
    return wish, subject if is_token else ""


def _cnf(fields: dict[str, str]) -> Confirmation:
    named = [name for name in _BINDINGS if name in fields]
    if len(named) != 1:
        raise OAuthError("invalid_request", f"send one of {', '.join(_BINDINGS)}")
    return confirmation(_BINDINGS[named[0]], fields[named[0]])


def _narrowed(text: str) -> Narrowed | None:
    if not text:
        return None
    try:
        (one,) = msgspec.json.decode(text, type=tuple[Narrowed])
    except (msgspec.DecodeError, RecursionError) as error:
        raise _bad_details("send a list of one object with known members") from error
    if len(one.actions) > MAX_ACTIONS or any(
        not 0 < len(a) <= _MAX_ACTION or not a.isascii() or not a.isprintable() for a in one.actions
    ):
        raise _bad_details(f"actions are at most {MAX_ACTIONS} short names")
    return one


def _bad_details(text: str) -> OAuthError:
    return OAuthError("invalid_authorization_details", text)
