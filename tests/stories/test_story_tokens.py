"""An activation token on two nodes of one installation, over HTTP, as a gateway would see it."""

import hashlib
import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.jwk import ECKey

from callpoint.api.token_holder import SELF
from callpoint.api.tokens import GRANT, PLACE
from callpoint.cli.signing import sign_request
from callpoint.domain.dpop import token_hash
from callpoint.domain.token import SUBJECT_TYPE
from tests.servers import FreshDatabase
from tests.stories.test_story_nodes import second_node
from tests.stories.town import Town

PUBLIC = "https://callpoint.example"
FORM = "application/x-www-form-urlencoded"
KEY = ECKey.generate_key("P-256")


@dataclass
class Node:
    """One server, asked through a proxy that hands on what is for ``PUBLIC``."""

    town: Town

    def form(self, who: str, path: str, dpop: str = "", **fields: str) -> httpx.Response:
        """A signed form."""
        body = urlencode(fields).encode()
        seed = hashlib.sha256(who.encode()).digest()
        signed = sign_request(
            "POST",
            PUBLIC + path,
            body,
            principal=who,
            key=Ed25519PrivateKey.from_private_bytes(seed),
            now=datetime.now(UTC),
            nonce=secrets.token_bytes(16),
        )
        headers = {**signed, "content-type": FORM, **({"dpop": dpop} if dpop else {})}
        where = f"http://{self.town.address}{path}"
        return httpx.post(where, content=body, headers=headers, trust_env=False)

    def token(self, activation: str) -> httpx.Response:
        """Ask for one."""
        return self.form(
            "alice",
            PLACE,
            proof("POST", PLACE),
            grant_type=GRANT,
            subject_token=activation,
            subject_token_type=SUBJECT_TYPE,
            dpop_jkt=KEY.thumbprint(),
        )

    def use(self, token: str, audience: str, shown: str = "") -> int:
        """Show it; with a fresh proof unless one is given."""
        found = httpx.get(
            f"http://{self.town.address}{SELF}",
            params={"audience": audience},
            headers={
                "authorization": f"DPoP {token}",
                "dpop": shown or proof("GET", SELF, token),
            },
            trust_env=False,
        )
        return found.status_code

    def is_active(self, token: str) -> bool:
        """What introspection tells its holder."""
        return bool(self.form("alice", "/oauth/introspect", token=token).json()["active"])


def proof(method: str, path: str, token: str | None = None) -> str:
    """A fresh DPoP proof."""
    claims: dict[str, object] = {
        "jti": secrets.token_urlsafe(12),
        "htm": method,
        "htu": PUBLIC + path,
        "iat": int(datetime.now(UTC).timestamp()),
    }
    if token is not None:
        claims["ath"] = token_hash(token)
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.as_dict(private=False)}
    return jws.serialize_compact(header, json.dumps(claims), KEY, algorithms=["ES256"])


def test_a_token_on_two_nodes(town: Town, store: FreshDatabase):
    """Both know it; a proof counts at one of them, once; a kill through one ends it at both."""
    town.more["STORE_DSN"] = store.owner_url
    town.build("", "--store-env", "STORE_DSN")
    other = second_node(town)
    for one in (town, other):
        with (one.home / "server.toml").open("a") as file:
            file.write(f'\n[listen]\npublic = ["{PUBLIC}", "http://{one.address}"]\n')
    here, there = Node(town), Node(other)
    with town.serving(), other.serving():
        town.incident()
        given = town.active()
        answer = here.token(given)
        assert answer.status_code == 200, answer.text
        token = answer.json()["access_token"]
        (audience,) = answer.json()["authorization_details"][0]["locations"]
        assert audience.endswith(":target:orders-db:repair")
        assert [node.use(token, audience) for node in (here, there)] == [200, 200]
        shown = proof("GET", SELF, token)
        with ThreadPoolExecutor(8) as pool:
            raced = [pool.submit(n.use, token, audience, shown) for n in (here, there) * 4]
            assert sorted(one.result() for one in raced) == [200] + [401] * 7
        assert there.is_active(token)
        other("bob", "kill", "activation", given)
        assert [node.use(token, audience) for node in (here, there)] == [401, 401]
        assert not here.is_active(token)
        assert here.token(given).json()["error"] == "invalid_grant"
        assert "verify: ok" in town.verify_log("log")
    for written in (town.root / "serve.log", other.root / "serve.log"):
        assert token.encode() not in written.read_bytes()
