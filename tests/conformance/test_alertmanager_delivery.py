"""A delivery that a real Alertmanager 0.25 sent."""

from datetime import UTC, datetime

import structlog

from callpoint.adapters.incidents.alertmanager import AlertmanagerFeed
from callpoint.domain.configuration import IncidentSource
from callpoint.domain.eligibility import Severity
from callpoint.ports.incidents import Report
from tests.conformance.vectors import vectors_or_skip


def test_a_recorded_delivery_is_understood():
    """The recorded alert about the payments database is the incident that it should be."""
    body = (vectors_or_skip("webhooks") / "alertmanager-0.25-real.json").read_bytes()
    source = IncidentSource(
        id="prod",
        kind="alertmanager",
        token_sha256="0" * 64,
        severity={"critical": Severity.SEV1},
        targets={"payments": ("payments-db",)},
    )
    assert AlertmanagerFeed(structlog.get_logger()).parse(source, body) == (
        Report(
            id="prod-ec4cc1537c8f7de4",
            firing=True,
            severity=Severity.SEV1,
            targets=("payments-db",),
            started_at=datetime(2026, 11, 24, 3, 24, 50, 350218, tzinfo=UTC),
            title="payments primary unreachable",
        ),
    )
