"""A receiver outside is told of an emergency: it is away, the server dies, both come back."""

import json
import time
from typing import Any

import httpx
from joserfc import jws
from joserfc.jwk import KeySet

from tests.fakes.receiver_site import ReceiverSite
from tests.fakes.signals import kinds
from tests.stories.town import Town

SECRET = "Bearer told-to-the-receiver-alone"
RULES = """
[signals.siem]
delivery = "push"
audience = "https://siem.example"
url = "{url}"
authorization = {{ env = "SIEM_AUTHORIZATION" }}
"""


def read(token: str, keys: Any) -> dict[str, Any]:
    """The claims, as another library verifies them with the published key set."""
    found = jws.deserialize_compact(
        token, KeySet.import_key_set(keys), registry=jws.JWSRegistry(algorithms=["Ed25519"])
    )
    claims: dict[str, Any] = json.loads(found.payload)
    return claims


def test_a_receiver_hears_of_it_whatever_dies(town: Town):
    """It was away when access began, and the server was killed; it is told all, with proof."""
    site = ReceiverSite()
    town.more["SIEM_AUTHORIZATION"] = SECRET
    town.build(RULES.format(url=site.url))
    with town.serving() as server:
        town.incident()
        activation = town.active()
        town.kill_server(server)
    assert not site.bodies
    with site.up(), town.serving():
        base = f"http://{town.address}"
        where = httpx.get(f"{base}/.well-known/ssf-configuration", trust_env=False).json()
        keys = httpx.get(where["jwks_uri"], trust_env=False).json()
        town("gina", "kill", "everything", "--yes")
        town.await_no_account()
        deadline = time.monotonic() + 60
        told: dict[str, dict[str, Any]] = {}
        while len(told) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
            told = {one["jti"]: one for one in (read(body, keys) for body in [*site.bodies])}
        assert kinds(list(told.values())) == [
            "session-established",
            "credential-change:create",
            "session-revoked",
            "credential-change:revoke",
        ]
        assert {one["sub_id"]["session"]["id"] for one in told.values()} == {activation}
        assert {one["iss"] for one in told.values()} == {where["issuer"]} == {base}
        assert site.fields["authorization"] == SECRET
        leaf = next(iter(told)).partition(".")[0]
        proof = town.root / "told.tlog-proof"
        town("erin", "log", "proof", "--entry-hash", leaf, "--out", proof)
        town("erin", "verify", "proof", proof, "--installation", town.installation)
    kept = [path.read_bytes() for path in town.home.rglob("*") if path.is_file()]
    kept += [(town.root / "serve.log").read_bytes(), "".join(town.said).encode()]
    assert not any(b"told-to-the-receiver" in content for content in kept)
