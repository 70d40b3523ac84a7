"""Prometheus Alertmanager's webhook, version 4.

Strict on the members that we use, blind to all others: Alertmanager adds some from time to time.
What the words mean comes from the configured source alone:

* severity: a word that is not mapped, or none at all, counts as ``sev4``, the least. An alert that
  nobody thought of then opens little, and never everything.
* service: a word that is not mapped, or none at all, names no target. An eligibility with
  ``must_name_target`` is not opened by it.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec
import structlog

from callpoint.domain.configuration import IncidentSource
from callpoint.domain.eligibility import Severity
from callpoint.domain.errors import RequestError
from callpoint.domain.untrusted import printable
from callpoint.ports.incidents import Report

MAX_BODY: Final = 1 << 20
MAX_ALERTS: Final = 500
"""Of one delivery; Alertmanager groups, and a group of more is a mistake in its grouping."""

_LEAST: Final = Severity.SEV4
_Fingerprint = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$", max_length=16)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _Alert(msgspec.Struct, frozen=True, rename="camel"):
    """The members of an alert that we use."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    starts_at: _Moment  # nanoseconds are rounded to microseconds by the parser
    fingerprint: _Fingerprint
    annotations: dict[str, str] = {}


class _Delivery(msgspec.Struct, frozen=True, rename="camel"):
    """The members of a delivery that we use."""

    version: Literal["4"]
    alerts: Annotated[tuple[_Alert, ...], msgspec.Meta(max_length=MAX_ALERTS)]
    truncated_alerts: Annotated[int, msgspec.Meta(ge=0)] = 0


class AlertmanagerFeed:
    """Implements ``ports.incidents.IncidentFeed``.

    Args:
        logger: Told when Alertmanager left alerts out of a delivery.
    """

    def __init__(self, logger: structlog.typing.FilteringBoundLogger) -> None:
        self._logger = logger

    @property
    def kind(self) -> str:
        return "alertmanager"

    def parse(self, source: IncidentSource, body: bytes) -> tuple[Report, ...]:
        """See the port. Times that cannot be said in UTC are refused too."""
        delivery = _parse_delivery(body)
        reports = tuple(_report(source, alert) for alert in delivery.alerts)
        if len({report.id for report in reports}) != len(reports):
            raise RequestError("a delivery names the same alert twice: which one counts is unclear")
        if delivery.truncated_alerts:
            # Refusing would lose the others too: Alertmanager does not retry after a 4xx.
            self._logger.warning(
                "alertmanager_truncated",
                source=source.id,
                left_out=delivery.truncated_alerts,
                way_out="set max_alerts: 0 in the receiver",
            )
        return reports


def _parse_delivery(body: bytes) -> _Delivery:
    if len(body) > MAX_BODY:
        raise RequestError(f"a delivery has at most {MAX_BODY} bytes; this one has {len(body)}")
    try:
        return msgspec.json.decode(body, type=_Delivery)
    except RecursionError as error:  # an unknown member, nested without end
        raise RequestError("a delivery nested so deeply is none of Alertmanager's") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(
            f"this is no Alertmanager webhook delivery of version 4: {printable(str(error))}",
            way_out="point a webhook_configs receiver of Alertmanager 0.16 or later here",
        ) from error


def _report(source: IncidentSource, alert: _Alert) -> Report:
    title = alert.annotations.get("summary") or alert.labels.get("alertname", "")
    severity = alert.labels.get(source.severity_label, "")
    service = alert.labels.get(source.target_label, "")
    try:
        started_at = alert.starts_at.astimezone(UTC)
    except OverflowError as error:
        raise RequestError("an alert starts outside of all time") from error
    return Report(
        id=f"{source.id}-{alert.fingerprint}",
        firing=alert.status == "firing",
        severity=source.severity.get(severity, _LEAST),
        targets=source.targets.get(service, ()),
        started_at=started_at,
        title=printable(title),
    )
