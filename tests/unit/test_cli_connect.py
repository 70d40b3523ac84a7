"""`callpoint connect | credentials`: the secret is in one environment and nowhere else."""

import json
from pathlib import Path

import msgspec
import pytest

from callpoint.api.messages import Credentials
from callpoint.cli.session_psql import environment
from callpoint.domain.eligibility import Lane
from callpoint.domain.errors import StoreUnavailableError
from callpoint.ports.box import SealedCredential
from callpoint.ports.targets import Credential
from tests.fakes.canned_api import ID, lease, refusal, request, view
from tests.fakes.clock import START
from tests.fakes.machine import Shell
from tests.unit.test_cli_request import ARGUMENTS, FETCH, ISSUE, READ, RETURN, SECRET, Server


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def alice(tmp_path: Path, server: Server) -> Shell:
    """Alice, whose request is active."""
    shell = Shell(tmp_path, "alice", server)
    assert shell.run(*ARGUMENTS).exit_code == 0
    server.states("active")
    return shell


def sealed(**endpoint: str) -> SealedCredential:
    credential = Credential("cp_user", SECRET, endpoint, "hint")
    return SealedCredential("tstinc", ID, "lease", "orders-db", "repair", "later", credential)


def test_psql_gets_place_and_secret_in_its_environment(alice: Shell):
    """Nothing of it is an argument, so `ps` shows nothing; other arguments are passed on."""
    told = alice.run("connect", ID, "--", "-c", "SELECT 1")
    assert told.exit_code == 0, told.stderr
    ((arguments, around),) = alice.machine.ran
    assert arguments == ["/usr/bin/psql", "-c", "SELECT 1"]
    assert {k: v for k, v in around.items() if k.startswith("PG")} == {
        "PGHOST": "db.example",
        "PGPORT": "5432",
        "PGDATABASE": "orders",
        "PGOPTIONS": "-c x=y",
        "PGUSER": "cp_user",
        "PGPASSWORD": SECRET,
        "PGAPPNAME": f"callpoint {ID}",
    }
    assert SECRET not in told.output


def test_the_callers_own_pg_variables_are_left_out():
    """A PGHOSTADDR of another day must not send the secret to another server."""
    around = {"PGHOSTADDR": "10.6.6.6", "PGSERVICE": "x", "PGPASSFILE": "/x", "TERM": "xterm"}
    around["PGSSLROOTCERT"] = "/ca.pem"
    found = environment(sealed(host="db", sslmode="verify-full"), around)
    assert set(found) - {"PGSSLROOTCERT"} == {
        "TERM",
        "PGHOST",
        "PGSSLMODE",
        "PGUSER",
        "PGPASSWORD",
        "PGAPPNAME",
    }


def test_its_exit_status_is_that_of_psql(alice: Shell):
    """A script sees what psql said, and a broken session does not end the access."""
    alice.machine.exit_status = 2
    alice.machine.interactive = True
    assert alice.run("connect", ID).exit_code == 2


def test_an_approved_request_is_taken_up_first(alice: Shell, server: Server):
    """`connect` after a pager's "approved" needs no other command."""
    server.states("approved")
    assert alice.run("connect", ID).exit_code == 0
    assert len(alice.machine.ran) == 1


def test_a_pending_request_says_how_to_wait(alice: Shell, server: Server):
    """Not approved yet is a conflict with the command that waits."""
    server.states("requested")
    told = alice.run("connect", ID)
    assert (told.exit_code, f"--resume {ID} --wait" in told.stderr) == (4, True)


@pytest.mark.parametrize(
    "option,answer,returned",
    [("--return", "", 1), ("--keep", "", 0), ("", "y\n", 1), ("", "n\n", 0), ("", "\n", 1)],
)
def test_what_becomes_of_the_access(
    alice: Shell, server: Server, option: str, answer: str, returned: int
):
    """Break glass: a person who is done is asked, and the default is to end it now."""
    alice.machine.interactive = True
    told = alice.run("connect", ID, *([option] if option else []), input=answer)
    assert told.exit_code == 0
    assert len(server.bodies(RETURN)) == returned
    if returned:
        assert json.loads(server.bodies(RETURN)[0]) == {"used": True}
        assert alice.keyring.names() == ()


def test_elevation_is_kept_unless_said_otherwise(alice: Shell, server: Server):
    """In the elevation lane the default answer keeps the access."""
    asked = request(seal_to=server.seal_to, lane=Lane.ELEVATION)
    server.lay(READ, view("active", asked=asked))
    alice.machine.interactive = True
    alice.run("connect", ID, input="\n")
    assert server.bodies(RETURN) == []


def test_an_access_that_ended_meanwhile_is_not_said_to_go_on(alice: Shell, server: Server):
    """A session that was cut ends with the reason: nothing is asked, and the key is forgotten."""
    over = server.shown("ended", ended_at=START)
    server.lay(READ, server.shown("active"), over)
    alice.machine.interactive = True
    alice.machine.exit_status = 2
    told = alice.run("connect", ID)
    assert (told.exit_code, server.bodies(RETURN)) == (2, [])
    assert "ended: what comes next" in told.stderr
    assert "goes on" not in told.stderr
    assert alice.keyring.names() == ()


def test_a_server_that_is_away_after_the_session_loses_nothing(alice: Shell, server: Server):
    """The access is kept, and how to end it is said."""
    server.lay(READ, server.shown("active"), refusal(StoreUnavailableError("full")))
    told = alice.run("connect", ID)
    assert (told.exit_code, f"callpoint return {ID}" in told.stderr) == (0, True)


def test_a_script_keeps_the_access_and_is_told(alice: Shell, server: Server):
    """Without a terminal nobody is asked, and stderr says how to end it."""
    told = alice.run("connect", ID)
    assert server.bodies(RETURN) == []
    assert f"callpoint return {ID}" in told.stderr


def test_without_psql_there_is_another_way(alice: Shell, server: Server):
    """A machine without psql is told what to do, before anything is taken up."""
    del alice.machine.programs["psql"]
    server.states("approved")
    told = alice.run("connect", ID)
    assert (told.exit_code, "credentials" in told.stderr) == (2, True)
    assert server.bodies(ISSUE) == []


@pytest.mark.parametrize("endpoint", [{"host": "x"}, {"host": "x", "protocol": "telnet"}])
def test_a_target_that_no_program_speaks_with(
    alice: Shell, server: Server, endpoint: dict[str, str]
):
    """psql is not tried on something else; the hint says how."""
    other = Credential("u", SECRET, endpoint, "telnet x")
    server.lay(FETCH, lambda _: Credentials((server.box(credential=other),)))
    told = alice.run("connect", ID)
    assert (told.exit_code, "telnet x" in told.stderr, alice.machine.ran) == (2, True, [])


def test_an_old_server_does_not_say_what_is_needed(alice: Shell, server: Server):
    """What is missing is then said when the credential is there."""
    alice.machine.programs = {}
    server.lay(READ, server.shown("active", connectors={}))
    told = alice.run("connect", ID)
    assert (told.exit_code, "psql is not installed" in told.stderr) == (2, True)


def test_several_credentials_must_be_told_apart(alice: Shell, server: Server):
    """With several targets one is named, and a wrong name lists them."""
    other = msgspec.structs.replace(server.box(target="billing-db"), target="billing-db")
    server.lay(FETCH, lambda _: Credentials((server.box(), other)))
    told = alice.run("connect", ID)
    assert (told.exit_code, "orders-db:repair, billing-db:repair" in told.stderr) == (2, True)
    assert alice.run("connect", ID, "--open", "nothing").exit_code == 2
    assert alice.run("connect", ID, "--open", "billing-db").exit_code == 0
    assert alice.run("connect", ID, "--open", "orders-db:repair").exit_code == 0


def test_print_connects_nowhere(alice: Shell):
    """--print shows the hint, without the secret."""
    told = alice.run("connect", ID, "--print")
    assert (told.exit_code, alice.machine.ran, SECRET in told.output) == (0, [], False)
    assert "psql ..." in told.stdout


def test_no_key_leaves_no_trace_of_a_fetch(alice: Shell, server: Server):
    """A machine that could not open the box does not ask for it, so nothing false is recorded."""
    alice.keyring.forget(ID)
    told = alice.run("credentials", ID)
    assert (told.exit_code, server.bodies(FETCH)) == (2, [])


@pytest.mark.parametrize("options,shown", [((), False), (("--show-secret",), True)])
@pytest.mark.parametrize("output", ["text", "json"])
def test_credentials_show_the_secret_only_on_request(
    alice: Shell, options: tuple[str, ...], shown: bool, output: str
):
    """Both formats hide it without --show-secret."""
    told = alice.run("credentials", ID, *options, "-o", output)
    assert (told.exit_code, SECRET in told.output) == (0, shown)
    assert "cp_user" in told.stdout
    assert lease("live").id in told.stdout or output == "text"


def test_credentials_in_a_file(alice: Shell):
    """--file says where they are, and how to connect all the same."""
    path = alice.home / "kept.json"
    told = alice.run("credentials", ID, "--file", path)
    assert (told.exit_code, f"written to {path}" in told.stdout) == (0, True)
    assert json.loads(path.read_text())[0]["credential"]["secret"] == SECRET


def test_what_psql_does_not_know_is_left_out():
    """Other members of an endpoint are not made into variables."""
    assert "PGHOST" not in environment(sealed(socket="/run/x"), {})
