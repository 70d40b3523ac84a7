"""Events of the installation: its birth, its rules, its keys, its log, its clock."""

from datetime import datetime

import msgspec

from callpoint.domain.event_form import Event


class InstallationCreated(Event, frozen=True, kw_only=True, tag="installation:created"):
    """Genesis (I15). ``trial`` is true for a single governor: said everywhere."""

    installation: str
    governors: dict[str, str]
    quorum: int
    log_key: str
    seal_recipient: str
    token_key: str
    trial: bool


class SignatureRecord(msgspec.Struct, frozen=True):
    """A governor's signature over a bundle or a key rotation; key and signature base64."""

    governor: str
    key: str
    signature: str


class BundlePublished(Event, frozen=True, kw_only=True, tag="bundle:published"):
    """A configuration is in force from here on; ``widens`` lists each line that widens access."""

    number: int
    digest: str
    configuration_digest: str
    policy_digest: str
    previous: str
    widens: tuple[str, ...]
    signatures: tuple[SignatureRecord, ...]


class BundleRefused(Event, frozen=True, kw_only=True, tag="bundle:refused"):
    """Somebody tried to publish what its signatures do not carry."""

    digest: str
    widens: tuple[str, ...]
    reason: str


class KeyRotated(Event, frozen=True, kw_only=True, tag="key:rotated"):
    """The log, token or sealing key was replaced; ``use`` says which."""

    use: str
    old: str
    new: str
    signatures: tuple[SignatureRecord, ...]


class LogRecovered(Event, frozen=True, kw_only=True, tag="log:recovered"):
    """First entry of a new origin: the checkpoint that was lost sight of, and the lost range."""

    old_checkpoint: str
    kept_size: int
    lost_size: int
    reason: str


class EpochBegan(Event, frozen=True, kw_only=True, tag="epoch:began"):
    """From here on targets are compared anew before anything is given (I8).

    ``why`` is ``recovered`` or ``moved``; ``ended`` counts the activations that a recovery ended,
    ``place`` says where a moved database is.
    """

    number: int
    why: str
    reason: str
    ended: int = 0
    place: str = ""


class ClockAccepted(Event, frozen=True, kw_only=True, tag="clock:accepted"):
    """A store's clock had jumped ahead and was set right: an operator says which time counts (I4).

    ``at`` of the entries before may lie after ``at`` of those that follow.
    """

    ahead: datetime
    accepted: datetime
    reason: str
