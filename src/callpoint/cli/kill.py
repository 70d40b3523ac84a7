"""`callpoint kill SCOPE [NAME]`: the kill switch. It never asks the policy, nor needs a store."""

from pathlib import Path

import click
import msgspec

from callpoint.api.messages import KillOrder
from callpoint.cli.exit_codes import ExitCode
from callpoint.cli.invocation import Invocation, verb
from callpoint.cli.key import home_option
from callpoint.domain.counted import plural
from callpoint.domain.errors import RequestError
from callpoint.domain.ids import parse_activation
from callpoint.domain.kill import Killed, Scope


@verb("kill")
@click.argument("scope", type=click.Choice([str(scope) for scope in Scope]))
@click.argument("name", default="")
@click.option("--yes", is_flag=True, help="Do not ask before killing everything.")
@click.option("--offline", is_flag=True, help="On the server's machine, without any server.")
@home_option
def kill(
    run: Invocation, scope: str, name: str, *, yes: bool, offline: bool, home: Path | None
) -> int:
    """End access now, and revoke before this returns.

    \b
    callpoint kill activation ID
    callpoint kill principal NAME     (or a person)
    callpoint kill target NAME
    callpoint kill incident NAME
    callpoint kill everything

    With --offline it asks no server: it works from the server's home folder and the targets, with
    the server's environment, and leaves an order there that the server takes up when it is back.

    Exit status 5 says that a credential is not proven dead yet; it is retried for ever.
    """  # noqa: D301 -- \b is click's mark for lines that it must not join
    what = Scope(scope)
    if home is not None and not offline:
        raise RequestError("--home goes with --offline alone")
    if what is Scope.EVERYTHING:
        if name:
            raise RequestError(f"kill everything takes no name, and {name[:80]!r} was given")
        run.confirm("End every activation of this installation now?", yes=yes)
    elif not name:
        raise RequestError(f"kill {scope} needs a name", way_out=f"`callpoint kill {scope} NAME`")
    elif what is Scope.ACTIVATION:
        parse_activation(name)  # an order without a store stops all giving until it is merged
    about = name.lower() if what is Scope.INCIDENT else name
    order = KillOrder(scope=what, about=about)
    done = _offline(run, order, home) if offline else run.client.kill(order)
    for activation in done.activations:
        run.keyring.forget(activation)
    run.show(done, _without_store(done) if done.without_store else _lines(done, order))
    return _code(done)


def _offline(run: Invocation, order: KillOrder, home: Path | None) -> Killed:
    # Here, not at the top: the composition root takes a second, which `--help` need not pay.
    import asyncio

    from callpoint.bootstrap.offline_kill import address_of, kill_offline
    from callpoint.bootstrap.outside import Outside
    from callpoint.cli.signing import sign_request
    from callpoint.config.settings import home_directory
    from callpoint.domain.request_signature import MIN_NONCE_BYTES
    from callpoint.domain.tombstone import SignedOrder

    machine, key = run.machine, run.key
    place = home_directory(str(home) if home else None, machine.environment)
    origin = address_of(place)
    url, body = f"{origin}/v1/kill", msgspec.json.encode(order)
    headers = sign_request(
        "POST",
        url,
        body,
        principal=key.principal,
        key=key.key,
        now=machine.now(),
        nonce=machine.token(MIN_NONCE_BYTES),
    )
    signed = SignedOrder("POST", url, headers, body, (origin,))
    outside = Outside(machine.environment)
    return asyncio.run(
        kill_offline(place, key.principal, order.scope, order.about, signed, outside)
    )


def _lines(done: Killed, order: KillOrder) -> list[str]:
    lines = [f"ended {activation}" for activation in done.activations]
    lines += [f"! {lease} is not proven dead; it is retried for ever" for lease in done.alive]
    lines.append(
        f"{plural(len(done.activations), 'activation')} ended,"
        f" {plural(len(done.alive), 'credential')} not proven dead"
    )
    if not done.activations and order.scope is not Scope.EVERYTHING:
        lines.append(
            f"nothing was open for {order.scope} {order.about}: `callpoint status` says what is"
        )
    return lines


def _without_store(done: Killed) -> list[str]:
    """What is known without the store, and what is not."""
    lines = ["the store was not asked: this is what the server's machine and the targets know"]
    lines += [f"dead: {account}" for account in done.dead]
    lines += [f"! {lease} is not proven dead" for lease in done.alive]
    lines += [f"! {target} did not say which accounts it has" for target in done.unreachable]
    lines += [
        f"! {account} is ours, and nobody can say whose: it was left"
        " (`callpoint kill everything` takes it)"
        for account in done.unattributed
    ]
    lines += [f"! {words}" for words in done.trouble]
    lines.append(
        f"{plural(len(done.dead), 'credential')} proven dead, {len(done.alive)} not;"
        f" {plural(len(done.unreachable), 'target')} not looked at"
    )
    if done.tombstone:
        lines.append(
            f"tombstone {done.tombstone}: nothing is given on that machine until it is merged,"
            " which happens by itself when the store is back"
        )
    if done.alive or done.unreachable:
        lines.append("a running server goes on trying; without one, run the same command again")
    return lines


def _code(done: Killed) -> int:
    if done.alive or done.unreachable or done.unattributed:
        return ExitCode.TARGET
    return ExitCode.UNAVAILABLE if done.without_store and not done.tombstone else ExitCode.OK
