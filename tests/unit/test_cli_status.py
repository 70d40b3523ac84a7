"""`callpoint status | incident`: what a person sees at one look."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from callpoint.api.messages import (
    ActivationList,
    IncidentList,
    IncidentView,
    LogStatus,
    OverdueReview,
    ReviewView,
    StatusView,
    VoteView,
)
from callpoint.cli.words import moment, span, until
from callpoint.domain.approval import Verdict
from callpoint.domain.counted import plural
from callpoint.domain.eligibility import Severity
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.review import Finding, ReviewVerdict
from tests.fakes.canned_api import ID, CannedApi, lease, view
from tests.fakes.clock import START
from tests.fakes.machine import Shell

LATER = START + timedelta(hours=1)


def overview(**changes: object) -> StatusView:
    facts: dict[str, object] = {
        "installation": "tstinc",
        "trial": False,
        "now": START,
        "configuration": 3,
        "configuration_digest": "",
        "activations": {"active": 1},
        "leases": {"live": 1},
        "stuck": (),
        "overdue": (),
        "log": LogStatus(works=True, size=9, waiting=0),
        "targets": {},
    }
    return StatusView(**{**facts, **changes})  # type: ignore[arg-type]  # members by name


def shell_with(tmp_path: Path, seen: StatusView, *listed: object) -> Shell:
    api = CannedApi()
    api.lay("GET /v1/status", seen)
    api.lay("GET /v1/activations", ActivationList(listed))  # type: ignore[arg-type]  # views
    return Shell(tmp_path, "alice", api)


def test_a_quiet_overview(tmp_path: Path):
    """Nothing is wrong: no line begins with an exclamation mark."""
    told = shell_with(tmp_path, overview(), view("active"), view("reviewed")).run("status")
    assert told.exit_code == 0
    assert not any(line.startswith("!") for line in told.stdout.splitlines())
    assert "log: 9 entries" in told.stdout
    assert f"{ID}  active  alice  orders-db:repair  inc-7" in told.stdout
    assert "reviewed" not in told.stdout


@pytest.mark.parametrize(
    "changes, ends",
    [
        ({}, "it is retried for ever"),
        (
            {"is_lost": True},
            "if orders-db is gone for good, two governors run `callpoint attest {}`",
        ),
        ({"is_lost": True, "attested_by": ("gina",)}, "`callpoint attest {}`, as gina did"),
    ],
)
def test_a_target_that_stays_silent_has_a_way_out(
    tmp_path: Path, changes: dict[str, object], ends: str
):
    """The line of a stuck credential ends with the command, and with who gave it already."""
    stuck = lease("ending", attempts=3, last_error="no answer", **changes)
    told = shell_with(tmp_path, overview(stuck=(stuck,))).run("status").stdout
    (line,) = [x for x in told.splitlines() if "no answer" in x]
    assert line.endswith(ends.format(stuck.id))


def test_an_overview_of_a_bad_night(tmp_path: Path):
    """Everything that needs somebody is a line with an exclamation mark."""
    seen = overview(
        trial=True,
        stuck=(lease("ending", attempts=3, last_error="gone"),),
        overdue=(OverdueReview(ID, START - timedelta(hours=2), ("erin",)),),
        log=LogStatus(works=False, size=9, waiting=4),
        targets={"billing-db": "no BILLING_DSN"},
        trouble=("the policy does not load",),
        activations={},
        leases={},
    )
    loud = [x for x in shell_with(tmp_path, seen).run("status").stdout.splitlines() if x[0] == "!"]
    assert [words in line for words, line in zip(
        ("trial", "policy", "not working", "4 events", "BILLING_DSN", "3 attempts", "2 h ago"),
        loud,
        strict=True,
    )] == [True] * 7  # fmt: skip


def test_the_overview_as_json(tmp_path: Path):
    """One document with the counts and the activations."""
    told = shell_with(tmp_path, overview(), view("active")).run("status", "-o", "json", "--mine")
    found = json.loads(told.stdout)
    assert (found["status"]["configuration"], found["activations"][0]["id"]) == (3, ID)


def test_the_life_of_an_activation(tmp_path: Path):
    """A timeline in order: asked, voted, active, ended, dead, reviewed, and what is left."""
    review = ReviewView(
        triage_by=LATER,
        close_by=LATER,
        overdue=True,
        can_review=("frank",),
        triaged_by="erin",
        triaged_at=START + timedelta(minutes=40),
        closed_by="frank",
        closed_at=START + timedelta(minutes=50),
        verdict=ReviewVerdict.JUSTIFIED,
    )
    dead = lease("ended", evidence="refused", ended_at=START + timedelta(minutes=31))
    shown = view(
        "ended",
        votes=(
            VoteView("carol", "carol", Verdict.APPROVE, START + timedelta(minutes=1), "go"),
            VoteView("dave", "dave", Verdict.DENY, START + timedelta(minutes=2)),
        ),
        approved_at=START + timedelta(minutes=3),
        activated_at=START + timedelta(minutes=4),
        ended_at=START + timedelta(minutes=30),
        end_reason="returned",
        leases=(dead,),
        findings=(Finding("role", "a role was left"),),
        review=review,
    )
    api = CannedApi()
    api.lay(f"GET /v1/activations/{ID}", shown)
    told = Shell(tmp_path, "alice", api).run("status", ID).stdout
    order = (
        "requested by alice",
        "approved by carol (carol): go",
        "denied by dave (dave)",
        "quorum met",
        "active",
        "ended: returned",
        "dead: refused",
        "triaged by erin",
        "reviewed by frank: justified",
        "! role: a role was left",
        "verdict due in 1 h",
        "can review: frank",
    )
    places = [told.index(words) for words in order]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "state,words",
    [
        ("requested", "lapses in 10 min"),
        ("approved", "lapses in 10 min"),
        ("active", "ends as idle in 1 h"),
    ],
)
def test_what_time_will_do(tmp_path: Path, state: str, words: str):
    """The next deadline is said for each state that has one."""
    api = CannedApi()
    api.lay(f"GET /v1/activations/{ID}", view(state, idle_at=LATER))
    assert words in Shell(tmp_path, "alice", api).run("status", ID).stdout


def test_a_review_that_nobody_has_looked_at(tmp_path: Path):
    """Before triage the first look is what is due, and being late is loud."""
    review = ReviewView(triage_by=START, close_by=LATER, overdue=True)
    api = CannedApi()
    api.lay(f"GET /v1/activations/{ID}", view("ended", review=review, leases=(lease("live"),)))
    told = Shell(tmp_path, "alice", api).run("status", ID).stdout
    assert ("triage due" in told, "! overdue" in told) == (True, True)


def incident(state: IncidentState, name: str = "inc-7") -> IncidentView:
    return IncidentView(
        id=name,
        source="declared",
        severity=Severity.SEV1,
        targets=("orders-db",),
        state=state,
        opened_at=START,
        title="orders is down",
    )


def test_incidents_say_whose_turn_it_is(tmp_path: Path):
    """Declared: another person confirms. Open: it justifies. Resolved: nothing more."""
    api = CannedApi()
    shell = Shell(tmp_path, "frank", api)
    api.lay("POST /v1/incidents", incident(IncidentState.DECLARED))
    told = shell.run(
        *("incident", "declare", "INC-7", "--severity", "sev1"),
        *("--target", "orders-db", "--title", "orders is down"),
    )
    assert "callpoint incident confirm inc-7" in told.stdout
    api.lay("POST /v1/incidents/inc-7/confirm", incident(IncidentState.OPEN))
    assert "--incident inc-7" in shell.run("incident", "confirm", "INC-7").stdout
    api.lay("POST /v1/incidents/inc-7/resolve", incident(IncidentState.RESOLVED))
    assert shell.run("incident", "resolve", "inc-7").stdout.count("\n") == 1


def test_resolved_incidents_are_listed_on_request(tmp_path: Path):
    """The list shows what can justify something; --all shows the rest."""
    api = CannedApi()
    shell = Shell(tmp_path, "frank", api)
    both = (incident(IncidentState.OPEN), incident(IncidentState.RESOLVED, "inc-6"))
    api.lay("GET /v1/incidents", IncidentList(both))
    assert "inc-6" not in shell.run("incident", "list").stdout
    assert "inc-6" in shell.run("incident", "list", "--all").stdout
    api.lay("GET /v1/incidents", IncidentList(()))
    assert "no incident is open" in shell.run("incident", "list").stdout


@pytest.mark.parametrize(
    "value,words",
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=9), "9 s"),
        (timedelta(minutes=4, seconds=10), "4 min 10 s"),
        (timedelta(hours=1), "1 h"),
        (timedelta(hours=1, seconds=5), "1 h"),
        (timedelta(days=2, hours=3, minutes=4), "2 d 3 h"),
        (timedelta(seconds=-3), "0 s"),
    ],
)
def test_spans_in_words(value: timedelta, words: str):
    """At most two units, the rest cut off, never negative."""
    assert span(value) == words


def test_times_and_counts_in_words():
    """Times are UTC and say so; counts agree with their nouns."""
    assert moment(START) == "2026-03-01 03:00:00 UTC"
    assert until(LATER, START) == "in 1 h (04:00:00 UTC)"
    assert until(START, LATER) == "1 h ago (03:00:00 UTC)"
    assert [plural(n, "entry", "entries") for n in (1, 2)] == ["1 entry", "2 entries"]
