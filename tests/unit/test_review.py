"""Deadlines of a review."""

from datetime import UTC, datetime, timedelta

import msgspec

from callpoint.domain.review import Review

AT = datetime(2026, 3, 1, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
OPEN = Review(opened_at=AT, triage_by=AT + HOUR, close_by=AT + 5 * HOUR)
TRIAGED = msgspec.structs.replace(OPEN, triaged_at=AT, triaged_by="erin")
CLOSED = msgspec.structs.replace(TRIAGED, closed_at=AT, closed_by="erin")


def test_deadlines_are_those_that_are_not_met_earliest_first():
    """Triage meets the first, the verdict both."""
    assert OPEN.deadlines() == (AT + HOUR, AT + 5 * HOUR)
    assert TRIAGED.deadlines() == (AT + 5 * HOUR,)
    assert CLOSED.deadlines() == ()
    late_triage = msgspec.structs.replace(OPEN, triage_by=AT + 9 * HOUR)
    assert late_triage.deadlines() == (AT + 5 * HOUR, AT + 9 * HOUR)


def test_the_next_deadline_is_the_first_of_them():
    """It is what the sweep waits for; a closed review has none."""
    assert OPEN.next_deadline() == AT + HOUR
    assert TRIAGED.next_deadline() == AT + 5 * HOUR
    assert CLOSED.next_deadline() is None


def test_a_review_is_overdue_only_after_a_deadline_that_is_not_met():
    """At the very moment it is still in time; a closed one is never late."""
    moment = timedelta(microseconds=1)
    assert not OPEN.overdue(AT + HOUR)
    assert OPEN.overdue(AT + HOUR + moment)
    assert not TRIAGED.overdue(AT + HOUR + moment)
    assert TRIAGED.overdue(AT + 5 * HOUR + moment)
    assert not CLOSED.overdue(AT + 99 * HOUR)
