"""An eligibility: a standing right to *ask*, with the rules that an activation of it must meet."""

from datetime import timedelta
from enum import StrEnum

import msgspec

from callpoint.domain.allowance import Allowance
from callpoint.domain.offline import USUAL, OfflineAllowance, OfflineRule, OnLoss


class Lane(StrEnum):
    """Two lanes kept apart (R16)."""

    BREAK_GLASS = "break-glass"
    ELEVATION = "elevation"


class Mode(StrEnum):
    """How much of it a machine may do (R15): human only, machine-assisted, partly automated."""

    HUMAN = "human"
    ASSISTED = "assisted"
    AUTOMATED = "automated"


class Severity(StrEnum):
    """How bad an incident is; ``sev1`` is worst."""

    SEV1 = "sev1"
    SEV2 = "sev2"
    SEV3 = "sev3"
    SEV4 = "sev4"


class Purpose(StrEnum):
    """Why access is asked for: a closed list, so that purposes can be counted."""

    RECOVER = "recover"
    INVESTIGATE = "investigate"
    CONTAIN = "contain"
    ROTATE = "rotate"
    DRILL = "drill"


class Opening(msgspec.Struct, frozen=True, order=True):
    """One target role that an eligibility opens; written ``target:role``."""

    target: str
    role: str

    def __str__(self) -> str:
        return f"{self.target}:{self.role}"


def parse_opening(text: str) -> Opening:
    """Read ``target:role``.

    Raises:
        ValueError: It has another form.
    """
    target, colon, role = text.partition(":")
    if not (target and colon and role) or ":" in role:
        raise ValueError(f"{text!r} is not target:role")
    return Opening(target, role)


class IncidentRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which incidents justify it."""

    severity: tuple[Severity, ...]
    must_name_target: bool = True


class ApprovalRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many of whom must approve, and how soon, before the request lapses."""

    quorum: int
    approvers: tuple[str, ...]
    within: timedelta


class BudgetRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many distinct incidents the eligibility may serve within a window, whoever asks."""

    incidents: int
    per: timedelta


class ReviewRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who reviews, and the two deadlines, counted from the end of the activation."""

    by: tuple[str, ...]
    triage: timedelta
    close: timedelta


class Eligibility(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A standing right to ask for an activation.

    Attributes:
        id: Configured name.
        lane: Break glass or elevation.
        mode: Human, assisted or automated.
        who: Groups (``group:x``) and principals that may ask.
        opens: The target roles it opens: listed, never a wildcard (R4).
        ttl: The longest time that an activation lasts (``for`` in the file).
        incident: Which incidents justify it; None only in the elevation lane.
        approval: Quorum; at least one (I9).
        budget: Rarity (I16).
        review: Independent review (R6).
        idle: End it when nothing was fetched or used for so long; None to leave it out.
        accept_residual: The owner accepts that a live session may outlive expiry when Callpoint
            is dead and the target has no reaper (I3).
        purposes: Purposes that may be given.
        allowance: What an activation may spend through gateways; ``spends`` reads it.
        on_loss: What becomes of a session whose gateway lost the authority; ``offline`` reads it
            and the two bounds.
    """

    id: str
    lane: Lane
    mode: Mode
    who: tuple[str, ...]
    opens: tuple[Opening, ...]
    ttl: timedelta
    approval: ApprovalRule
    budget: BudgetRule
    review: ReviewRule
    incident: IncidentRule | None = None
    idle: timedelta | None = None
    accept_residual: bool = False
    purposes: tuple[Purpose, ...] = (Purpose.RECOVER, Purpose.INVESTIGATE, Purpose.CONTAIN)
    # Not written while it is unset, so that bundles of before keep their digest.
    allowance: Allowance | msgspec.UnsetType = msgspec.UNSET
    on_loss: OnLoss | msgspec.UnsetType = msgspec.UNSET
    offline_for: timedelta | msgspec.UnsetType = msgspec.UNSET
    offline_allowance: OfflineAllowance | msgspec.UnsetType = msgspec.UNSET

    @property
    def spends(self) -> Allowance:
        """What an activation may spend through gateways; without limits when nothing is said."""
        return self.allowance or Allowance()

    @property
    def offline(self) -> OfflineRule | None:
        """How a session goes on when its gateway lost the authority; None: it is cut."""
        if self.on_loss is not OnLoss.OFFLINE:
            return None
        return OfflineRule(self.offline_for or USUAL, self.offline_allowance or OfflineAllowance())
