"""Governance: the installation, its keys, and the signed bundle that changes the rules (I15)."""

import msgspec

from callpoint.domain import canonical
from callpoint.domain.configuration import Configuration
from callpoint.domain.record import Index

BUNDLE_DOMAIN = "callpoint/bundle/v1"
ROTATION_DOMAIN = "callpoint/rotation/v1"
_DUAL = 2


class Installation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What genesis fixed, pinned outside the database too.

    Attributes:
        id: Six characters; part of every handle.
        origin: The log's origin line, ``callpoint/<id>`` (a new one after a recovery).
        log_key: The log's verifier key (C2SP vkey text).
        seal_recipient: age recipient of the sealing key.
        token_key: Raw Ed25519 public key, base64.
        governors: As at genesis; later ones are in the bundles.
        quorum: m of n.
        former_log_keys: Verifier keys that signed the log before a rotation.
        former_token_key: What signed tokens before the last rotation; theirs live for minutes.
    """

    id: str
    origin: str
    log_key: str
    seal_recipient: str
    token_key: str
    governors: dict[str, str]
    quorum: int
    former_log_keys: tuple[str, ...] = ()
    former_token_key: str = ""

    @property
    def trial(self) -> bool:
        """One governor alone rules: allowed for trying out, and said everywhere."""
        return self.quorum < _DUAL or len(self.governors) < _DUAL


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key of the installation is replaced; governors sign it.

    Attributes:
        use: ``log``, ``token`` or ``seal``.
        old: The public half in use.
        new: The public half that follows.
    """

    installation: str
    use: str
    old: str
    new: str

    def message(self) -> bytes:
        """What a governor signs: domain, newline, canonical facts."""
        return ROTATION_DOMAIN.encode() + b"\n" + canonical.encode(self)


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Configuration and policies as one value with one digest.

    Attributes:
        number: Dense from 1.
        previous: Digest of the bundle before, empty for the first.
        policies: File name to Cedar text.
    """

    installation: str
    number: int
    previous: str
    configuration: Configuration
    policies: dict[str, str]

    def digest(self) -> str:
        """SHA-256 hex of the canonical bundle."""
        return canonical.digest(self)

    def configuration_digest(self) -> str:
        """SHA-256 hex of the canonical configuration."""
        return canonical.digest(self.configuration)

    def policy_digest(self) -> str:
        """SHA-256 hex of the canonical policies."""
        return canonical.digest(self.policies)

    def message(self) -> bytes:
        """What a governor signs: domain, newline, canonical facts of the bundle."""
        facts = {
            "installation": self.installation,
            "number": self.number,
            "previous": self.previous,
            "digest": self.digest(),
        }
        return BUNDLE_DOMAIN.encode() + b"\n" + canonical.encode(facts)


class InForce(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which published bundle counts now: one row, checked against the log before it is believed."""

    number: int
    digest: str
    version: int = 0

    def key(self) -> str:
        return "bundle"

    def index(self) -> Index:
        return Index(state="in-force", subject=self.digest)

    def stored(self, version: int) -> "InForce":
        return msgspec.structs.replace(self, version=version)


class StoredBundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published bundle as a row. Its digest must stand in the log before it is loaded."""

    bundle: Bundle
    digest: str
    version: int = 0

    def key(self) -> str:
        return f"{self.bundle.number:08d}"

    def index(self) -> Index:
        return Index(state="published", subject=self.digest)

    def stored(self, version: int) -> "StoredBundle":
        return msgspec.structs.replace(self, version=version)


class Published(msgspec.Struct, frozen=True):
    """What was put in force, and which of its lines widen access."""

    number: int
    digest: str
    widens: tuple[str, ...]
    signed_by: tuple[str, ...]
