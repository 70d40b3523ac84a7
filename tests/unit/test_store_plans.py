"""What a question costs depends on what it asks for, not on all that there ever was (SQLite)."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from callpoint.adapters.stores.sql.view import Moment, SqlView
from callpoint.adapters.stores.sqlite.migrations import MIGRATIONS
from callpoint.domain.activation import Activation
from callpoint.domain.lease import Lease
from callpoint.ports.stores import View, Where

AT = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


class Asked:
    """As much of a ``Connection`` as a view needs; notes how SQLite would answer."""

    def __init__(self) -> None:
        self.database = sqlite3.connect(":memory:")
        for migration in MIGRATIONS:
            for statement in migration.statements:
                self.database.execute(statement)
        self.plan = ""

    def rows(self, query, parameters=()):
        plan = self.database.execute(f"EXPLAIN QUERY PLAN {query}", parameters)
        self.plan = "; ".join(row[3] for row in plan)
        return []


QUESTIONS: dict[str, tuple[Callable[[View], object], str]] = {
    "a sweep's active ones": (
        lambda view: view.select(Activation, Where(states=("active",))),
        "records_state (kind=? AND state=?",
    ),
    "what a kill may cover": (
        lambda view: view.select(
            Activation, Where(states=("requested", "approved", "active"), limit=10**6)
        ),
        "records_state (kind=? AND state=?",
    ),
    "late reviews": (
        lambda view: view.select(Activation, Where(states=("ended",), limit=10**6)),
        "records_state (kind=? AND state=?",
    ),
    "an activation's leases": (
        lambda view: view.select(Lease, Where(parent="a", skip_spoilt=True)),
        "records_parent (kind=? AND parent=?",
    ),
    "a target's open leases": (
        lambda view: view.select(Lease, Where(states=("ending",), subject="orders-db")),
        "records_subject (kind=? AND subject=? AND state=?",
    ),
    "a budget": (
        lambda view: view.count_subjects(Activation, "repair", ("active", "ended"), AT),
        "records_subject (kind=? AND subject=? AND state=? AND first_at>?",
    ),
    "an overview": (
        lambda view: view.count_states(Activation),
        "COVERING INDEX records_state (kind=?",
    ),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_goes_by_the_index_of_what_it_asks_for(question):
    """And never by the primary key, which would be in order already, through the whole past."""
    ask, index = QUESTIONS[question]
    asked = Asked()
    ask(SqlView(asked, Moment(AT, None, 0, "")))  # type: ignore[arg-type]  # as much as it needs
    assert index in asked.plan
    assert "autoindex" not in asked.plan
    asked.database.close()
