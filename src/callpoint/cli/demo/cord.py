"""The cord: a live session on the database is cut in the middle of a statement."""

import time

import psycopg

from callpoint.cli.demo import cast
from callpoint.cli.demo.actor import Actor
from callpoint.cli.demo.errors import UnexpectedError, expect
from callpoint.cli.demo.stage import Stage

_BECAUSE = "whether the deploy left other orders stuck has to be looked at before it is undone"
_ENDLESS = "SELECT count(*) FROM orders a, orders b, orders c, orders d, orders e"
"""10^10 rows: somebody forgot how the tables join."""

_CHANGE = "UPDATE orders SET state = 'paid' WHERE state = 'stuck'"
_REASON = "was approved to investigate, and sql:update on public.orders changes something"


def cord(made: Stage, incident: str) -> None:
    """Play it, in an incident that is still open."""
    made.narrator.act("To look, not to touch: policy decides each statement")
    words = ("request", cast.ELIGIBILITY, "--incident", incident, "--because", _BECAUSE)
    activation: str = made.shell.json("alice", *words, "--purpose", "investigate")["id"]
    made.narrator.line("Alice asks again, to investigate. Carol and Dave approve, as before.")
    yes = ("approve", activation, "--yes")
    for vote in [made.shell.start(who, *yes) for who in ("carol", "dave")]:
        made.shell.finish(vote, *yes, show=False)
    if not made.has_psql:  # else `callpoint connect` takes it up
        made.shell.run("alice", "request", "--resume", activation, "--wait", show=False)
    actor = Actor(made, "alice", activation)
    actor.is_refused([(_CHANGE, _REASON)])
    made.narrator.good("refused by policy, which says why and what to ask for instead")
    made.narrator.act("The cord: a session at the gateway is cut in the middle of a statement")
    _cut(made, actor, activation)


def _cut(made: Stage, actor: Actor, activation: str) -> None:
    with actor.session() as session:
        words = ("kill", "activation", activation, "--yes")
        made.narrator.line(f"A client of hers runs `{_ENDLESS}`. Then Bob pulls the cord.")
        made.narrator.typed("bob", ["callpoint", *words])
        since = time.monotonic()
        order = made.shell.start("bob", *words)
        try:
            session.execute(_ENDLESS)
        except psycopg.OperationalError as error:
            seconds = time.monotonic() - since
            made.narrator.seen(f"Alice's client: {error}")
        else:
            raise UnexpectedError("the statement came to its end")
    made.narrator.good(f"the session was cut, {seconds:.1f} s after Bob pressed return")
    made.narrator.line("At Bob's terminal, once the end is proven:")
    made.shell.finish(order, *words)
    (lease,) = made.shell.json("alice", "status", activation)["leases"]
    expect(lease["evidence"] == "absent, refused", "the evidence says: absent, refused")
