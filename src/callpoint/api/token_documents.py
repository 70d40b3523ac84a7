"""What clients and enforcement points must know of activation tokens; everybody may read it."""

from typing import Any
from urllib.parse import urlsplit

from litestar import Controller, get
from litestar.params import FromPath

from callpoint.api.answers import PROBLEMS
from callpoint.api.surface import GivenSurface
from callpoint.api.tokens import GRANT, PLACE, desk_of
from callpoint.domain.errors import NotFoundError
from callpoint.domain.token import DETAILS_TYPE
from callpoint.lifecycle.token_desk import TokenDesk

SIGNED = "urn:callpoint:client-auth:http-message-signature"
RESOURCE = "/.well-known/oauth-protected-resource"
SERVER = "/.well-known/oauth-authorization-server"
KEYS = "/oauth/jwks"


class TokenDocuments(Controller):
    """Keys and metadata."""

    tags = ("tokens",)

    @get(KEYS, responses=PROBLEMS, summary="Keys that sign tokens (RFC 7517)")
    async def keys(self, surface: GivenSurface) -> dict[str, Any]:
        """The one in use first, and the one before it."""
        return dict(desk_of(surface).tokens.key_set())

    @get(
        [SERVER, SERVER + "/{place:path}"],
        responses=PROBLEMS,
        summary="Metadata of the token endpoints (RFC 8414)",
    )
    async def server(self, surface: GivenSurface, place: FromPath[str] = "") -> dict[str, Any]:
        """Only what is served; of one issuer, which is the first configured address."""
        desk = _desk_at(surface, place)
        base = desk.issuer.rstrip("/")
        return {
            "issuer": desk.issuer,
            "token_endpoint": base + PLACE,
            "introspection_endpoint": f"{base}/oauth/introspect",
            "revocation_endpoint": f"{base}/oauth/revoke",
            "jwks_uri": base + KEYS,
            "grant_types_supported": [GRANT],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": [SIGNED],
            "introspection_endpoint_auth_methods_supported": [SIGNED],
            "revocation_endpoint_auth_methods_supported": [SIGNED],
            **_bindings(desk),
        }

    @get(
        [RESOURCE, RESOURCE + "/{place:path}"],
        responses=PROBLEMS,
        summary="Metadata of this API as a resource (RFC 9728)",
    )
    async def resource(self, surface: GivenSurface, place: FromPath[str] = "") -> dict[str, Any]:
        """Whose tokens count here, and how they are bound."""
        desk = _desk_at(surface, place)
        return {
            "resource": desk.issuer,
            "resource_name": f"Callpoint {desk.services.installation.id}",
            "authorization_servers": [desk.issuer],
            "bearer_methods_supported": ["header"],
            "dpop_bound_access_tokens_required": True,  # TLS ends before this API
            **_bindings(desk),
            "tls_client_certificate_bound_access_tokens": False,
        }


def place_of(document: str, issuer: str) -> str:
    """Where the metadata of an address is: its path comes behind the well-known one (RFC 8615)."""
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}{document}{parts.path.rstrip('/')}"


def _desk_at(surface: GivenSurface, place: str) -> TokenDesk:
    desk = desk_of(surface)
    path = urlsplit(desk.issuer).path
    if place.strip("/") not in ("", path.strip("/")):
        raise NotFoundError("no issuer of tokens has this path")
    return desk


def _bindings(desk: TokenDesk) -> dict[str, Any]:
    """What both documents say in the same words."""
    return {
        "dpop_signing_alg_values_supported": list(desk.proofs.algorithms),
        "tls_client_certificate_bound_access_tokens": True,
        "authorization_details_types_supported": [DETAILS_TYPE],
    }
