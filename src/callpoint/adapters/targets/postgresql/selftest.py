"""Onboarding report: can the broker really do its task, what could it do beyond, who ends what?

The decisive check is a round trip: a real account is made, used, refused a wrong password,
disabled, killed, dropped and proven absent. Everything else explains why it would fail, or what
would still be possible.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from callpoint.adapters.targets.postgresql import selftest_createrole, selftest_functions
from callpoint.adapters.targets.postgresql.authority import Authority
from callpoint.adapters.targets.postgresql.round_trip import round_trip
from callpoint.adapters.targets.postgresql.server import Server
from callpoint.adapters.targets.postgresql.settings import EndpointKind, Mode, PostgresqlSettings
from callpoint.domain.errors import TargetError
from callpoint.ports.clock import Clock, Random
from callpoint.ports.targets import Check, Connector, Residual, SelfTest

_OLDEST = 150000
_MOST_SKEW = timedelta(seconds=5)


async def run(
    settings: PostgresqlSettings,
    *,
    connector: Connector,
    authority: Authority,
    primary: Server,
    standbys: tuple[Server, ...],
    clock: Clock,
    random: Random,
    trial: bool = True,
) -> SelfTest:
    """Run every check; one that cannot be made is a failed check, not an exception.

    With ``trial`` also the round trips, which make an account of each minted role.

    Raises:
        TargetUnknownError: The target does not answer at all.
    """
    skew = await connector.skew()
    checks = [_skew(skew), await _version(primary)]
    for name, check in _checks_of(settings.mode):
        checks += [await _guarded(name, check(settings, primary))]
    checks += [await _guarded("prepared transactions", _prepared(primary))]
    for standby in standbys:
        name = f"endpoint {standby.endpoint}"
        checks += [await _guarded(name, _standby(settings, authority, standby))]
    minted = sorted(name for name, role in settings.roles.items() if role.parent)
    for role in minted if trial else ():
        checks += [await round_trip(settings, role, connector, clock, random)]
    return SelfTest(checks=tuple(checks), residual=await residual(settings, primary), skew=skew)


async def residual(settings: PostgresqlSettings, primary: Server) -> Residual:
    """How long a live session can outlast its end when Callpoint is dead, as observed."""
    standbys = [e.name for e in settings.endpoints if e.kind is EndpointKind.STANDBY]
    if standbys:
        return Residual(
            bound=None,
            because=f"nothing but Callpoint ends a live session on {', '.join(standbys)}",
        )
    match settings.mode:
        case Mode.FUNCTIONS:
            return await selftest_functions.residual(settings, primary)
        case Mode.CREATEROLE:
            return selftest_createrole.RESIDUAL


def _checks_of(
    mode: Mode,
) -> tuple[tuple[str, Callable[[PostgresqlSettings, Server], Awaitable[Check]]], ...]:
    match mode:
        case Mode.FUNCTIONS:
            return selftest_functions.CHECKS
        case Mode.CREATEROLE:
            return selftest_createrole.CHECKS


async def _guarded(name: str, check: Awaitable[Check]) -> Check:
    """A check that cannot be made is a failed check, not an exception."""
    try:
        return await check
    except TargetError as error:
        return Check(name=name, ok=False, detail=error.message, way_out=error.way_out)


# ---------------------------------------------------------------------- single checks


def _skew(skew: timedelta) -> Check:
    return Check(
        name="clock",
        ok=abs(skew) <= _MOST_SKEW,
        detail=f"{skew.total_seconds():+.3f} s against ours",
        way_out="synchronise both clocks (NTP); until then nothing is issued",
    )


async def _version(primary: Server) -> Check:
    number = int(await primary.value("SHOW server_version_num"))
    return Check(
        name="version",
        ok=number >= _OLDEST,
        detail=f"PostgreSQL {number // 10000}.{number % 10000}",
        way_out="PostgreSQL 15 is the oldest that is supported",
    )


async def _prepared(primary: Server) -> Check:
    most = int(await primary.value("SHOW max_prepared_transactions"))
    return Check(
        name="prepared transactions",
        ok=True,
        detail=f"possible ({most}); an account's are rolled back at its end" if most else "off",
    )


async def _standby(settings: PostgresqlSettings, authority: Authority, standby: Server) -> Check:
    trial = f"{settings.account_prefix}selftest"
    behind = await standby.value("SELECT pg_catalog.pg_is_in_recovery()")
    await authority.terminate(trial, standby)
    return Check(
        name=f"endpoint {standby.endpoint}",
        ok=bool(behind),
        detail="a standby; sessions can be ended there" if behind else "is not a standby",
        way_out="declare as standby only a server in recovery of the same cluster",
    )
