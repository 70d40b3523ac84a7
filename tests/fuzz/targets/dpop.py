"""DPoP proofs, whole and broken, at the token endpoint of the real application.

What must hold, whatever is sent:

* the answer is 200, or 400 with an error that OAuth knows: a proof is never our fault;
* another reader of JOSE accepts what was accepted, and finds in it the method, the address, a time
  within the window and the key whose thumbprint was signed;
* what was accepted once is not accepted again.

A case is a proof in three lines (header, claims, signature), or, when it has another number of
lines, the field itself. A signature line that is empty is filled in with the right one.
"""

import asyncio
import base64
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey

from callpoint.api.tokens import PLACE
from callpoint.domain.dpop import MAX_AGE, MAX_AHEAD
from tests.fakes.clock import START
from tests.fakes.face import ADDRESS, Face
from tests.fakes.token_client import TokenClient, part
from tests.fakes.world import make_world
from tests.fuzz.target import Check, FoundError

KEY = ECKey.import_key(
    {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
    }
)
"""The example of RFC 7515, A.3: a kept case means the same in every run."""

PUBLIC = KEY.as_dict(private=False)
HEADER = {"typ": "dpop+jwt", "alg": "ES256", "jwk": PUBLIC}
HOST = urlsplit(ADDRESS).hostname
CODES = {"invalid_dpop_proof", "invalid_grant"}

_OK, _BAD, _THREE = 200, 400, 3
_LONGEST = 16_000  # of all headers together the authenticator takes 32 768 characters


@dataclass
class _Site:
    """One live activation, and the client that asks for tokens of it."""

    alice: TokenClient
    activation: str

    async def judge(self, case: bytes) -> str:
        """Send one proof, and if it is taken, the same again."""
        sent = _field(case)
        if not 0 < len(sent) < _LONGEST or sent != sent.strip() or any(char < " " for char in sent):
            return "no field"  # no server would hand it on
        answer = await self.alice.exchange(self.activation, proof=sent)
        code = answer.json().get("error", "")
        _must(answer.status_code in (_OK, _BAD), f"status {answer.status_code}")
        _must(answer.status_code == _OK or code in CODES, f"error {code}")
        if code:
            return code if code != "invalid_dpop_proof" else _why(answer.json())
        claims = self._read(sent)
        now = self.alice.face.world.clock.now()
        _must(claims["htm"] == "POST", "another method")
        place = urlsplit(claims["htu"])
        _must((place.hostname, unquote(place.path)) == (HOST, PLACE), "another address")
        since, until = ((now - MAX_AGE).timestamp(), (now + MAX_AHEAD).timestamp())
        _must(since <= claims["iat"] <= until, "another time")
        again = await self.alice.exchange(self.activation, proof=sent)
        _must(again.status_code == _BAD, "accepted twice")
        return "taken"

    def _read(self, sent: str) -> dict[str, Any]:
        found = jws.deserialize_compact(sent, KEY, algorithms=["ES256"])
        claims: dict[str, Any] = json.loads(found.payload)
        return claims


def _why(answer: dict[str, str]) -> str:
    return answer["error_description"].rpartition(":")[2].strip()[:40]


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise FoundError(what)


def _field(case: bytes) -> str:
    """What is sent in the ``DPoP`` field."""
    lines = case.split(b"\n")
    if len(lines) != _THREE:
        return case.decode("latin-1")
    head, body, signature = lines
    message = f"{part(head)}.{part(body)}"
    if not signature:
        return f"{message}.{_signature(message)}"
    return f"{message}.{signature.decode('latin-1')}"


def _signature(message: str) -> str:
    """Over exactly these bytes, whatever they say."""
    algorithm = jws.JWSRegistry.algorithms["ES256"]
    made = algorithm.sign(message.encode(), KEY)
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


@dataclass
class DpopTarget:
    """Implements ``tests.fuzz.target.Target``."""

    session: int = 200

    @property
    def words(self) -> tuple[bytes, ...]:
        known = ("typ", "alg", "jwk", "kty", "crv", "jti", "htm", "htu", "iat", "ath", "nonce", "d")
        values = ("dpop+jwt", "ES256", "Ed25519", "none", "HS256", "EC", "OKP", "P-256", "POST")
        quoted = [json.dumps(word).encode() for word in (*known, *values, ADDRESS + PLACE, "crit")]
        return (*quoted, b"1e400", b"NaN", b"null", b"{}", b"[]", b"\\u0000", b"%2f", b"@", b"\n")

    def make(self, chance: random.Random) -> bytes:
        header: dict[str, Any] = {**HEADER, "jwk": dict(PUBLIC)}
        claims: dict[str, Any] = {
            "jti": f"{chance.getrandbits(64):x}",
            "htm": "POST",
            "htu": chance.choice((ADDRESS, ADDRESS.upper(), f"{ADDRESS}:80")) + PLACE,
            "iat": START.timestamp() + chance.choice((0, 0, 0, 4, 6, -59, -61, 0.5)),
        }
        for place in (header, header["jwk"], claims):
            if chance.random() < 0.15:
                name = chance.choice([*place, "ath", "nonce", "kid", "d", "x5c"])
                place[name] = chance.choice(
                    ("", "x" * 300, None, 0, -1, 2**70, [], {}, "\0é", True)
                )
        signature = b"" if chance.random() < 0.8 else b"AAAA"
        return b"\n".join((json.dumps(header).encode(), json.dumps(claims).encode(), signature))

    @contextmanager
    def open(self) -> Iterator[Check]:
        with asyncio.Runner() as runner:
            site = runner.run(_site())
            try:
                yield lambda case: runner.run(site.judge(case))
            finally:
                runner.run(site.alice.face.client.aclose())


async def _site() -> _Site:
    world = await make_world()
    await world.incident()
    alice = TokenClient(Face(world))
    alice.key = KEY
    return _Site(alice, await alice.live())


TARGET = DpopTarget()
