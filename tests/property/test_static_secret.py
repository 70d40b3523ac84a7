"""The secret in force is always a stored one, in whatever order things happen and fail."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from callpoint.domain.errors import ConflictError
from callpoint.domain.static_secret import LATE, Purpose, StaticSecret

LEASES = ("lease-a", "lease-b")


class OneAccount(RuleBasedStateMachine):
    """The record, and a target that hears of a secret at once, late, or never.

    The target does not fence, and calls of the past may reach it until ``LATE`` after they were
    made. A box is the secret itself here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.row = StaticSecret("orders-db", "legacy_admin")
        self.now = datetime(2026, 11, 24, tzinfo=UTC)
        self.in_force = "the owner's"
        self.under_way: list[tuple[datetime, str]] = []
        self.drawn = 0

    def _prepare(self, lease: str, purpose: Purpose) -> None:
        self.drawn += 1
        self.row = self.row.seized(lease).prepared(purpose, f"s{self.drawn}", self.now)
        assert self.row.newest is not None
        self.under_way.append((self.now, self.row.newest.box))

    @rule(lease=st.sampled_from(LEASES))
    def check_out(self, lease: str) -> None:
        """It is given to one, and refused to any other while that one has it."""
        holder = self.row.lease
        if holder and holder != lease:
            with pytest.raises(ConflictError):
                self.row.taken(lease)
            return
        self._prepare(self.row.taken(lease).lease, Purpose.CHECK_OUT)

    @precondition(lambda self: self.row.lease)
    @rule()
    def check_in(self) -> None:
        """One pending secret for as many attempts as it takes."""
        if not self.row.is_prepared(self.row.lease, Purpose.CHECK_IN):
            self._prepare(self.row.lease, Purpose.CHECK_IN)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def the_target_hears(self, data: st.DataObject) -> None:
        """Of any secret that was sent and is still under way, in any order."""
        chosen = data.draw(st.integers(0, len(self.under_way) - 1))
        self.in_force = self.under_way[chosen][1]

    @rule(seconds=st.sampled_from([1, 60, 119, 121, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.under_way = [(at, box) for at, box in self.under_way if self.now - at < LATE]

    @rule(release=st.booleans())
    def it_is_seen_in_force(self, *, release: bool) -> None:
        """Only what the target has now is promoted, and only if it is the newest."""
        newest = self.row.newest
        if newest is None or self.row.is_settled:
            with pytest.raises(ConflictError):
                self.row.settled(newest.generation if newest else 0, self.now)
            return
        with pytest.raises(ConflictError):
            self.row.settled(newest.generation - 1, self.now)
        if self.in_force == newest.box:
            after = self.row.settled(newest.generation, self.now)
            self.row = after.released() if release else after

    @invariant()
    def a_stored_secret_is_in_force(self) -> None:
        boxes = [candidate.box for candidate in self.row.candidates]
        assert self.in_force in {*boxes, "the owner's"}
        assert self.row.changed_at is None or self.in_force in boxes
        assert len(set(boxes)) == len(boxes)

    @invariant()
    def generations_grow(self) -> None:
        numbers = [candidate.generation for candidate in self.row.candidates]
        assert numbers == sorted(set(numbers))

    @invariant()
    def what_is_over_is_forgotten(self) -> None:
        """Settled, and nothing can come late any more: exactly one secret is kept."""
        if self.row.is_settled and self.row.changed_at and not self.under_way:
            kept = [c for c in self.row.candidates[:-1] if c.at < self.row.changed_at - LATE]
            assert kept == []


OneAccount.TestCase.settings = settings(max_examples=120, stateful_step_count=25, deadline=None)
TestOneAccount = OneAccount.TestCase
