"""`callpoint request`: one command, whose key, wait and end are right whatever happens."""

import base64
import json
import stat
from pathlib import Path

import httpx
import msgspec
import pyrage
import pytest

from callpoint.api.messages import ActivationView, Credentials, TallyView, VoteView
from callpoint.domain.approval import Verdict
from callpoint.domain.errors import (
    ConflictError,
    DeniedError,
    LogUnavailableError,
    StoreUnavailableError,
    TargetUnknownError,
)
from callpoint.domain.request import Ask
from callpoint.ports.box import Box, SealedCredential
from callpoint.ports.targets import Credential
from tests.fakes.canned_api import ID, WORDS, CannedApi, lease, refusal, request, view
from tests.fakes.clock import START
from tests.fakes.machine import Shell

ASK = "POST /v1/activations"
READ = f"GET /v1/activations/{ID}"
ISSUE = f"POST /v1/activations/{ID}/issue"
FETCH = f"POST /v1/activations/{ID}/credentials"
RETURN = f"POST /v1/activations/{ID}/return"
SECRET = "s3cr3t-of-the-database"
ARGUMENTS = ("request", "orders-repair", "--incident", "INC-7", "--because", WORDS)


class Server(CannedApi):
    """Seals credentials to whoever asked, as the real one does."""

    def __init__(self) -> None:
        super().__init__()
        self.seal_to = ""
        self.lay(ASK, self._asked)
        self.lay(READ, lambda _: self.shown("requested"))
        self.lay(ISSUE, lambda _: self.shown("active"))
        self.lay(FETCH, lambda _: Credentials((self.box(),)))
        self.lay(RETURN, lambda _: self.shown("ended"))

    def shown(self, state: str, **changes: object) -> ActivationView:
        return view(state, asked=request(seal_to=self.seal_to), **changes)

    def states(self, *states: str) -> None:
        """What each look at the activation shows, one after another."""
        self.lay(READ, *[lambda _, s=state: self.shown(s) for state in states])

    def box(self, **changes: object) -> Box:
        endpoint = {"host": "db.example", "port": "5432", "dbname": "orders", "options": "-c x=y"}
        inside = SealedCredential(
            installation="tstinc",
            activation=ID,
            lease=lease("live").id,
            target="orders-db",
            role="repair",
            not_after="2026-03-01T03:30:00+00:00",
            credential=Credential("cp_user", SECRET, endpoint, "psql ..."),
        )
        inside = msgspec.structs.replace(inside, **changes)
        recipient = pyrage.x25519.Recipient.from_str(self.seal_to)
        sealed = pyrage.encrypt(msgspec.json.encode(inside), [recipient])
        return Box(lease("live").id, "orders-db", "repair", base64.b64encode(sealed).decode())

    def _asked(self, asked: httpx.Request) -> ActivationView:
        self.seal_to = msgspec.json.decode(asked.content, type=Ask).seal_to
        return self.shown("requested")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def alice(tmp_path: Path, server: Server) -> Shell:
    return Shell(tmp_path, "alice", server)


def test_it_sends_what_was_typed(alice: Shell, server: Server):
    """Every option arrives, and the incident is found however its name is written."""
    told = alice.run(
        *ARGUMENTS,
        *("--purpose", "contain", "--for", "15m", "--open", "orders-db:repair"),
        *("--source", "10.0.0.0/8"),
    )
    assert told.exit_code == 0, told.stderr
    sent = msgspec.json.decode(server.bodies(ASK)[0], type=Ask)
    assert (sent.eligibility, sent.incident, sent.justification) == (
        "orders-repair",
        "inc-7",
        WORDS,
    )
    assert (str(sent.purpose), str(sent.ttl), sent.opens, sent.sources) == (
        "contain",
        "0:15:00",
        ("orders-db:repair",),
        ("10.0.0.0/8",),
    )
    assert f"callpoint request --resume {ID} --wait" in told.stdout
    assert "can approve    bob, carol, dave" in told.stdout


def test_the_one_time_key_stays_here_under_the_activations_name(alice: Shell, server: Server):
    """The public half is sent; the private one is a 0600 file named after the activation."""
    alice.run(*ARGUMENTS)
    assert alice.keyring.names() == (ID,)
    file = alice.home / "keys" / f"{ID}.age"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert server.seal_to.startswith("age1")


@pytest.mark.parametrize("missing", [("request",), ARGUMENTS[:2], ARGUMENTS[:4]])
def test_what_is_missing_is_said(alice: Shell, server: Server, missing: tuple[str, ...]):
    """An eligibility and words are needed, and nothing is sent without."""
    told = alice.run(*missing)
    assert (told.exit_code, server.asked) == (2, [])


def test_planned_work_needs_no_incident(alice: Shell, server: Server):
    """Whether one is needed is the server's to say: the elevation lane goes without."""
    told = alice.run(*ARGUMENTS[:2], "--because", WORDS)
    assert told.exit_code == 0, told.stderr
    assert msgspec.json.decode(server.bodies(ASK)[0], type=Ask).incident == ""


def test_without_any_program_nothing_is_asked_for(alice: Shell, server: Server):
    """Whoever wants a session on a machine that can open none learns it before the request."""
    alice.machine.programs = {}
    told = alice.run(*ARGUMENTS, "--connect")
    assert (told.exit_code, server.asked) == (2, [])


def test_the_wrong_program_is_said_before_the_vote(alice: Shell, server: Server):
    """The target needs psql and there is none: nobody is waited for, and the request stays open."""
    del alice.machine.programs["psql"]
    told = alice.run(*ARGUMENTS, "--connect")
    assert (told.exit_code, len(server.bodies(ASK)), server.bodies(ISSUE)) == (2, 1, [])
    for words in ("psql is not installed", f"--resume {ID} --connect", f"withdraw {ID}"):
        assert words in told.stderr


def test_a_request_that_new_rules_made_void_is_not_waited_for(alice: Shell, server: Server):
    """Nobody can approve it any more: the wait ends at once, and says to ask again."""
    void = view("requested", next="alice asks again with `callpoint request`", voided=True)
    server.lay(f"GET /v1/activations/{ID}", void)
    alice.keyring.create(ID)
    told = alice.run("request", "--resume", ID, "--wait")
    assert (told.exit_code, "asks again" in told.stderr) == (4, True)


def test_a_span_that_is_none(alice: Shell):
    """--for says how spans are written."""
    told = alice.run(*ARGUMENTS, "--for", "soon")
    assert (told.exit_code, "write 15m or 1h30m" in told.stderr) == (2, True)


def test_a_refused_request_leaves_no_key(alice: Shell, server: Server):
    """The reasons are said with the code of a denial, and the one-time key is deleted."""
    server.lay(ASK, refusal(DeniedError("no", reasons=("not on call",))))
    told = alice.run(*ARGUMENTS, "--wait")
    assert (told.exit_code, "not on call" in told.stderr) == (3, True)
    assert alice.keyring.names() == ()


def test_a_lost_answer_keeps_the_key_and_can_be_resumed(alice: Shell, server: Server):
    """The request may be open, so its key is kept, and --resume finds it by its public half."""

    def lose(asked: httpx.Request) -> httpx.Response:
        server._asked(asked)
        raise httpx.ReadTimeout("lost", request=asked)

    server.lay(ASK, lose)
    told = alice.run(*ARGUMENTS, "--wait")
    assert (told.exit_code, "--resume ID" in told.stderr) == (6, True)
    assert alice.keyring.names() == (server.seal_to,)
    server.states("approved")
    told = alice.run("request", "--resume", ID, "--show-secret")
    assert (told.exit_code, SECRET in told.stdout) == (0, True)
    assert alice.keyring.names() == (ID,)


def test_resume_takes_no_eligibility(alice: Shell):
    """--resume names the request; another eligibility beside it is a mistake."""
    assert alice.run("request", "orders-repair", "--resume", ID).exit_code == 2


def test_resume_elsewhere_says_why_it_cannot(alice: Shell, server: Server):
    """A machine without the one-time key says so before it waits."""
    server.seal_to = "age1elsewhere"
    told = alice.run("request", "--resume", ID, "--wait")
    assert told.exit_code == 2
    assert "the machine and account that made the request" in told.stderr


def test_waiting_ends_with_a_line_to_run(alice: Shell, server: Server):
    """After approval the credential is made, and one line, without any secret, uses it."""
    server.states("requested", "requested", "approved")
    told = alice.run(*ARGUMENTS, "--wait")
    assert told.exit_code == 0, told.stderr
    assert f"to connect:  callpoint connect {ID}" in told.stdout
    assert (SECRET in told.stdout, server.bodies(FETCH)) == (False, [])
    assert alice.machine.clock.now() > START


def test_waiting_says_what_is_missing_once_and_again_when_it_changes(alice: Shell, server: Server):
    """Without a terminal there is a line for each change, and a reminder each minute."""
    first = server.shown
    one = TallyView(2, ("carol",), 1, 0, ("dave",), met=False)
    looks = [lambda _: first("requested")] * 31
    looks += [lambda _: first("requested", tally=one), lambda _: first("approved")]
    server.lay(READ, *looks)
    told = alice.run(*ARGUMENTS, "--wait").stdout
    assert told.count("0 of 2 approved") == 2
    assert told.count("1 of 2 approved (carol)") == 1
    assert "missing 2 approvals; can approve: bob, carol, dave" in told
    assert "missing 1 approval; can approve: dave" in told
    assert f"lapses in 10 min; they run: callpoint approve {ID}" in told


def test_too_few_who_could_approve_is_said(alice: Shell, server: Server):
    """A quorum that can no longer be met is said while somebody waits for it."""
    stuck = TallyView(2, (), 2, 1, ("dave",), met=False)
    server.lay(READ, lambda _: server.shown("requested", tally=stuck), view("lapsed"))
    told = alice.run(*ARGUMENTS, "--wait")
    assert "too few persons are left" in told.stdout
    assert "1 from security" in told.stdout


def test_a_panel_on_a_terminal(alice: Shell, server: Server):
    """On a terminal it is a panel in place; names in it are text and no markup."""
    asked = request(seal_to="", eligibility="[/red]orders")
    server.lay(READ, lambda _: view(asked=asked), lambda _: server.shown("approved"))
    alice.machine.interactive = True
    told = alice.run(*ARGUMENTS, "--wait")
    assert told.exit_code == 0, told.stderr
    assert f"callpoint connect {ID}" in told.stdout


DENIAL = VoteView("dave", "dave", Verdict.DENY, START, "use the replica")


@pytest.mark.parametrize(
    "state,votes,code,words",
    [
        ("denied", (DENIAL,), 3, "dave: use the replica"),
        ("lapsed", (), 3, "0 of 2 approved in time"),
        ("withdrawn", (), 4, "needs a new request"),
        ("ended", (), 4, "is ended (killed)"),
    ],
)
def test_the_reason_why_not(
    alice: Shell, server: Server, state: str, votes: tuple[VoteView, ...], code: int, words: str
):
    """A wait that ends without access says why, with the exit code of the reason."""
    tally = TallyView(2, (), 2, 0, ("carol",), met=False)
    end = "killed" if state == "ended" else None
    shown = view(state, votes=votes, tally=tally, end_reason=end)
    server.lay(READ, lambda _: server.shown("requested"), shown)
    told = alice.run(*ARGUMENTS, "--wait")
    assert (told.exit_code, words in told.stderr) == (code, True), told.stderr


def test_a_server_that_is_away_is_waited_for(alice: Shell, server: Server):
    """A restart of the server does not end the wait."""
    away = httpx.ConnectError("refused")
    server.lay(READ, away, lambda _: server.shown("approved"))
    told = alice.run(*ARGUMENTS, "--wait")
    assert told.exit_code == 0
    assert "no server answers at" in told.stdout


def test_a_server_that_stays_away_is_waited_for_until_it_lapses(alice: Shell, server: Server):
    """After the time to approve there is nothing to wait for."""
    server.lay(READ, refusal(StoreUnavailableError("the disk is full")))
    told = alice.run(*ARGUMENTS, "--wait")
    assert told.exit_code == 6
    assert (alice.machine.clock.now() - START).total_seconds() > 600


def test_an_interrupt_leaves_the_request_open(alice: Shell, server: Server):
    """Ctrl-C says how to go on and how to take it back, and keeps the key."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    alice.machine.on_pause = interrupt
    told = alice.run(*ARGUMENTS, "--wait")
    assert told.exit_code == 130
    for words in (f"--resume {ID} --wait", f"connect {ID}", f"withdraw {ID}"):
        assert words in told.stderr
    assert alice.keyring.names() == (ID,)


@pytest.mark.parametrize(
    "error,code",
    [
        (TargetUnknownError("no answer", target="orders-db"), 5),
        (LogUnavailableError("log down"), 6),
        (ConflictError("the configuration changed"), 4),
    ],
)
def test_a_failed_issue_has_its_own_code(alice: Shell, server: Server, error: Exception, code: int):
    """Approved but not issued: the target's, the log's or the state's fault is told apart."""
    server.states("approved")
    server.lay(ISSUE, refusal(error))
    assert alice.run(*ARGUMENTS, "--wait").exit_code == code


@pytest.mark.parametrize("state,code", [("active", 0), ("approved", 6), ("ended", 4)])
def test_an_issue_whose_answer_is_lost(alice: Shell, server: Server, state: str, code: int):
    """The state says whether it was done; nothing is issued twice."""
    server.states("approved", state)
    server.lay(ISSUE, httpx.ReadTimeout("lost"))
    assert alice.run(*ARGUMENTS, "--wait").exit_code == code
    assert len(server.bodies(ISSUE)) == 1


def test_the_secret_is_shown_only_on_request(alice: Shell, server: Server):
    """--show-secret prints user, place and secret."""
    server.states("approved")
    told = alice.run(*ARGUMENTS, "--show-secret")
    for words in ("cp_user", "db.example", SECRET):
        assert words in told.stdout


def test_the_secret_in_json(alice: Shell, server: Server):
    """JSON holds the secret only with --show-secret, and is one document."""
    server.states("approved")
    told = alice.run(*ARGUMENTS, "--show-secret", "-o", "json")
    made = json.loads(told.stdout)
    assert made["credentials"][0]["credential"]["secret"] == SECRET
    server.states("approved")
    assert SECRET not in alice.run("request", "--resume", ID, "--wait", "-o", "json").stdout


def test_a_file_for_the_credential_is_private_and_new(alice: Shell, server: Server):
    """--file writes mode 0600 and overwrites nothing."""
    server.states("approved")
    path = alice.home / "credential.json"
    told = alice.run(*ARGUMENTS, "--file", path)
    assert (told.exit_code, SECRET in told.stdout) == (0, False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SECRET in path.read_text()
    server.states("active")
    assert alice.run("credentials", ID, "--file", path).exit_code == 2
    assert alice.run("credentials", ID, "--file", alice.home / "no" / "x").exit_code == 2


def test_connect_at_once(alice: Shell, server: Server):
    """--connect ends in psql, with the secret in its environment and nowhere else."""
    server.states("requested", "approved")
    told = alice.run(*ARGUMENTS, "--connect")
    assert told.exit_code == 0
    ((arguments, environment),) = alice.machine.ran
    assert arguments == ["/usr/bin/psql"]
    assert environment["PGPASSWORD"] == SECRET
    assert SECRET not in told.stdout + told.stderr


def test_the_box_must_hold_what_the_server_says(alice: Shell, server: Server):
    """A credential of another target in the box is not used."""
    server.states("approved")
    server.lay(FETCH, lambda _: Credentials((server.box(target="billing-db"),)))
    told = alice.run(*ARGUMENTS, "--show-secret")
    assert (told.exit_code, SECRET in told.stdout) == (7, False)


def test_a_box_that_is_none(alice: Shell, server: Server):
    """Broken boxes are refused without quoting them."""
    server.states("approved")
    broken = msgspec.structs.replace
    server.lay(FETCH, lambda _: Credentials((broken(server.box(), box="*"),)))
    assert alice.run(*ARGUMENTS, "--show-secret").exit_code == 7
