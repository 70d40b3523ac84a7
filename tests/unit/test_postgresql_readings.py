"""What the connector reads out of codes, snapshots, access rules and heartbeats."""

from datetime import timedelta

import asyncpg
import pytest

from callpoint.adapters.targets.postgresql.attempt import door_of, read
from callpoint.adapters.targets.postgresql.persistence import collect, difference
from callpoint.adapters.targets.postgresql.selftest_functions import (
    read_access_rules,
    reaper_residual,
)
from callpoint.adapters.targets.postgresql.server import translated, unanswered
from callpoint.domain.errors import TargetRefusedError, TargetUnknownError
from callpoint.ports.targets import Attempt, Persistence


@pytest.mark.parametrize(
    "sqlstate,routine,attempt",
    [
        ("28P01", "auth_failed", Attempt.REFUSED),
        ("28000", "InitializeSessionUserId", Attempt.REFUSED),
        ("28000", "auth_failed", Attempt.REFUSED),
        ("28000", "ClientAuthentication", Attempt.UNKNOWN),
        ("53300", "InitializeSessionUserId", Attempt.ACCEPTED),
        ("53300", "InitProcess", Attempt.UNKNOWN),
        ("53300", "InitPostgres", Attempt.ACCEPTED),
        ("42501", "CheckMyDatabase", Attempt.ACCEPTED),
        ("57P03", "", Attempt.UNKNOWN),
        ("08P01", "", Attempt.UNKNOWN),
        ("", "", Attempt.UNKNOWN),
    ],
)
def test_a_login_is_read_by_its_code(sqlstate, routine, attempt):
    """Only what comes after the secret was checked says something about it."""
    assert read(sqlstate, routine).attempt is attempt


@pytest.mark.parametrize(
    "sqlstate,unknown",
    [("08006", True), ("57P01", True), ("57P03", True), ("40003", True), ("57014", False)]
    + [(code, False) for code in ("42501", "2BP01", "55P03", "53300", "XX000")],
)
def test_codes_that_leave_it_open_are_told_apart(sqlstate, unknown):
    """A lost or stopping server leaves open what was done; an error rolled it back."""
    assert unanswered(sqlstate) is unknown


@pytest.mark.parametrize(
    "raised,expected",
    [
        (TimeoutError(), TargetUnknownError),
        (ConnectionRefusedError("postgresql://b:hush@h"), TargetUnknownError),
        (asyncpg.InterfaceError("dsn hush"), TargetUnknownError),
        (asyncpg.PostgresError("no code"), TargetUnknownError),
    ],
)
def test_what_the_driver_raises_is_translated(raised, expected):
    """Everything without an answer is "unknown", and the driver's words are not repeated."""
    with pytest.raises(expected) as caught, translated("orders-db", "primary"):
        raise raised
    assert "hush" not in str(caught.value)
    assert caught.value.target == "orders-db"


def test_an_answer_is_a_refusal_with_its_code():
    """An SQLSTATE becomes a refusal that carries it and is printable."""
    error = asyncpg.InsufficientPrivilegeError("no\x1b[31m way")
    with pytest.raises(TargetRefusedError) as caught, translated("orders-db", "standby"):
        raise error
    assert caught.value.code == "42501"
    assert "\x1b" not in str(caught.value)
    assert "standby" in str(caught.value)


def test_only_what_is_new_is_found():
    """What was there before is not reported; what names the account says so."""
    before, _ = collect([_row("role", "a")], {"orders": [_row("trigger", "t")]})
    rows = [_row("role", "a"), _row("role", "b\n"), _row("grant", "g", concerns=True)]
    now, own = collect(rows, {"orders": [_row("trigger", "t"), _row("trigger", "u")]})
    assert difference(now, own, before, ["billing"]) == (
        Persistence("database not examined", "billing"),
        Persistence("grant", "g", "concerns the account"),
        Persistence("role", "b\\n"),
        Persistence("trigger in orders", "u"),
    )


def test_without_a_baseline_only_own_things_are_found():
    """Nothing that could be anybody's is blamed on a use whose start is not known."""
    now, own = collect([_row("role", "a"), _row("grant", "g", concerns=True)], {})
    assert [item.name for item in difference(now, own, None, [])] == ["g"]


def test_a_flood_is_counted_not_listed():
    """A thousand new things of a kind become a hundred names and a number."""
    now, own = collect([_row("grant", f"g{n:04}", concerns=True) for n in range(1000)], {})
    found = difference(now, own, {}, [])
    assert len(found) == 101
    assert found[-1] == Persistence("grant", "and 900 more")


def test_access_rules_that_ask_for_no_secret_fail():
    """A trust line that reaches the accounts is a failed check that names the line."""
    rule = _rule(users=["all"], method="trust")
    check = read_access_rules([rule], ("repair",))
    assert not check.ok
    assert "line 7" in check.detail
    assert read_access_rules([_rule(users=["postgres"], method="trust")], ("repair",)).ok
    assert not read_access_rules([_rule(users=["+repair"], method="peer")], ("repair",)).ok
    assert not read_access_rules([_rule(users=[], method="error: x")], ("repair",)).ok


def test_access_rules_tell_whether_sources_are_restricted():
    """Networks are named when every line has one, and "not restricted" said otherwise."""
    narrow = read_access_rules(
        [_rule(users=["+repair"], address="10.0.0.0 255.0.0.0")], ("repair",)
    )
    assert "restricted to 10.0.0.0" in narrow.detail
    wide = read_access_rules([_rule(users=["all"], address="all")], ("repair",))
    assert "not restricted" in wide.detail


def test_the_residual_is_what_heartbeats_prove():
    """Too few runs or a long silence is unbounded; else the longest silence and a margin."""
    assert reaper_residual(2, timedelta(seconds=60)).bound is None
    assert reaper_residual(0, None).bound is None
    assert reaper_residual(60, timedelta(minutes=16)).bound is None
    assert reaper_residual(60, timedelta(seconds=61)).bound == timedelta(seconds=71)


def test_a_credential_without_a_door_is_refused():
    """A credential that does not say where to connect cannot be tried."""
    with pytest.raises(TargetRefusedError):
        door_of({"host": "h"}, "orders-db")


def _row(kind, name, *, concerns=False):
    return {"kind": kind, "name": name, "concerns": concerns}


def _rule(*, users, address="10.0.0.0 255.0.0.0", method="scram-sha-256"):
    return {"line": 7, "type": "host", "users": users, "address": address, "method": method}
