"""The selftest's trial: a real account's whole life, each step checked, nothing left behind."""

from datetime import timedelta

import msgspec

from callpoint.adapters.targets.postgresql.settings import PostgresqlSettings
from callpoint.domain.errors import TargetError
from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.clock import Clock, Random
from callpoint.ports.targets import Attempt, Check, Connector, Credential, MintRequest

# Long enough for a slow target; the target itself ends it if we die on the way.
_LIFETIME = timedelta(minutes=2)
_IDENT = 12
# A standby that replays a moment later is no failure; one that never does is.
_REPLAY_LIMIT = timedelta(seconds=5)
_REPLAY_PAUSE = timedelta(milliseconds=100)


async def round_trip(
    settings: PostgresqlSettings,
    role: str,
    connector: Connector,
    clock: Clock,
    random: Random,
) -> Check:
    """Make an account of ``role``, use it, end it; the check names the first step that failed."""
    plan = connector.plan(
        MintRequest(
            handle=settings.installation + random.ident(_IDENT),
            target=settings.name,
            role=role,
            not_after=clock.now() + _LIFETIME,
        )
    )
    try:
        try:
            failed = await _first_failure(connector, plan, clock)
        finally:
            await connector.revoke(plan)
    except TargetError as error:
        return Check(f"round trip of {role}", ok=False, detail=error.message, way_out=error.way_out)
    return Check(
        name=f"round trip of {role}",
        ok=not failed,
        detail=failed or "made, used, refused a wrong secret, disabled, dropped, proven absent",
        way_out="see docs/connectors/postgresql.md, section Selftest",
    )


async def _first_failure(connector: Connector, plan: UndoPlan, clock: Clock) -> str:
    credential = (await connector.issue(plan)).credential
    used = await connector.probe(plan, credential)
    if used.attempt is not Attempt.ACCEPTED:
        return (
            f"the new account cannot log in from here ({used.code or 'no answer'}): nothing could "
            "ever be proven dead; let the broker's host in as well, in pg_hba.conf"
        )
    wrong = await connector.probe(plan, _with_wrong_secret(credential))
    if wrong.attempt is not Attempt.REFUSED:
        return f"a wrong secret is {wrong.attempt.value}: the target does not ask for it"
    await connector.disable(plan)
    disabled = await connector.probe(plan, credential)
    if disabled.attempt is not Attempt.REFUSED:
        return f"after disabling, the secret is {disabled.attempt.value} ({disabled.code})"
    if alive := await connector.kill_sessions(plan):
        return f"{alive} sessions do not end"
    await connector.revoke(plan)
    deadline = clock.monotonic() + _REPLAY_LIMIT.total_seconds()
    while not (absence := await connector.verify_absent(plan, credential)).dead:
        if clock.monotonic() >= deadline:
            return f"after revoking it is not proven dead: {absence}"
        await clock.sleep(_REPLAY_PAUSE)
    return ""


def _with_wrong_secret(credential: Credential) -> Credential:
    return msgspec.structs.replace(credential, secret=credential.secret[::-1] + "x")
