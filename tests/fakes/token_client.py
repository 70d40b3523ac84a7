"""A client of the token endpoints, with its own DPoP key; what attackers change is an argument."""

import base64
import json
from typing import Any
from urllib.parse import urlencode

import httpx
from joserfc import jws
from joserfc.jwk import ECKey

from callpoint.api.token_holder import SELF
from callpoint.api.tokens import GRANT, PLACE
from callpoint.cli.signing import sign_request
from callpoint.domain.dpop import token_hash
from callpoint.domain.token import SUBJECT_TYPE
from callpoint.lifecycle.token_desk import TokenDesk
from tests.fakes.face import ADDRESS, Face, private_key

AUDIENCE = "urn:callpoint:tstinc:target:orders-db:repair"
FORM = "application/x-www-form-urlencoded"


def part(data: object) -> str:
    """One part of a JWS."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class TokenClient:
    """One principal with one ES256 key."""

    def __init__(self, face: Face, who: str = "alice") -> None:
        self.face = face
        self.who = who
        self.key = ECKey.generate_key("P-256")
        self._made = 0

    @property
    def desk(self) -> TokenDesk:
        """What the server works with."""
        assert self.face.surface.tokens is not None
        return self.face.surface.tokens

    async def live(self) -> str:
        """A live activation of the client's."""
        return (await self.face.world.active(self.who)).id

    @property
    def public(self) -> dict[str, Any]:
        """The public half, as a proof shows it."""
        return dict(self.key.as_dict(private=False))

    def proof(
        self,
        *,
        token: str | None = None,
        header: dict[str, Any] | None = None,
        claims: dict[str, Any] | None = None,
    ) -> str:
        """A proof for the token endpoint, with changes."""
        self._made += 1
        head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.public, **(header or {})}
        body: dict[str, Any] = {
            "jti": f"{self.who}-{self._made}",
            "htm": "POST",
            "htu": ADDRESS + PLACE,
            "iat": int(self.face.world.services.clock.now().timestamp()),
        }
        if token is not None:
            body["ath"] = token_hash(token)
        body |= claims or {}
        return jws.serialize_compact(head, json.dumps(body), self.key, algorithms=["ES256"])

    async def form(self, path: str, fields: dict[str, str], **headers: str) -> httpx.Response:
        """A signed form."""
        body = urlencode(fields).encode()
        world = self.face.world
        sent = {"content-type": FORM, **headers}
        raw = {name.encode(): value.encode("latin-1") for name, value in sent.items()}
        request = self.face.client.build_request("POST", path, content=body, headers=raw)
        request.headers.update(
            sign_request(
                "POST",
                str(request.url),
                body,
                principal=self.who,
                key=private_key(self.who),
                now=world.services.clock.now(),
                nonce=world.services.random.token(16),
            )
        )
        return await self.face.client.send(request)

    async def exchange(
        self, activation: str, *, proof: str | None = None, **fields: str
    ) -> httpx.Response:
        """Ask for a token."""
        asked = {
            "grant_type": GRANT,
            "subject_token": activation,
            "subject_token_type": SUBJECT_TYPE,
            "dpop_jkt": self.key.thumbprint(),
            **fields,
        }
        return await self.form(PLACE, asked, dpop=self.proof() if proof is None else proof)

    async def token(self, activation: str, **fields: str) -> str:
        """A token; it must be given."""
        answer = await self.exchange(activation, **fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def use(
        self,
        token: str,
        *,
        proof: str | None = None,
        audience: str = AUDIENCE,
        scheme: str = "DPoP",
    ) -> httpx.Response:
        """Show the token, as to an enforcement point."""
        shown = self.use_proof(token) if proof is None else proof
        headers = {"authorization": f"{scheme} {token}", **({"dpop": shown} if shown else {})}
        where = f"{SELF}?{urlencode({'audience': audience})}"
        return await self.face.client.get(where, headers=headers)

    def use_proof(self, token: str, **claims: Any) -> str:
        """A proof for showing the token, with changes."""
        return self.proof(token=token, claims={"htm": "GET", "htu": ADDRESS + SELF, **claims})

    async def active(self, token: str) -> bool:
        """What introspection says."""
        answer = await self.form("/oauth/introspect", {"token": token})
        assert answer.status_code == 200, answer.text
        return bool(answer.json()["active"])


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an OAuth refusal, which no cache may keep."""
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json()) == {"error", "error_description"}
    return answer.status_code, answer.json()["error"]
