"""``callpoint serve`` as a real process: starts, answers, stops, comes back after a kill -9."""

import signal
import time
from pathlib import Path

import httpx
import pytest

from callpoint.bootstrap.home import Home
from tests.fakes.homestead import Homestead, serving

STARTS_WITHIN = 30.0


@pytest.fixture(scope="module")
def homestead(tmp_path_factory: pytest.TempPathFactory) -> Homestead:
    """An installation, founded once; nobody listens at its target."""
    made = Homestead(tmp_path_factory.mktemp("serve"))
    made.found()
    return made


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_and_stops_cleanly(homestead: Homestead, number: signal.Signals):
    """Both signals end it with status 0; what is wrong with a target is said, not fatal."""
    with serving(homestead) as server:
        assert httpx.get(f"{server.address}/healthz").json() == {"ok": True}
        installation = httpx.get(f"{server.address}/v1/installation").json()
        assert installation["trial"] is False
        schema = httpx.get(f"{server.address}/schema/openapi.json").json()
        assert "/v1/kill" in schema["paths"]
        done = homestead.run(
            "status", "--server", server.address, "--key", homestead.key("alice"), "-o", "json"
        )
        assert done.returncode == 0, done.stderr
        assert "ORDERS_BROKER_DSN" in done.stdout
        assert server.end(number) == 0
        assert server.process.stdout is not None
        said = server.process.stdout.read()
        assert "TROUBLE: target orders-db: the environment variable ORDERS_BROKER_DSN" in said
        assert said.endswith("stopped\n")
        assert '"event": "stopped"' in server.log.read_text()


def test_one_process_at_a_time(homestead: Homestead):
    """A second server on the same store is refused, with what to do."""
    with serving(homestead):
        second = homestead.run("serve", "--home", homestead.home, "--listen", "127.0.0.1:0")
        assert second.returncode == 6
        assert "another Callpoint has" in second.stderr


def test_a_taken_address_is_told(homestead: Homestead):
    """A port that somebody else listens on is an error with the way out."""
    with serving(homestead) as server:
        place = server.address.removeprefix("http://")
        second = homestead.run("serve", "--home", homestead.home, "--listen", place)
        assert second.returncode == 6
        assert f"{place} cannot be listened on" in second.stderr


def test_it_comes_back_after_a_kill(homestead: Homestead):
    """Killed with -9, it starts again on the same store and knows what it knew."""
    with serving(homestead) as server:
        key = ("--server", server.address, "--key")
        declared = homestead.run(
            *("incident", "declare", "INC-9", "--severity", "sev1", "--target", "orders-db"),
            *("--title", "down", *key, homestead.key("frank")),
        )
        assert declared.returncode == 0, declared.stderr
        assert server.end(signal.SIGKILL) == -signal.SIGKILL
    with serving(homestead) as server:
        key = ("--server", server.address, "--key")
        confirmed = homestead.run("incident", "confirm", "inc-9", *key, homestead.key("erin"))
        assert confirmed.returncode == 0, confirmed.stderr
        assert server.end(signal.SIGTERM) == 0
    marks = Home(homestead.home).landmarks()
    assert marks.publications is not None, "where the next start goes on"


def test_an_older_database_gives_nothing(homestead: Homestead):
    """A configuration older than the one seen here is told at the start; a kill still works."""
    import msgspec

    from callpoint.bootstrap.home import Home, Pin, write

    home = Home(homestead.home)
    known = home.pinned()
    assert known is not None
    newer = msgspec.structs.replace(known, number=2, previous=known.digest())
    home.pin(newer)
    try:
        with serving(homestead) as server:
            key = ("--server", server.address, "--key", homestead.key("alice"))
            assert homestead.run("kill", "everything", "--yes", *key).returncode == 0
            refused = homestead.run("incident", "resolve", "nothing", *key)
            assert refused.returncode == 2
            status = homestead.run("status", *key)
            assert status.returncode == 0, status.stderr
            assert "! the database names an older configuration (1)" in status.stdout
            assert server.end(signal.SIGTERM) == 0
    finally:
        write(homestead.home / "in-force.json", Pin(digest=known.digest(), bundle=known))


def test_a_halted_log_is_told_at_the_start(homestead: Homestead):
    """Nothing could be given, so whoever starts it reads that first; it answers nevertheless."""
    checkpoint = homestead.home / "checkpoint"
    aside = checkpoint.rename(homestead.home / "aside")
    try:
        with serving(homestead) as server:
            assert server.end(signal.SIGTERM) == 0
            assert server.process.stdout is not None
            assert "TROUBLE: the event log cannot be signed" in server.process.stdout.read()
            assert '"event": "log_halted"' in server.log.read_text()
    finally:
        aside.rename(checkpoint)


def test_without_its_token_key_it_takes_away(homestead: Homestead):
    """Who is told of access learns nothing then, and a kill works as ever."""
    key = homestead.home / "keys" / "token.key"
    aside = key.rename(homestead.home / "aside")
    try:
        with serving(homestead) as server:
            place = f"{server.address}/.well-known/ssf-configuration"
            assert httpx.get(place).status_code == 404
            words = ("kill", "everything", "--yes", "--server", server.address)
            done = homestead.run(*words, "--key", homestead.key("erin"))
            assert done.returncode == 0, done.stderr
            assert '"event": "no_token_key"' in server.log.read_text()
    finally:
        aside.rename(key)
    with serving(homestead) as server:
        found = httpx.get(f"{server.address}/.well-known/ssf-configuration").json()
        assert found["issuer"] == server.address


def test_a_proposal_is_not_served(homestead: Homestead):
    """Until the governors have signed, the error says what they run."""
    proposal = homestead.home / "proposal.json"
    proposal.write_text("{}")
    try:
        early = homestead.run("serve", "--home", homestead.home, "--listen", "127.0.0.1:0")
    finally:
        proposal.unlink()
    assert early.returncode == 2
    assert "callpoint init" in early.stderr
    assert "--signatures" in early.stderr


def test_what_cannot_be_served_is_told(tmp_path: Path):
    """No installation, a wrong address, and an address that others could reach are refused."""
    here = Homestead(tmp_path)
    empty = here.run("serve", "--home", here.home)
    assert (empty.returncode, "callpoint init" in empty.stderr) == (2, True)
    wrong = here.run("serve", "--home", here.home, "--listen", "8750")
    assert (wrong.returncode, "HOST:PORT" in wrong.stderr) == (2, True)
    far = here.run("serve", "--home", here.home, "--listen", "0.0.0.0:8750")
    assert (far.returncode, "no TLS" in far.stderr) == (2, True)


def test_it_answers_quickly(homestead: Homestead):
    """From the command to the first answer takes seconds, not tens of them."""
    begun = time.monotonic()
    with serving(homestead) as server:
        httpx.get(f"{server.address}/healthz")
        assert time.monotonic() - begun < STARTS_WITHIN
        assert server.end(signal.SIGTERM) == 0
