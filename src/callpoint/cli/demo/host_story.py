"""The second target: a host that is repaired in scope, and a live session that is cut."""

import time

from callpoint.cli.demo import cast
from callpoint.cli.demo.alert import alert
from callpoint.cli.demo.errors import expect
from callpoint.cli.demo.host_actor import NOT_LET_IN, HostActor
from callpoint.cli.demo.repaired_host import RepairedHost
from callpoint.cli.demo.stage import Stage
from callpoint.cli.exit_codes import ExitCode

_BECAUSE = "the worker on the host hangs and orders pile up; it has to be restarted by hand"


def host_under_repair(made: Stage, host: RepairedHost, other_incident: str) -> None:
    """Play it.

    Args:
        made: The stage.
        host: The second target.
        other_incident: An open one that is about the database, not about the host.
    """
    activation = _ask(made, other_incident)
    actor = _repair(made, host, activation)
    _cut(made, host, actor, activation)


def _ask(made: Stage, other_incident: str) -> str:
    made.narrator.act("A second target: the host of the worker that handles orders")
    made.shell.run("alice", *_words(other_incident), code=ExitCode.DENIED)
    made.narrator.good("refused: that incident is about the database and does not name the host")
    incident = alert(made.server, "WorkerDown", "00deadbeef00f00d", cast.HOST_SERVICE)
    made.narrator.line(f"Then an alert names the host. It is incident {incident}.")
    made.narrator.line("Alice asks again, and Carol and Dave approve, as before.")
    view = made.shell.json("alice", *_words(incident))
    activation: str = view["id"]
    for approver in ("carol", "dave"):
        made.shell.run(approver, "approve", activation, "--yes", show=False)
    made.shell.run("alice", "request", "--resume", activation, "--wait", show=False)
    return activation


def _words(incident: str) -> tuple[str, ...]:
    return ("request", cast.HOST_ELIGIBILITY, "--incident", incident, "--because", _BECAUSE)


def _repair(made: Stage, host: RepairedHost, activation: str) -> HostActor:
    made.narrator.act("The repair: one command in scope, one that is not")
    actor = HostActor(made, "alice", activation)
    actor.works("restart worker")
    expect(host.worker.read_text() == "running\n", "the worker runs again")
    made.narrator.good("the worker runs again; the private key was in no file and no argument")
    actor.is_refused("cat /etc/shadow")
    made.narrator.good(
        "refused: the certificate itself names the one program of the owner's that it opens"
    )
    return actor


def _cut(made: Stage, host: RepairedHost, actor: HostActor, activation: str) -> None:
    made.narrator.act("The cord: a live session is cut, and the certificate is dead")
    made.narrator.line("Somebody keeps a copy of key and certificate. It still logs in:")
    actor.take_a_copy()
    made.narrator.seen("accepted")
    made.narrator.line("Alice follows the worker. Then Bob pulls the cord.")
    session = actor.long_session()
    words = ("kill", "activation", activation, "--yes")
    made.narrator.typed("bob", ["callpoint", *words])
    since = time.monotonic()
    cord = made.shell.start("bob", *words)
    made.narrator.line("At Alice's terminal, while the end is still being proven:")
    made.shell.finish(session, "connect", activation, code=NOT_LET_IN)
    seconds = time.monotonic() - since
    made.narrator.good(f"the live session was cut, {seconds:.1f} s after Bob pressed return")
    made.narrator.line("At Bob's terminal, once it is proven:")
    made.shell.finish(cord, *words)
    made.narrator.seen(f"the copy: {actor.copy_is_dead().strip().splitlines()[-1]}")
    (lease,) = made.shell.json("alice", "status", activation)["leases"]
    expect(lease["evidence"] == "absent, refused", "the evidence says: absent, refused")
    expect(f"ID {lease['account']} (serial" in host.sshd.log(), "sshd's log names the certificate")
    expect(not host.has_processes_of(lease["account"]), "no process of the session is left")
    made.narrator.good("absent on the host, no process left, and refused by sshd when tried")
