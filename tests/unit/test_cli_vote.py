"""`callpoint approve | deny`: what is shown is what is signed, or nothing is signed (I9)."""

import base64
import json
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from callpoint.api.messages import StatementView, TallyView
from callpoint.domain.allowance import Allowance, Rate
from callpoint.domain.approval import Quorum, Statement, Verdict, Vote, signed_message
from callpoint.domain.errors import DeniedError
from callpoint.domain.incident_state import IncidentState
from tests.fakes.canned_api import (
    ID,
    WORDS,
    CannedApi,
    ballot,
    incident,
    installation_view,
    refusal,
    request,
    view,
)
from tests.fakes.keys import Ed25519Checker, Signer
from tests.fakes.machine import Shell

STATEMENT = f"GET /v1/activations/{ID}/statement"
APPROVE = f"POST /v1/activations/{ID}/approve"
DENY = f"POST /v1/activations/{ID}/deny"


def carol(tmp_path: Path, shown: StatementView) -> tuple[Shell, CannedApi]:
    api = CannedApi()
    api.lay(STATEMENT, shown)
    api.lay(APPROVE, view("approved"))
    api.lay(DENY, view("denied"))
    return Shell(tmp_path, "carol", api), api


def test_a_yes_is_signed_over_what_was_shown(tmp_path: Path):
    """The vote holds the server's statement, signed by the approver's own key."""
    shown = ballot("carol")
    shell, api = carol(tmp_path, shown)
    told = shell.run("approve", ID, "--yes", "--because", "seen the graph")
    assert told.exit_code == 0, told.stderr
    vote = msgspec.json.decode(api.bodies(APPROVE)[0], type=Vote)
    assert (vote.statement, vote.comment) == (shown.statement, "seen the graph")
    message = signed_message(vote.statement)
    assert Ed25519Checker().is_valid(Signer("carol").public, message, vote.signature)
    assert "approved: what comes next" in told.stdout


def test_it_shows_all_that_is_asked(tmp_path: Path):
    """Who, persons, incident, target, role, time, purpose, words, worst case, quorum, digest."""
    asked = request(
        principal="fixer",
        persons=("alice",),
        idle=timedelta(minutes=5),
        sources=("10.0.0.0/8",),
        quorum=Quorum(2, ("group:commanders",), extra=1, security=("group:security",)),
        allowance=Allowance(50, 1, destructive=0, rate=Rate(60, timedelta(minutes=1))),
    )
    shown = view(asked=asked, gateways={"orders-db": "front"})
    shell, _ = carol(tmp_path, ballot("carol", shown))
    told = shell.run("approve", ID, "--yes").stdout
    for words in (
        "fixer (human mode; persons behind it: alice)",
        "inc-7",
        "as the server says: sev1, open now, names orders-db",
        "since 2026-03-01 02:55:00 UTC (5 min), declared by frank, confirmed by gina",
        "titled         orders is down",
        "orders-db as repair, each action decided by the gateway front",
        "30 min from the moment it is issued",
        "ends when unused for 5 min",
        "at most 50 actions, 1 row, 0 destructive actions, 60 actions per 1 min; then",
        "recover (break-glass)",
        WORDS,
        "10.0.0.0/8",
        "in 10 min (03:10:00 UTC) if not approved",
        "! finding      residual access on orders-db is unbounded: no reaper",
        "2 approvals from group:commanders, and 1 from group:security",
        "can approve    bob, carol, dave",
        asked.digest(),
        "checked: what you see is what is signed (as carol, log at 7)",
    ):
        assert words in told


def test_without_findings_the_worst_case_is_said(tmp_path: Path):
    """An approver reads that sessions end at the target, where nothing says otherwise."""
    shell, _ = carol(tmp_path, ballot("carol", view(asked=request(findings=()))))
    assert "worst case" in shell.run("approve", ID, "--yes").stdout


SOURCES = {
    "reported": ({"source": "prom"}, "reported by the source prom"),
    "silent": (
        {"source": "prom", "state": IncidentState.UNKNOWN},
        "reported by the source prom, which is silent now",
    ),
    "unconfirmed": ({"confirmed_by": ""}, "declared by frank, confirmed by nobody"),
    "resolved": ({"state": IncidentState.RESOLVED}, "sev1, resolved now"),
    "hostile title": ({"title": "fine\x1b[2J\u202eenif"}, "titled         fine\\x1b[2J\\u202eenif"),
}


@pytest.mark.parametrize("changes, words", SOURCES.values(), ids=SOURCES)
def test_what_the_server_says_of_the_incident(
    tmp_path: Path, changes: dict[str, object], words: str
):
    """Who vouches for the incident and how it stands now; a stranger's title moves no cursor."""
    shown = view(incident=incident(**changes))
    shell, _ = carol(tmp_path, ballot("carol", shown))
    assert words in shell.run("approve", ID, "--yes").stdout


def test_an_incident_that_the_server_does_not_show(tmp_path: Path):
    """An approver reads that nothing is known of it, not a line less."""
    shell, _ = carol(tmp_path, ballot("carol", view(incident=None)))
    told = shell.run("approve", ID, "--yes")
    assert (told.exit_code, "! the server does not say what it is" in told.stdout) == (0, True)


def test_another_incident_beside_the_request_is_not_signed(tmp_path: Path):
    """A server that shows a worse incident than the request names gets no signature."""
    shell, api = carol(tmp_path, ballot("carol", view(incident=incident(id="inc-1"))))
    told = shell.run("approve", ID, "--yes")
    assert (told.exit_code, api.bodies(APPROVE)) == (7, [])
    assert "incident shown" in told.stderr


LIES = {
    "another request": {"request_digest": "0" * 64},
    "another activation": {"activation": "zzzzzzzzzz99"},
    "another installation": {"installation": "othern"},
    "another domain": {"domain": "callpoint/bundle/v1"},
    "another configuration": {"configuration_digest": "0" * 64},
    "another policy": {"policy_digest": "0" * 64},
    "another nonce": {"nonce": "11" * 16},
    "another approver": {"approver": "dave"},
    "another verdict": {"verdict": Verdict.DENY},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_statement_about_something_else_is_not_signed(tmp_path: Path, lie: dict[str, str]):
    """A server that shows one thing and wants another signed is found out before signing."""
    shell, api = carol(tmp_path, ballot("carol", lie=lie))
    told = shell.run("approve", ID, "--yes")
    assert told.exit_code == 7
    assert "not what you would sign" in told.stderr
    assert api.bodies(APPROVE) == []


CHANGES = {
    "role": {"opens": ("orders-db:admin",)},
    "time": {"ttl": timedelta(hours=8)},
    "persons": {"persons": ("bob",)},
    "quorum": {"quorum": Quorum(1, ("group:commanders",))},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_request_shown_otherwise_is_not_signed(tmp_path: Path, change: dict[str, object]):
    """A request that was altered for the screen no longer has the digest in the statement."""
    honest = ballot("carol")
    shown = msgspec.structs.replace(honest.activation, request=request(**change))
    lying = msgspec.structs.replace(honest, activation=shown)
    shell, api = carol(tmp_path, lying)
    told = shell.run("approve", ID, "--yes")
    assert (told.exit_code, api.bodies(APPROVE)) == (7, [])


def test_words_that_the_request_does_not_commit_to(tmp_path: Path):
    """A justification exchanged for the screen is found by its commitment."""
    shell, api = carol(tmp_path, ballot("carol", view(justification="just a look")))
    told = shell.run("approve", ID, "--yes")
    assert (told.exit_code, api.bodies(APPROVE)) == (7, [])
    assert "justification" in told.stderr


def test_erased_words_are_said_to_be_erased(tmp_path: Path):
    """Without the words an approver reads that they are gone, and may still decide."""
    erased = view(justification="", justification_salt=b"")
    shell, api = carol(tmp_path, ballot("carol", erased))
    told = shell.run("approve", ID, "--yes")
    assert "erased or withheld" in told.stdout
    assert len(api.bodies(APPROVE)) == 1


@pytest.mark.parametrize(
    "body", [b"{}", b"x", b" " + ballot("carol").statement], ids=["other", "no JSON", "spelling"]
)
def test_what_is_no_statement_is_not_signed(tmp_path: Path, body: bytes):
    """Only the canonical spelling of a statement is signed."""
    shell, api = carol(tmp_path, StatementView(body, view()))
    told = shell.run("approve", ID, "--yes")
    assert (told.exit_code, api.bodies(APPROVE)) == (7, [])


def test_a_person_is_asked_and_can_say_no(tmp_path: Path):
    """On a terminal nothing is signed before the approver says yes."""
    shell, api = carol(tmp_path, ballot("carol"))
    shell.machine.interactive = True
    assert shell.run("approve", ID, input="n\n").exit_code == 130
    assert api.bodies(APPROVE) == []
    assert shell.run("approve", ID, input="y\n").exit_code == 0
    assert len(api.bodies(APPROVE)) == 1


def test_a_script_must_say_yes(tmp_path: Path):
    """Without a terminal and without --yes nothing is signed, and the way out is said."""
    shell, api = carol(tmp_path, ballot("carol"))
    told = shell.run("approve", ID)
    assert (told.exit_code, api.bodies(APPROVE)) == (2, [])
    assert "--yes" in told.stderr


def test_json_is_one_document(tmp_path: Path):
    """With -o json the request is shown on stderr, and stdout is the activation alone."""
    shell, _ = carol(tmp_path, ballot("carol"))
    told = shell.run("approve", ID, "--yes", "-o", "json")
    assert json.loads(told.stdout)["state"] == "approved"
    assert "orders-db as repair" in told.stderr


def test_a_refused_vote_ends_with_its_reason(tmp_path: Path):
    """Self-approval and the like come back as a denial that names who can."""
    shell, api = carol(tmp_path, ballot("carol"))
    api.lay(APPROVE, refusal(DeniedError("carol asks for it", way_out="ask one of: dave")))
    told = shell.run("approve", ID, "--yes")
    assert (told.exit_code, "ask one of: dave" in told.stderr) == (3, True)


def test_a_no_is_signed_too(tmp_path: Path):
    """A denial needs words, and is a signed statement of its own."""
    shell, api = carol(tmp_path, ballot("carol", verdict=Verdict.DENY))
    assert shell.run("deny", ID, "--yes").exit_code == 2
    assert shell.run("deny", ID, "--yes", "--because", "not now").exit_code == 0
    vote = msgspec.json.decode(api.bodies(DENY)[0], type=Vote)
    said = msgspec.json.decode(vote.statement, type=Statement)
    assert (said.verdict, vote.comment) == (Verdict.DENY, "not now")
    assert base64.b64decode(vote.signature)


def test_the_first_contact_is_remembered_and_said(tmp_path: Path):
    """The log's key is shown once to be compared; afterwards it is silent."""
    shell, _ = carol(tmp_path, ballot("carol"))
    assert installation_view().log_key in shell.run("approve", ID, "--yes").stderr
    assert "first contact" not in shell.run("approve", ID, "--yes").stderr


@pytest.mark.parametrize("change", [{"id": "othern"}, {"log_key": "x+00000000+AAAA"}])
def test_a_server_that_became_another_is_an_alarm(tmp_path: Path, change: dict[str, str]):
    """Another installation or log key at a known address signs nothing."""
    shell, api = carol(tmp_path, ballot("carol"))
    shell.run("approve", ID, "--yes")
    api.lay("GET /v1/installation", installation_view(**change))
    told = shell.run("approve", ID, "--yes")
    assert (told.exit_code, len(api.bodies(APPROVE))) == (7, 1)
    assert "ask the governors" in told.stderr


def test_the_installations_file_counts_more_than_the_first_contact(tmp_path: Path):
    """With --installation even a first contact must be the right one."""
    pinned = tmp_path / "installation.json"
    pinned.write_bytes(msgspec.json.encode(installation_view(id="othern")))
    shell, api = carol(tmp_path, ballot("carol"))
    told = shell.run("approve", ID, "--yes", "--installation", pinned)
    assert (told.exit_code, api.bodies(APPROVE)) == (7, [])
    pinned.write_text("{}")
    assert shell.run("approve", ID, "--yes", "--installation", pinned).exit_code == 2
    assert shell.run("approve", ID, "--yes", "--installation", tmp_path / "none").exit_code == 2


def test_a_damaged_memory_of_first_contacts_is_not_passed_over(tmp_path: Path):
    """What is trusted is not forgotten silently when its file is broken."""
    shell, api = carol(tmp_path, ballot("carol"))
    (shell.home / "known-servers.json").write_text("{")
    told = shell.run("approve", ID, "--yes")
    assert (told.exit_code, api.bodies(APPROVE)) == (2, [])
    assert "damaged" in told.stderr


def test_a_state_directory_that_cannot_be_written(tmp_path: Path):
    """First contacts must be kept: without a place for them nothing is signed."""
    shell, api = carol(tmp_path, ballot("carol"))
    (shell.home / "known-servers.new").mkdir()
    told = shell.run("approve", ID, "--yes")
    assert (told.exit_code, api.bodies(APPROVE)) == (6, [])
    assert "CALLPOINT_STATE" in told.stderr


def test_a_memory_of_first_contacts_that_cannot_be_read(tmp_path: Path):
    """Unreadable is not the same as empty."""
    shell, api = carol(tmp_path, ballot("carol"))
    (shell.home / "known-servers.json").mkdir()
    assert (shell.run("approve", ID, "--yes").exit_code, api.bodies(APPROVE)) == (2, [])


def test_a_quorum_that_can_no_longer_be_met_is_said(tmp_path: Path):
    """An approver reads when the approval would be in vain, and when it is complete already."""
    few = TallyView(2, (), 2, 0, ("carol",), met=False)
    shell, api = carol(tmp_path, ballot("carol", view(tally=few)))
    assert "too few persons are left" in shell.run("approve", ID, "--yes").stdout
    api.lay(STATEMENT, ballot("carol", view(tally=TallyView(2, ("a", "b"), 0, 0, (), met=True))))
    assert "can approve" not in shell.run("approve", ID, "--yes").stdout


def test_a_rotated_key_is_learnt_from_the_installations_file(tmp_path: Path):
    """After a rotation the new file is given once; from then on it is what counts."""
    shell, api = carol(tmp_path, ballot("carol"))
    shell.run("approve", ID, "--yes")
    rotated = installation_view(log_key="tstinc+00000000+AAAA")
    api.lay("GET /v1/installation", rotated)
    pinned = tmp_path / "installation.json"
    pinned.write_bytes(msgspec.json.encode(rotated))
    assert shell.run("approve", ID, "--yes").exit_code == 7
    assert shell.run("approve", ID, "--yes", "--installation", pinned).exit_code == 0
    assert shell.run("approve", ID, "--yes").exit_code == 0
