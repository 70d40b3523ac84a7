"""The selftest's trial: a real certificate's whole life, each step checked, nothing left behind."""

from datetime import timedelta

import asyncssh
import msgspec

from callpoint.adapters.targets.ssh import keys
from callpoint.adapters.targets.ssh.door import Door, connected
from callpoint.adapters.targets.ssh.settings import SshSettings
from callpoint.domain.errors import TargetError
from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.clock import Clock, Random
from callpoint.ports.targets import Attempt, Check, Connector, Credential, MintRequest

# Long enough for a slow host; the host itself ends it if we die on the way.
_LIFETIME = timedelta(minutes=2)
_IDENT = 12


async def round_trip(
    settings: SshSettings, role: str, connector: Connector, clock: Clock, random: Random
) -> Check:
    """Make a certificate of ``role``, use it, end it; names the first step that failed."""
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
            failed = await _first_failure(settings, connector, plan, random)
        finally:
            await connector.revoke(plan)
    except TargetError as error:
        return Check(f"round trip of {role}", ok=False, detail=error.message, way_out=error.way_out)
    return Check(
        name=f"round trip of {role}",
        ok=not failed,
        detail=failed
        or "made, used, refused for a stranger's CA, disabled, revoked, proven absent",
        way_out="see docs/connectors/ssh.md, section Selftest",
    )


async def _first_failure(
    settings: SshSettings, connector: Connector, plan: UndoPlan, random: Random
) -> str:
    credential = (await connector.issue(plan)).credential
    used = await connector.probe(plan, credential)
    if used.attempt is not Attempt.ACCEPTED:
        return (
            f"the new certificate does not let in from here ({used.code or 'no answer'}): nothing "
            "could ever be proven dead; see that the account exists and AllowUsers has it"
        )
    forged = await connector.probe(plan, _forged(plan, credential, random))
    if forged.attempt is not Attempt.REFUSED:
        return f"a stranger's certificate of the same name is {forged.attempt.value}"
    if leak := await _leak(settings, plan, credential):
        return leak
    await connector.disable(plan)
    disabled = await connector.probe(plan, credential)
    if disabled.attempt is not Attempt.REFUSED:
        return f"after disabling, the certificate is {disabled.attempt.value} ({disabled.code})"
    if alive := await connector.kill_sessions(plan):
        return f"{alive} sessions do not end"
    await connector.revoke(plan)
    absence = await connector.verify_absent(plan, credential)
    return "" if absence.dead else f"after revoking it is not proven dead: {absence}"


def _forged(plan: UndoPlan, credential: Credential, random: Random) -> Credential:
    """The same certificate in all but its CA."""
    ca = asyncssh.import_private_key(keys.new_private(random.token(keys.SEED_SIZE)))
    private = keys.new_private(random.token(keys.SEED_SIZE))
    pair = keys.actors(ca, plan, private, plan.not_after - _LIFETIME, "/bin/true")
    endpoint = credential.endpoint | {"certificate": pair.certificate}
    return msgspec.structs.replace(credential, secret=pair.private, endpoint=endpoint)


async def _leak(settings: SshSettings, plan: UndoPlan, credential: Credential) -> str:
    """Use it as an actor would: forwarding only where permitted, and the wrapper runs a command."""
    door = Door(settings.host, settings.port, settings.host_keys)
    certificate = credential.endpoint["certificate"]
    try:
        async with connected(
            door, credential.username, credential.secret, certificate
        ) as connection:
            permitted = "port-forwarding" in plan.details.get("permit", "")
            if not permitted and await _forwards(connection, settings.port):
                return "it forwards ports, which the role does not permit"
            if plan.details.get("command"):
                return ""  # what the role's command does is the owner's; it is not run for a test
            done = await connection.run("exit 7", check=False)
            if done.exit_status != 7:  # noqa: PLR2004 - any number that nothing else gives
                return "the session wrapper does not run: see the host side's `program`"
    except (asyncssh.Error, OSError) as error:
        return f"a session does not work ({type(error).__name__})"
    return ""


async def _forwards(connection: asyncssh.SSHClientConnection, port: int) -> bool:
    try:
        _, writer = await connection.open_connection("127.0.0.1", port)
    except asyncssh.ChannelOpenError as error:
        return error.code != asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
    writer.close()
    return True
