"""A symptom: one thing that is wrong now, in plain words, with the next step."""

from enum import StrEnum

import msgspec

from callpoint.domain.untrusted import printable

_TEXT = 600


class Severity(StrEnum):
    """How soon somebody must act; in the order of a list that is read from the top."""

    URGENT = "urgent"
    """Access may be alive, or nothing can be given in an emergency."""

    WARNING = "warning"
    """Not as it should be: it hurts in the next emergency."""

    NOTICE = "notice"
    """Nothing is wrong, but a person is waited for, or should know it."""


RANK = {severity: place for place, severity in enumerate(Severity)}


class Code(StrEnum):
    """The stable name of a kind of symptom; ``docs/operations/doctor.md`` has a line for each."""

    APPROVED_NOT_ISSUED = "approved-not-issued"
    BROKER_POWERS = "broker-powers"
    CHECK_FAILED = "check-failed"
    CHECKPOINT_DIFFERS = "checkpoint-differs"
    CHECKPOINT_INVALID = "checkpoint-invalid"
    DISK_FULL = "disk-full"
    FEED_SILENT = "feed-silent"
    FEED_STALE = "feed-stale"
    GATEWAY_SILENT = "gateway-silent"
    HOME_DAMAGED = "home-damaged"
    HOME_OPEN = "home-open"
    HOME_UNFINISHED = "home-unfinished"
    INCIDENT_UNCONFIRMED = "incident-unconfirmed"
    KEY_FILE = "key-file"
    LEASE_STUCK = "lease-stuck"
    LEASE_UNATTENDED = "lease-unattended"
    LOG_DOWN = "log-down"
    LOG_UNSTAMPED = "log-unstamped"
    LOG_UNWITNESSED = "log-unwitnessed"
    MACHINE_SKEW = "machine-skew"
    NODE_MEMORY = "node-memory"
    NODE_SKEW = "node-skew"
    OFFLINE_UNTOLD = "offline-untold"
    QUORUM_SHORT = "quorum-short"
    REAPER_MISSING = "reaper-missing"
    REQUEST_OUTDATED = "request-outdated"
    REQUEST_STRANDED = "request-stranded"
    REQUEST_WAITING = "request-waiting"
    REVIEW_LATE = "review-late"
    REVIEW_STRANDED = "review-stranded"
    ROTATION_PENDING = "rotation-pending"
    ROW_SPOILT = "row-spoilt"
    RULES_NOT_FOLLOWED = "rules-not-followed"
    RULES_UNUSABLE = "rules-unusable"
    SERVER_DOWN = "server-down"
    SERVER_REFUSES = "server-refuses"
    SERVER_UNABLE = "server-unable"
    SESSION_PAUSED = "session-paused"
    SIGNALS_BEHIND = "signals-behind"
    SIGNALS_REFUSED = "signals-refused"
    SPOOL_WAITING = "spool-waiting"
    STORE_CLOCK = "store-clock"
    TARGET_NOT_COMPARED = "target-not-compared"
    TARGET_REFUSES = "target-refuses"
    TARGET_SELFTEST = "target-selftest"
    TARGET_SILENT = "target-silent"
    TARGET_SKEW = "target-skew"
    TARGET_UNUSABLE = "target-unusable"
    TOMBSTONE_REFUSED = "tombstone-refused"
    TOMBSTONE_WAITING = "tombstone-waiting"
    TRIAL = "trial"
    WITNESS_AWAY = "witness-away"
    WITNESS_CONTRADICTS = "witness-contradicts"


class Symptom(msgspec.Struct, frozen=True):
    """One thing that is wrong.

    Attributes:
        code: Its kind, for scripts and for the page that explains it.
        about: What it is about: a target, an activation, an account, a file; may be empty.
        text: What is wrong, in one sentence, without secrets.
        next_step: What to do; a command stands in backticks.
        activation: The activation that it concerns: who may not view that is not told about it.
    """

    severity: Severity
    code: Code
    about: str
    text: str
    next_step: str
    activation: str = ""


def symptom(
    severity: Severity,
    code: Code,
    about: str,
    text: str,
    next_step: str,
    *,
    activation: str = "",
) -> Symptom:
    """A symptom whose words may quote what strangers and targets said (I14)."""
    return Symptom(
        severity=severity,
        code=code,
        about=printable(about),
        text=printable(text, _TEXT),
        next_step=printable(next_step, _TEXT),
        activation=activation,
    )


def ranked(found: "list[Symptom] | tuple[Symptom, ...]") -> tuple[Symptom, ...]:
    """The worst first, each once; of one severity by kind and name."""
    return tuple(sorted(set(found), key=lambda s: (RANK[s.severity], s.code, s.about, s.text)))


def is_sound(found: "tuple[Symptom, ...]") -> bool:
    """Nothing is wrong: at most somebody is waited for."""
    return all(s.severity is Severity.NOTICE for s in found)
