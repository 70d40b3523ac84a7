"""Which accounts exist on the targets, ours and others', and what is wrong with them (R14).

Every target is asked at once and within a time limit: a dead one holds up no other, and is told
as not answered, never as empty. Nothing is changed, here or there.
"""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from callpoint.domain.configuration import Configuration, KnownAccount, Target
from callpoint.domain.decision import Action
from callpoint.domain.errors import TargetError
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.lease_kind import LeaseKind
from callpoint.domain.static_secret import StaticSecret
from callpoint.domain.untrusted import printable
from callpoint.lifecycle import facts
from callpoint.lifecycle.services import Services
from callpoint.ports.identity import Caller
from callpoint.ports.inventory import Account, Moment
from callpoint.ports.stores import View, Where
from callpoint.ports.targets import CALL_LIMIT, Connector

LOOK_LIMIT = CALL_LIMIT + timedelta(seconds=2)
STALE_AFTER = timedelta(days=90)
"""A secret that is older, or an account that was not used for so long, is a finding."""

LISTED = 2_000
"""Accounts of one target in an answer, those with findings first."""

_OPEN = (LeaseState.PLANNED, LeaseState.LIVE, LeaseState.ENDING)
_ALL = 1_000_000


class Kind(StrEnum):
    """What an account is to us."""

    LEASE = "lease"
    LEFTOVER = "leftover"
    CHECKED_OUT = "checked-out"
    BROKER = "broker"
    OTHER = "other"


class Fault(StrEnum):
    """What is wrong with an account. What is unknown is no fault: it is told as unknown."""

    CHANGED = "changed"
    LEFTOVER = "leftover"
    PRIVILEGED = "privileged"
    UNOWNED = "unowned"
    UNROTATED = "unrotated"
    UNUSED = "unused"
    USED_UNLEASED = "used-unleased"


class Seen(msgspec.Struct, frozen=True):
    """One account.

    Attributes:
        kind: What it is to us.
        faults: What is wrong, sorted.
        lease: The open lease that explains it, or empty.
        owner: ``group:NAME`` that answers for it by the configuration, or empty.
        purpose: What it is for by the configuration.
    """

    account: Account
    kind: Kind
    faults: tuple[Fault, ...] = ()
    lease: str = ""
    owner: str = ""
    purpose: str = ""


class TargetPosture(msgspec.Struct, frozen=True):
    """One target.

    Attributes:
        answered: False: nothing is known of its accounts, and ``why`` says why.
        left_off: Accounts beyond ``LISTED``.
    """

    target: str
    environment: str
    answered: bool
    why: str = ""
    accounts: tuple[Seen, ...] = ()
    left_off: int = 0


class Posture(msgspec.Struct, frozen=True):
    """All targets that were asked for, by name."""

    installation: str
    now: datetime
    targets: tuple[TargetPosture, ...]


class _Book(msgspec.Struct, frozen=True):
    """What is written of one target: in the store, and in the configuration.

    Attributes:
        leases: Open leases, by account.
        secrets: Of checked-out accounts, by account.
        listed: Accounts that roles check out.
        known: Accounts that somebody answers for.
    """

    leases: Mapping[str, str]
    secrets: Mapping[str, StaticSecret]
    listed: frozenset[str]
    known: Mapping[str, KnownAccount]
    now: datetime


async def posture(
    services: Services,
    caller: Caller,
    unusable: Mapping[str, str],
    *,
    target: str = "",
    within: timedelta = LOOK_LIMIT,
) -> Posture:
    """Ask the targets, or one of them.

    Args:
        services: The ports and rules.
        caller: Who asks; needs the auditor's right.
        unusable: Configured targets without a connector here, and why.
        target: Only this one.
        within: How long each may take.

    Raises:
        DeniedError: The caller may not read the log, so neither this.
        NotFoundError: No such target is configured.
    """
    rules = await services.rules.current()
    now = await services.store.read(lambda view: view.now())
    who = facts.actor(caller, rules.configuration)
    await services.pep.enforce(rules, [facts.plain_question(Action.LOG_READ, who, now)])
    configuration = rules.configuration
    names = [configuration.target(target).id] if target else sorted(configuration.targets)
    found = await asyncio.gather(
        *(_one(services, configuration, name, unusable.get(name, ""), within) for name in names)
    )
    return Posture(installation=services.installation.id, now=now, targets=tuple(found))


async def _one(
    services: Services, configuration: Configuration, name: str, why: str, within: timedelta
) -> TargetPosture:
    environment = configuration.target(name).environment
    port = services.targets.get(name)
    if port is None:
        return TargetPosture(name, environment, answered=False, why=why or "no connector runs here")
    # The target is read first: a lease is planned before its account exists, so what is there is
    # explained by leases that are read after it.
    accounts, why = await _ask(port, within)
    if accounts is None:
        return TargetPosture(name, environment, answered=False, why=why)
    target = configuration.target(name)
    book = await services.store.read(lambda view: _book(view, target))
    rows = [_seen(account, book) for account in accounts]
    rows.sort(key=lambda row: (not row.faults, row.account.name))
    return TargetPosture(
        target=name,
        environment=environment,
        answered=True,
        accounts=tuple(rows[:LISTED]),
        left_off=max(0, len(rows) - LISTED),
    )


async def _ask(port: Connector, within: timedelta) -> tuple[tuple[Account, ...] | None, str]:
    try:
        async with asyncio.timeout(within.total_seconds()):
            return await port.inventory(), ""
    except TargetError as error:
        return None, printable(error.message)
    except TimeoutError:
        return None, f"it did not answer within {within.total_seconds():.0f} s"
    except Exception as error:  # noqa: BLE001 -- a defect of one connector must not hide the others
        return None, f"its connector failed: {type(error).__name__}"


def _book(view: View, target: Target) -> _Book:
    # A spoilt row explains nothing: its account counts as left over, as reconciliation sees it.
    leases = view.select(
        Lease, Where(states=_OPEN, subject=target.id, limit=_ALL, skip_spoilt=True)
    )
    secrets = view.select(StaticSecret, Where(subject=target.id, limit=_ALL, skip_spoilt=True))
    return _Book(
        leases={lease.plan.account: lease.id for lease in leases},
        secrets={row.account: row for row in secrets},
        listed=frozenset(
            role.settings.get("account", "")
            for role in target.roles
            if role.settings.get("kind") == LeaseKind.CHECKED_OUT
        ),
        known=target.known_accounts,
        now=view.now(),
    )


def _seen(account: Account, book: _Book) -> Seen:
    """One account beside what is written of it."""
    lease = book.leases.get(account.name, "")
    kept = book.secrets.get(account.name)
    if kept is not None and kept.changed_at is not None:
        # We changed it ourselves and saw it in force; many targets do not keep that.
        changed = Moment(known=True, at=kept.changed_at)
        account = msgspec.structs.replace(account, secret_changed=changed)
    named = book.known.get(account.name)
    kind = _kind(account, book)
    owner = named.owner if named else ""
    found = set(_faults(account, kind, book.now, is_out=bool(lease), owner=owner))
    if kept is not None and kept.is_changed:
        found.add(Fault.CHANGED)
    return Seen(
        account=account,
        kind=kind,
        faults=tuple(sorted(found)),
        lease=lease,
        owner=owner,
        purpose=named.purpose if named else "",
    )


def _kind(account: Account, book: _Book) -> Kind:
    if account.name in book.listed:
        return Kind.CHECKED_OUT
    if account.handle:
        return Kind.LEASE if account.name in book.leases else Kind.LEFTOVER
    return Kind.BROKER if account.is_broker else Kind.OTHER


def _faults(
    account: Account, kind: Kind, now: datetime, *, is_out: bool, owner: str
) -> Iterator[Fault]:
    """What is wrong with it, by what is known."""
    is_open = account.can_log_in is not False
    if kind is Kind.LEFTOVER:
        yield Fault.LEFTOVER
    if account.powers and not owner:
        yield Fault.PRIVILEGED
    if kind is Kind.OTHER and not owner and (is_open or account.powers):
        yield Fault.UNOWNED
    if kind is Kind.CHECKED_OUT and not is_out and account.sessions:
        yield Fault.USED_UNLEASED
    if kind not in (Kind.LEASE, Kind.LEFTOVER) and is_open:
        if _is_stale(account.secret_changed, now):
            yield Fault.UNROTATED
        if kind is Kind.OTHER and _is_stale(account.last_used, now):
            yield Fault.UNUSED


def _is_stale(moment: Moment, now: datetime) -> bool:
    """Never, or long ago; what is not known is neither."""
    return moment.known and (moment.at is None or now - moment.at > STALE_AFTER)
