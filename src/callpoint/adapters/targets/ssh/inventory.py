"""Accounts of a host for the inventory: its unix accounts, and our certificates on them. Pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from callpoint.domain.untrusted import printable
from callpoint.host.wire import name_of
from callpoint.ports.inventory import UNKNOWN, Account, Moment


def accounts_of(
    unix: Iterable[Mapping[str, Any]], entries: Iterable[Mapping[str, Any]]
) -> tuple[Account, ...]:
    """Both kinds in the words of the port."""
    return (*map(_unix, unix), *map(_ours, entries))


def _unix(row: Mapping[str, Any]) -> Account:
    password, keys = row.get("password"), int(row.get("keys", 0))
    secrets = keys > 0 or password
    changed = [moment for key in ("keys_changed", "password_changed") if (moment := row.get(key))]
    return Account(
        name=printable(str(row.get("name", ""))),
        # With a shell, a key or a password lets in; whether sshd takes passwords is its own affair.
        can_log_in=None if password is None else bool(row.get("shell")) and bool(secrets),
        powers=tuple(printable(str(power)) for power in row.get("powers", ())),
        secret_changed=_moment(max(changed)) if changed else UNKNOWN,
        expires=UNKNOWN,
        last_used=_last_used(row.get("last_login")),
    )


def _ours(row: Mapping[str, Any]) -> Account:
    return Account(
        name=name_of(str(row["handle"])),
        handle=str(row["handle"]),
        can_log_in=bool(row["enabled"]),
        expires=_moment(row["not_after"]),
        sessions=int(row["sessions"]),
    )


def _last_used(at: object) -> Moment:
    # sshd writes lastlog for a login at a terminal only, so an empty entry is no "never".
    return UNKNOWN if at == 0 else _moment(at)


def _moment(at: object) -> Moment:
    if not isinstance(at, int | float):
        return UNKNOWN
    return Moment(known=True, at=datetime.fromtimestamp(at, tz=UTC))
