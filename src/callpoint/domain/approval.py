"""Approvals and quorum: signed votes of distinct natural persons (I9).

A vote is signed over the exact request: domain string, installation, request digest, policy and
configuration digests, nonce and latest checkpoint. A changed request therefore voids its votes.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime
from enum import StrEnum

import msgspec

from callpoint.domain import canonical
from callpoint.domain.configuration import Configuration

DOMAIN = "callpoint/approval/v1"


class Verdict(StrEnum):
    """What the approver says."""

    APPROVE = "approve"
    DENY = "deny"


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an approver signs. ``message`` is the exact byte string.

    Attributes:
        checkpoint: ``<size> <root hash, base64>`` of the log when the vote was prepared.
    """

    domain: str
    installation: str
    activation: str
    request_digest: str
    configuration_digest: str
    policy_digest: str
    nonce: str
    checkpoint: str
    approver: str
    person: str
    verdict: Verdict

    def body(self) -> bytes:
        """Canonical bytes; what is stored and transported."""
        return canonical.encode(self)

    def message(self) -> bytes:
        """What is signed: the domain string, a newline, the canonical bytes."""
        return signed_message(self.body())


def signed_message(body: bytes) -> bytes:
    """What is signed for a stored statement body."""
    return DOMAIN.encode() + b"\n" + body


class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One vote, as recorded.

    Attributes:
        statement: Canonical statement, base64.
        signature: Ed25519 over ``signed_message``, base64.
        key: The approver's raw public key, base64.
    """

    approver: str
    person: str
    verdict: Verdict
    statement: str
    signature: str
    key: str
    at: datetime


class Quorum(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many of whom, fixed at the request.

    Attributes:
        need: Distinct persons from ``approvers``; at least one.
        approvers: Groups and principals.
        extra: Added persons from ``security``, because a budget is spent or a review is late (I16).
        security: Groups that supply them.
    """

    need: int
    approvers: tuple[str, ...]
    extra: int = 0
    security: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Distinct persons that are needed in all."""
        return self.need + self.extra


class QuorumTally(msgspec.Struct, frozen=True):
    """Where a quorum stands.

    Attributes:
        counted: Persons whose approval counts.
        missing: How many more approvals are needed besides ``missing_security``.
        missing_security: How many of the missing must come from security.
        can_still_approve: Persons whose approval would bring it nearer.
        can_be_met: All seats can be filled, if everybody who still may says yes.
    """

    counted: tuple[str, ...]
    missing: int
    missing_security: int
    can_still_approve: tuple[str, ...]
    met: bool
    can_be_met: bool


def tally(
    quorum: Quorum,
    approvals: Iterable[Approval],
    configuration: Configuration,
    excluded: frozenset[str],
) -> QuorumTally:
    """Count distinct natural persons, never an excluded one (I9).

    One person fills one seat, also when it belongs to both lists.
    """
    may_approve = configuration.persons_in(quorum.approvers) - excluded
    may_secure = (
        configuration.persons_in(quorum.security) - excluded if quorum.extra else frozenset()
    )
    voted = {a.person for a in approvals if a.verdict is Verdict.APPROVE} - excluded
    among, secure = voted & may_approve, voted & may_secure
    filled = _filled(quorum, among, secure)
    missing_security = max(quorum.extra - len(secure), 0)
    helps = {
        person
        for person in (may_approve | may_secure) - voted
        if _filled(quorum, among | ({person} & may_approve), secure | ({person} & may_secure))
        > filled
    }
    return QuorumTally(
        counted=tuple(sorted(among | secure)),
        missing=quorum.total - filled - missing_security,
        missing_security=missing_security,
        can_still_approve=tuple(sorted(helps)),
        met=quorum.need >= 1 and filled == quorum.total,
        can_be_met=quorum.need >= 1 and _filled(quorum, may_approve, may_secure) == quorum.total,
    )


def _filled(quorum: Quorum, among: AbstractSet[str], secure: AbstractSet[str]) -> int:
    """How many seats these voters can fill at most, each person one (König's theorem)."""
    seats = min(len(among), quorum.need) + min(len(secure), quorum.extra)
    return min(seats, len(among | secure))


class Vote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signed vote as it arrives; untrusted.

    Attributes:
        statement: The canonical statement's bytes.
        signature: Ed25519 by the approver's own key, base64.
        comment: The approver's words; personal.
    """

    statement: bytes
    signature: str
    comment: str = ""
