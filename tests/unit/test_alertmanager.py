"""Alertmanager's deliveries: read strictly, mapped by the configured source alone."""

import hashlib
import json
from datetime import UTC, datetime

import msgspec
import pytest
import structlog
from structlog.testing import CapturingLogger

from callpoint.adapters.incidents.alertmanager import MAX_ALERTS, MAX_BODY, AlertmanagerFeed
from callpoint.adapters.incidents.tokens import authenticate_source
from callpoint.domain.configuration import IncidentSource
from callpoint.domain.eligibility import Severity
from callpoint.domain.errors import AuthenticationError, RequestError
from tests.fakes.signing import configuration_of

TOKEN = "n2dR6fDkq1"
SOURCE = IncidentSource(
    id="am",
    kind="alertmanager",
    token_sha256=hashlib.sha256(TOKEN.encode()).hexdigest(),
    severity={"critical": Severity.SEV1, "warning": Severity.SEV3},
    targets={"payments": ("payments-db", "payments-cache")},
)


def alert(**changed):
    return {
        "status": "firing",
        "labels": {"alertname": "DbDown", "service": "payments", "severity": "critical"},
        "annotations": {"summary": "primary unreachable"},
        "startsAt": "2026-11-24T03:24:50.35021758Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": "ec4cc1537c8f7de4",
    } | changed


def delivery(*alerts, **changed):
    return json.dumps({"version": "4", "status": "firing", "alerts": alerts} | changed).encode()


class Feed(AlertmanagerFeed):
    """The feed, with a log that can be read."""

    def __init__(self):
        self.log = CapturingLogger()
        super().__init__(structlog.wrap_logger(self.log, processors=[]))

    def one(self, **changed):
        (report,) = self.parse(SOURCE, delivery(alert(**changed)))
        return report


def test_a_firing_alert_is_an_incident_of_its_source():
    """Id, severity, targets, start and title come out as the source maps them."""
    report = Feed().one()
    assert report.id == "am-ec4cc1537c8f7de4"
    assert report.firing
    assert report.severity is Severity.SEV1
    assert report.targets == ("payments-db", "payments-cache")
    assert report.started_at == datetime(2026, 11, 24, 3, 24, 50, 350218, tzinfo=UTC)
    assert report.title == "primary unreachable"


def test_a_resolved_alert_is_over():
    """A resolved alert keeps its id and is not firing."""
    report = Feed().one(status="resolved", endsAt="2026-11-24T04:00:00Z")
    assert report.id == "am-ec4cc1537c8f7de4"
    assert not report.firing


@pytest.mark.parametrize("labels", [{}, {"severity": "CRITICAL", "service": "Payments"}])
def test_words_that_are_not_mapped_open_little(labels):
    """An unmapped or missing severity is the least, an unmapped or missing service no target."""
    report = Feed().one(labels=labels)
    assert report.severity is Severity.SEV4
    assert report.targets == ()


def test_the_source_names_its_labels():
    """Severity and service are read from the labels that the source configures, and no others."""
    source = msgspec.structs.replace(SOURCE, severity_label="prio", target_label="app")
    labels = {"prio": "warning", "app": "payments", "severity": "critical", "service": "x"}
    (report,) = Feed().parse(source, delivery(alert(labels=labels)))
    assert report.severity is Severity.SEV3
    assert report.targets == ("payments-db", "payments-cache")


def test_a_title_is_made_fit_to_show():
    """Control characters are escaped, 200 characters kept; without a summary it is the name."""
    assert Feed().one(annotations={"summary": "\x1b[31m\nx\u202e"}).title == "\\x1b[31m\\nx\\u202e"
    assert len(Feed().one(annotations={"summary": "x" * 10_000}).title) == 200
    assert Feed().one(annotations={}).title == "DbDown"
    assert Feed().one(annotations={}, labels={}).title == ""


@pytest.mark.parametrize(
    "starts_at,moment",
    [
        ("2026-11-24T03:24:50Z", datetime(2026, 11, 24, 3, 24, 50, tzinfo=UTC)),
        ("2026-11-24T04:24:50.1+01:00", datetime(2026, 11, 24, 3, 24, 50, 100000, tzinfo=UTC)),
        ("2026-11-24T03:24:50.123456789Z", datetime(2026, 11, 24, 3, 24, 50, 123457, tzinfo=UTC)),
    ],
)
def test_starts_are_utc_in_microseconds(starts_at, moment):
    """Offsets are converted, nanoseconds are rounded to microseconds."""
    started_at = Feed().one(startsAt=starts_at).started_at
    assert started_at == moment
    assert started_at.tzinfo is UTC


def test_added_members_do_not_matter():
    """Members that we do not know, on both levels, are passed over."""
    body = delivery(alert(newMember={"a": [1, None]}), another=[True], groupKey="{}:{}")
    assert len(Feed().parse(SOURCE, body)) == 1


def test_a_delivery_without_alerts_is_empty():
    """No alerts, no reports."""
    assert Feed().parse(SOURCE, delivery()) == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "suppressed"},
        {"status": None},
        {"labels": None},
        {"labels": {"severity": 1}},
        {"annotations": ["x"]},
        {"startsAt": "yesterday"},
        {"startsAt": "2026-11-24T03:24:50"},
        {"startsAt": "0001-01-01T00:00:00+14:00"},
        {"startsAt": 1764000000},
        {"fingerprint": ""},
        {"fingerprint": "EC4CC1537C8F7DE4"},
        {"fingerprint": "ec4cc1537c8f7de4x"},
        {"fingerprint": "ec4cc1537c8f7de4\n"},
        {"fingerprint": "../../../x/y/z/0"},
    ],
)
def test_an_alert_of_another_shape_is_refused(changed):
    """One alert that is not what we rely on, and nothing of the delivery is used."""
    with pytest.raises(RequestError):
        Feed().parse(SOURCE, delivery(alert(fingerprint="0" * 16), alert(**changed)))


@pytest.mark.parametrize("missing", ["status", "labels", "startsAt", "fingerprint"])
def test_an_alert_without_what_we_use_is_refused(missing):
    """Each member that we use must be there."""
    cut = {name: value for name, value in alert().items() if name != missing}
    with pytest.raises(RequestError, match="version 4"):
        Feed().parse(SOURCE, delivery(cut))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        delivery(version="3"),
        delivery(version=4),
        delivery(alerts=None),
        delivery(truncatedAlerts=-1),
        b'{"version":"4","alerts":[],"deep":' + b"[" * 500_000,
        b'{"version":"4","alerts":[],"deep":' + b"[" * 400_000 + b"]" * 400_000 + b"}",
    ],
)
def test_another_delivery_is_refused(body):
    """What is no delivery of version 4, or nested without end, is refused with our error."""
    with pytest.raises(RequestError):
        Feed().parse(SOURCE, body)


def test_the_size_of_a_delivery_is_limited():
    """A mebibyte and 500 alerts are read; one more of either is refused."""
    alerts = [alert(fingerprint=f"{number:016x}") for number in range(MAX_ALERTS)]
    assert len(Feed().parse(SOURCE, delivery(*alerts))) == MAX_ALERTS
    with pytest.raises(RequestError):
        Feed().parse(SOURCE, delivery(*alerts, alert(fingerprint="f" * 16)))
    full = delivery().ljust(MAX_BODY)
    assert Feed().parse(SOURCE, full) == ()
    with pytest.raises(RequestError, match="at most"):
        Feed().parse(SOURCE, full + b" ")


def test_an_alert_that_is_named_twice_is_refused():
    """Firing and resolved in one delivery: which one counts would be a guess."""
    with pytest.raises(RequestError, match="twice"):
        Feed().parse(SOURCE, delivery(alert(), alert(status="resolved")))


def test_alerts_that_were_left_out_are_logged():
    """A delivery that Alertmanager cut is used, and the log says how to stop the cutting."""
    feed = Feed()
    assert len(feed.parse(SOURCE, delivery(alert(), truncatedAlerts=3))) == 1
    (call,) = feed.log.calls
    assert call.method_name == "warning"
    assert call.kwargs["left_out"] == 3
    assert "max_alerts" in call.kwargs["way_out"]


def configuration(**changed):
    return msgspec.structs.replace(
        configuration_of(), sources={"am": msgspec.structs.replace(SOURCE, **changed)}
    )


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_source_proves_itself_by_its_token(scheme):
    """The right token in a bearer field gives the source."""
    assert authenticate_source(configuration(), "am", f"{scheme} {TOKEN}") == SOURCE
    upper = configuration(token_sha256=SOURCE.token_sha256.upper())
    assert authenticate_source(upper, "am", f"{scheme} {TOKEN}").id == "am"


@pytest.mark.parametrize(
    "source,authorization",
    [
        ("am", None),
        ("am", ""),
        ("am", "Bearer"),
        ("am", "Bearer "),
        ("am", TOKEN),
        ("am", f"Basic {TOKEN}"),
        ("am", f"Bearer {TOKEN}x"),
        ("am", f"Bearer {TOKEN[:-1]}"),
        ("am", f"Bearer {SOURCE.token_sha256}"),
        ("am", "Bearer \ud800"),
        ("am", f"Bearer {'x' * 10_000}"),
        ("other", f"Bearer {TOKEN}"),
    ],
)
def test_who_does_not_prove_it_learns_nothing(source, authorization):
    """Wrong, missing or malformed token and unknown source: one and the same answer."""
    with pytest.raises(AuthenticationError) as refusal:
        authenticate_source(configuration(), source, authorization)
    assert refusal.value.message == "no incident source of that name has this token"


@pytest.mark.parametrize("configured", ["", "0" * 64, "ü" * 64, hashlib.sha256(b"").hexdigest()])
def test_a_configured_value_that_is_no_hash_opens_nothing(configured):
    """An empty or wrong token_sha256, or that of the empty token, never matches."""
    for authorization in (None, "Bearer ", f"Bearer {TOKEN}"):
        with pytest.raises(AuthenticationError):
            authenticate_source(configuration(token_sha256=configured), "am", authorization)
