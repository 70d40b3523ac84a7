"""Onboarding report: can the broker really do its task, what could it do beyond, who ends what?

The decisive checks are trials: a certificate's whole life for each role, and what the broker's key
must not be able to do. Everything else explains why they would fail, or what else lets in.
"""

from collections.abc import Awaitable, Iterable
from datetime import timedelta
from typing import Any

import asyncssh

from callpoint.adapters.targets.ssh.host import Answer, Conversation, Host, translated
from callpoint.adapters.targets.ssh.keys import public_line
from callpoint.adapters.targets.ssh.round_trip import round_trip
from callpoint.adapters.targets.ssh.settings import LONGEST, SshSettings
from callpoint.domain.errors import TargetError
from callpoint.domain.untrusted import printable
from callpoint.host import wire
from callpoint.ports.clock import Clock, Random
from callpoint.ports.targets import Check, Connector, Residual, SelfTest

_MOST_SKEW = timedelta(seconds=5)
_FEWEST_RUNS = 3
_LONGEST_SILENCE = timedelta(minutes=15)
# One run takes some seconds to end a session that does not want to, and a timer is a little late.
_REAPER_MARGIN = timedelta(seconds=10)
_SPEAKING = frozenset({"info", "verbose", "debug", "debug1", "debug2", "debug3"})
_PASSWORDS = ("passwordauthentication", "kbdinteractiveauthentication")
_PREPARE = "install what `callpoint target prepare {name}` prints, and reload sshd"


async def run(
    settings: SshSettings,
    *,
    connector: Connector,
    host: Host,
    clock: Clock,
    random: Random,
    trial: bool,
) -> SelfTest:
    """Run every check; one that cannot be made is a failed check, not an exception.

    Raises:
        TargetUnknownError: The target does not answer at all.
    """
    skew = await connector.skew()
    async with host.conversation() as conversation:
        hello, status = await conversation.ask("hello"), await conversation.ask("status")
        accounts = (await conversation.ask("accounts"))["accounts"]
        found = residual(status)
        checks = [
            _skew(skew),
            _host_side(settings, hello, status),
            await _guarded("broker's key", _forced(settings, conversation)),
            _sshd(settings, status),
            _revocations(settings, status),
            _log(settings, status),
            _other_ways(settings, accounts, status),
            _reaper(settings, found),
        ]
    trials = [
        await round_trip(settings, role, connector, clock, random)
        for role in (sorted(settings.roles) if trial else ())
    ]
    return SelfTest(checks=(*checks, *trials), residual=found, skew=skew)


def residual(status: Answer) -> Residual:
    """What the reaper's heartbeats of the last hour prove. Pure."""
    runs, silence = int(status["runs"]), status["longest_silence"]
    if runs < _FEWEST_RUNS or silence is None:
        return Residual(
            bound=None,
            because="the host's reaper has not run three times within the last hour, so nothing on "
            "the host surely ends a live session after its time",
        )
    longest = timedelta(seconds=float(silence))
    if longest > _LONGEST_SILENCE:
        return Residual(
            bound=None,
            because=f"the host's reaper was silent for {_words(longest)}, so it is not counted on",
        )
    bound = longest + _REAPER_MARGIN
    return Residual(
        bound=bound,
        because=f"the host's reaper ends live sessions within {_words(bound)} after their time "
        f"({runs} runs seen within the last hour)",
    )


async def _guarded(name: str, check: Awaitable[Check]) -> Check:
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


def _host_side(settings: SshSettings, hello: Answer, status: Answer) -> Check:
    """Its list of accounts is the owner's: what is missing there cannot be opened."""
    missing = sorted(set(settings.accounts) - set(hello["accounts"]))
    beyond = sorted(set(hello["accounts"]) - set(settings.accounts))
    said = f"protocol {wire.VERSION}, at most {_words(timedelta(seconds=int(hello['longest'])))}"
    said += "" if status["root"] else ", without root: only its own account"
    wrong = [f"does not open {', '.join(missing)}"] if missing else []
    wrong += [f"opens {', '.join(beyond)}, which no role needs"] if beyond else []
    if int(hello["longest"]) > LONGEST.total_seconds():
        wrong.append(f"admits for longer than {_words(LONGEST)}")
    return Check(
        name="host side",
        ok=not wrong,
        detail="; ".join(wrong) or said,
        way_out=_PREPARE.format(name=settings.name),
    )


async def _forced(settings: SshSettings, conversation: Conversation) -> Check:
    """What somebody with the broker's key would try first."""
    leaks = []
    with translated(settings):
        said = await conversation.say(b"", command="id")
        if not _is_refusal(said):
            leaks.append("runs other commands")
        if await _opens_terminal(conversation.connection):
            leaks.append("gets a terminal")
        if await _forwards(conversation.connection, settings.port):
            leaks.append("forwards ports")
    return Check(
        name="broker's key",
        ok=not leaks,
        detail="; ".join(leaks) or "only the forced command; no terminal, no forwarding",
        way_out="give the broker's key `restrict` and the forced command of the owner's script",
        excess=True,
    )


def _is_refusal(said: bytes) -> bool:
    try:
        wire.read_answer(said)
    except wire.WireError as error:
        return error.code == "request"
    return False


async def _opens_terminal(connection: asyncssh.SSHClientConnection) -> bool:
    try:
        process = await connection.create_process("id", term_type="xterm", encoding=None)
    except asyncssh.ChannelOpenError:
        return False
    process.close()
    return True


async def _forwards(connection: asyncssh.SSHClientConnection, port: int) -> bool:
    try:
        _, writer = await connection.open_connection("127.0.0.1", port)
    except asyncssh.ChannelOpenError as error:
        # A port where nobody listens would be "connect failed": that is no prohibition.
        return error.code != asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
    writer.close()
    return True


def _sshd(settings: SshSettings, status: Answer) -> Check:
    """What sshd itself says that it would do at a login to each account."""
    state = str(status["state"])
    ca = asyncssh.import_private_key(settings.ca_key)
    wrong = [] if public_line(ca) in status["ca"] else ["the CA file lacks our CA's key"]
    wanted = {
        "revokedkeys": f"{state}/revoked.krl",
        "authorizedprincipalsfile": f"{state}/principals/%u",
        "exposeauthinfo": "yes",
        "permituserrc": "no",
        "authorizedprincipalscommand": "none",
    }
    for account in settings.accounts:
        effective = status["sshd"].get(account, {})
        if not effective:
            wrong.append(f"sshd does not tell its settings for {account}")
            continue
        wrong += [
            f"{account}: {key} is {printable(effective.get(key, 'not set'), 80)}"
            for key, value in wanted.items()
            if effective.get(key, "none").lower() != value.lower()
        ]
        if effective.get("trustedusercakeys", "none") == "none":
            wrong.append(f"{account}: the CA is not trusted")
    return Check(
        name="sshd",
        ok=not wrong,
        detail="; ".join(wrong) or f"reads our files for {', '.join(settings.accounts)}",
        way_out=_PREPARE.format(name=settings.name),
    )


def _revocations(settings: SshSettings, status: Answer) -> Check:
    sound = bool(status["krl_sound"])
    return Check(
        name="revocation list",
        ok=sound,
        detail="sound"
        if sound
        else "broken: sshd refuses every key of the accounts until it is repaired",
        way_out="run `callpoint-host prepare` on the host; see also that its disk is not full; "
        f"then `callpoint target selftest {settings.name}` again",
    )


def _log(settings: SshSettings, status: Answer) -> Check:
    silent = [
        name
        for name in settings.accounts
        if status["sshd"].get(name, {}).get("loglevel", "info").lower() not in _SPEAKING
    ]
    readable = bool(status["log"])
    return Check(
        name="log",
        ok=readable and not silent,
        detail="names the certificate of each login"
        if readable and not silent
        else "does not tell whose a bare connection is: all younger ones are ended with any",
        way_out='set `log` in host.json to "journal" or sshd\'s file, and LogLevel INFO or more',
    )


def _other_ways(settings: SshSettings, accounts: Iterable[dict[str, Any]], status: Answer) -> Check:
    """What lets in to these accounts without Callpoint: told, and wrong where it is a password."""
    told, wrong = [], []
    if settings.broker in settings.accounts:
        wrong.append(f"{settings.broker} is the broker's own account: its key ends what it opens")
    for row in accounts:
        name = row["name"]
        if name not in settings.accounts:
            continue
        if row["keys"]:
            told.append(f"{row['keys']} keys of {name} let in without Callpoint")
        effective = status["sshd"].get(name, {})
        if row["password"] and any(effective.get(way) == "yes" for way in _PASSWORDS):
            wrong.append(f"{name} has a password and sshd takes it")
    return Check(
        name="other ways in",
        ok=not wrong,
        detail=printable("; ".join([*wrong, *told])) or "none by key or password",
        way_out="lock the account's password (`passwd -l`), or PasswordAuthentication no",
    )


def _reaper(settings: SshSettings, found: Residual) -> Check:
    return Check(
        name="reaper",
        ok=found.bound is not None,
        detail=found.because,
        way_out=f"enable the timer of `callpoint target prepare {settings.name}` and wait for "
        "three runs",
    )


def _words(span: timedelta) -> str:
    return f"{round(span.total_seconds())} s"
