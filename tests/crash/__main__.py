"""``python -m tests.crash --deaths 300``: forked deaths, some executed ones, then the verdict.

Forking from a process that has everything imported makes a death cheap; the executed ones show
that nothing depends on what a fork inherits.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec
import psycopg
import pyrage

from callpoint.cli.postgres_server import choose_server, find_servers
from callpoint.cli.throwaway import ThrowawayPostgres
from tests.crash.companion import Done, companion
from tests.crash.scenario import Order, Scenario, play
from tests.crash.site import BROKER, PASSWORD, Site, StoreKind, found_site, prepare_target
from tests.crash.verdict import Verdict, judge

_RANDOM_WITHIN_SECONDS = 0.4
_DRY_RUN = 0


def crash(kind: StoreKind, deaths: int, executed: int, seed: int) -> tuple[int, Verdict, int]:
    """Die so often on a fresh site, ``executed`` of the deaths in processes of their own.

    On PostgreSQL a second node lives through all of it and takes over what the dead ones began.

    Returns:
        How many processes really died, what is left, and how many leases the second node proved
        dead.
    """
    chance = random.Random(seed)  # noqa: S311 -- which death comes next is no secret
    with (
        tempfile.TemporaryDirectory(prefix="callpoint-crash-") as home,
        ThrowawayPostgres(choose_server(find_servers())) as server,
    ):
        site = _site(kind, home, server)
        asyncio.run(prepare_target(site.owner_dsn, site.broker_dsn))
        asyncio.run(found_site(site))
        alone: AbstractContextManager[list[Done]] = nullcontext([])
        with companion(site) if kind is StoreKind.POSTGRESQL else alone as done:
            died = _die(site, chance, deaths, executed)
        return died, asyncio.run(judge(site)), sum(one.dead for one in done)


def _die(site: Site, chance: random.Random, deaths: int, executed: int) -> int:
    died = 0
    for number, (scenario, fuse) in enumerate(_fuses(site, chance)):
        if died >= deaths:
            break
        order = Order(site=site, scenario=scenario, fuse=fuse)
        at_random = chance.random() * _RANDOM_WITHIN_SECONDS if fuse == 0 else None
        run = _executed if number % max(deaths // max(executed, 1), 1) == 0 else _forked
        died += run(order, at_random)
    return died


def _site(kind: StoreKind, home: str, server: ThrowawayPostgres) -> Site:
    with psycopg.connect(server.superuser_url(), autocommit=True) as owner:
        owner.execute("CREATE DATABASE target")
        owner.execute("CREATE DATABASE store")
        owner.execute("CREATE ROLE store LOGIN PASSWORD 'store'")
        owner.execute("ALTER DATABASE store OWNER TO store")
    return Site(
        kind=kind,
        home=home,
        owner_dsn=server.superuser_url("target"),
        broker_dsn=server.url("target", BROKER, PASSWORD),
        store_dsn=server.url("store", "store", "store"),
        vault=str(pyrage.x25519.Identity.generate()),
    )


def _fuses(site: Site, chance: random.Random) -> Iterator[tuple[Scenario, int]]:
    """Every point of every scenario in turn, mixed with deaths at a random moment (fuse 0)."""
    points = {scenario: _points(site, scenario) for scenario in Scenario}
    while True:
        every = [(s, n) for s, count in points.items() for n in range(1, count + 1)]
        chance.shuffle(every)
        for scenario, fuse in every:
            yield scenario, fuse
            if chance.random() < 0.25:
                yield chance.choice(list(Scenario)), 0


def _points(site: Site, scenario: Scenario) -> int:
    """How many points a scenario has, counted by a process that lives."""
    return asyncio.run(play(Order(site=site, scenario=scenario, fuse=_DRY_RUN)))


def _forked(order: Order, at_random: float | None) -> bool:
    child = os.fork()
    if child == 0:
        _die_silently(order)
    return _await_death(child, at_random)


def _die_silently(order: Order) -> None:
    """The child's whole life; it never returns into the parent's code."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        asyncio.run(play(order))
        code = 0
    finally:
        os._exit(code)


def _executed(order: Order, at_random: float | None) -> bool:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.scenario"],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdin is not None
    child.stdin.write(msgspec.json.encode(order))
    child.stdin.close()
    delay = None if at_random is None else at_random + 0.7  # it has to import first
    died = _await_death(child.pid, delay)
    child.returncode = 0  # waited for already
    return died


def _await_death(child: int, at_random: float | None) -> bool:
    """Wait; kill at the random moment. True when it died by SIGKILL."""
    timer: threading.Timer | None = None
    if at_random is not None:
        timer = threading.Timer(at_random, lambda: _kill(child))
        timer.start()
    _, status = os.waitpid(child, 0)
    if timer is not None:
        timer.cancel()
        timer.join()
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _kill(child: int) -> None:
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        return  # it was faster


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run for both stores, print deaths, leases, live, orphans, missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--deaths", type=int, default=300, help="in all, over both stores")
    parser.add_argument("--executed", type=int, default=20, help="of them in own processes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", type=StoreKind, choices=list(StoreKind), action="append")
    said = parser.parse_args()
    kinds = said.store or list(StoreKind)
    ok = True
    for kind in kinds:
        began = time.monotonic()
        died, verdict, taken_over = crash(
            kind, said.deaths // len(kinds), said.executed // len(kinds), said.seed
        )
        say(
            f"{kind}: deaths {died}, leases {verdict.leases}, live {verdict.live},"
            f" orphans {verdict.orphans}, missing {verdict.missing},"
            f" proven dead by a second node {taken_over},"
            f" log {'consistent' if not verdict.findings else verdict.findings}"
            f" ({time.monotonic() - began:.0f} s)"
        )
        ok = ok and verdict.ok
    say("crash: ok" if ok else "crash: FAILED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
