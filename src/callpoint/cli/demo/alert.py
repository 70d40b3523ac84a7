"""An alert: what Alertmanager would post when a part of the shop is in trouble."""

from datetime import UTC, datetime

import httpx

from callpoint.cli.demo import cast
from callpoint.cli.demo.errors import expect


def alert(server: str, name: str, fingerprint: str, service: str = "orders") -> str:
    """Fire it; returns the incident that it opened."""
    labels = {"alertname": name, "service": service, "severity": "critical"}
    now = datetime.now(UTC).isoformat()  # noqa: TID251 -- an alert carries the time of its sender
    delivery = {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{name}"}}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "callpoint",
        "groupLabels": {"alertname": name},
        "commonLabels": labels,
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "alerts": [
            {
                "status": "firing",
                "labels": labels,
                "annotations": {"summary": "orders are stuck"},
                "startsAt": now,
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://prometheus.example",
                "fingerprint": fingerprint,
            }
        ],
    }
    answer = httpx.post(
        f"{server}/v1/webhooks/alertmanager",
        json=delivery,
        headers={"authorization": f"Bearer {cast.WEBHOOK_TOKEN}"},
        trust_env=False,
    )
    expect(answer.is_success, f"the alert is accepted: {answer.text}")
    opened: list[str] = answer.json()["incidents"]
    expect(len(opened) == 1, "one alert opens one incident")
    return opened[0]
