"""One configuration with one person's key, and requests signed with it."""

import base64
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callpoint.adapters.identity.signatures import SignatureAuthenticator
from callpoint.domain.configuration import Configuration, Governance
from callpoint.domain.principal import Person, Principal, PrincipalKind
from callpoint.ports.identity import SignedRequest
from tests.fakes.clock import SimulatedClock
from tests.fakes.nonces import FakeNonceBook

ORIGIN = "https://callpoint.example"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
NONCE = bytes(range(16))


def public_text(key: Ed25519PrivateKey) -> str:
    """A public key as the configuration writes it."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


ANA = Principal("ana-laptop", PrincipalKind.HUMAN, ("ana",), public_text(KEY))


def configuration_of(*principals: Principal) -> Configuration:
    """A configuration that holds these principals and nothing else."""
    return Configuration(
        governance=Governance({}, 1, ()),
        persons={"ana": Person("ana")},
        groups={},
        principals={principal.id: principal for principal in principals},
        targets={},
        eligibilities={},
    )


class Door:
    """An authenticator with its clock, its book of nonces and a configuration that can change."""

    def __init__(self, *origins: str, since: datetime | None = None) -> None:
        self.clock = SimulatedClock()
        self.nonces = FakeNonceBook()
        self.configuration = configuration_of(ANA)
        self.authenticator = SignatureAuthenticator(
            lambda: self.configuration,
            self.nonces,
            self.clock,
            origins=origins or (ORIGIN,),
            since=since,
        )

    async def knock(
        self,
        headers: dict[str, str],
        *,
        method: str = "POST",
        url: str = f"{ORIGIN}/v1/activations?dry_run=true",
        body: bytes = b'{"why":"disk full"}',
    ):
        return await self.authenticator.authenticate(SignedRequest(method, url, headers, body))
