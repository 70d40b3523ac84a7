"""Six misuses; each is refused, or found."""

import base64
import json
import shutil
from pathlib import Path

from callpoint.cli import ballot
from callpoint.cli.client import Client
from callpoint.cli.demo import cast
from callpoint.cli.demo.alert import alert
from callpoint.cli.demo.errors import UnexpectedError, expect
from callpoint.cli.demo.stage import INSTALLATION_FILE, Stage
from callpoint.cli.exit_codes import ExitCode
from callpoint.cli.keyring import load_principal_key
from callpoint.cli.machine import ThisMachine
from callpoint.domain.approval import Verdict
from callpoint.domain.errors import DeniedError

_BECAUSE = "trying what must not work, as part of the demo"


def misuses(made: Stage, reviewed: str) -> None:
    """Try all of them."""
    incident = alert(made.server, "OrdersStuckAgain", "00deadbeef00beef")
    self_approval(made, incident)
    changed_request(made, incident)
    reuse(made, reviewed)
    over_budget(made, incident)
    one_governor(made)
    tampered_log(made)


def self_approval(made: Stage, incident: str) -> None:
    """Bob is on call and an incident commander: he may ask, he may approve, but not both."""
    made.narrator.act("Misuse 1: self-approval")
    activation = _asked(made, "bob", incident)
    made.shell.run("bob", "approve", activation, "--yes", code=ExitCode.DENIED)
    made.narrator.good("refused: persons are counted, and the requester is none of them")
    made.shell.run("bob", "withdraw", activation, show=False)


def changed_request(made: Stage, incident: str) -> None:
    """A vote for one request is put under another one, which asks for more time."""
    made.narrator.act("Misuse 2: an approval of a changed request")
    short = _asked(made, "alice", incident, "--for", "5m")
    full = _asked(made, "alice", incident)
    answer = _stolen_vote(made, short, full)
    made.narrator.seen(answer)
    made.narrator.good("refused: a vote is signed over the digest of the exact request")
    for activation in (short, full):
        made.shell.run("alice", "withdraw", activation, show=False)


def _stolen_vote(made: Stage, signed_for: str, used_for: str) -> str:
    """Carol signs one request; her signed statement is sent under the other."""
    key = load_principal_key(made.shell.key_file("carol"))
    client = Client(made.server, key, ThisMachine())
    vote = ballot.cast(client.statement(signed_for, Verdict.APPROVE), key, "")
    try:
        client.vote(used_for, Verdict.APPROVE, vote)
    except DeniedError as error:
        return str(error)
    raise UnexpectedError("a vote for one request was counted for another")


def reuse(made: Stage, reviewed: str) -> None:
    """The credential of the first emergency is asked for again."""
    made.narrator.act("Misuse 3: reuse after return")
    made.shell.run("alice", "credentials", reviewed, code=ExitCode.CONFLICT)
    made.narrator.good("refused: a further use needs a new, newly approved activation")


def over_budget(made: Stage, incident: str) -> None:
    """The budget is one incident in 90 days, and it is spent."""
    made.narrator.act("Misuse 4: a second emergency over the budget")
    activation = _asked(made, "alice", incident)
    made.shell.run("carol", "approve", activation, "--yes", show=False)
    made.shell.run("dave", "approve", activation, "--yes", show=False)
    view = made.shell.json("alice", "status", activation)
    made.narrator.line("Carol and Dave approve, as before. This time it is not enough:")
    made.narrator.seen("\n".join([view["next"], *view["request"]["findings"]]))
    expect(view["state"] == "requested", "two approvals do not carry a request over the budget")
    expect(view["request"]["ttl"] == "PT900S", "its time is half as long")
    made.narrator.good(
        "not refused, since it may be real: one more approver, from security, half the time"
    )
    made.shell.run("alice", "withdraw", activation, show=False)


def one_governor(made: Stage) -> None:
    """Gina alone lowers the quorum."""
    made.narrator.act("Misuse 5: a widened configuration, signed by one governor")
    wider = made.folder / "wider"
    shutil.copytree(made.configuration, wider)
    file = wider / "callpoint.toml"
    file.write_text(
        file.read_text().replace("approval = { quorum = 2", "approval = { quorum = 1", 1)
    )
    made.shell.run("gina", "publish", "propose", "--config", wider.name, "--out", "wider.json")
    signature = made.shell.json("gina", "sign", "wider.json", "--key", "gina/key.json")
    (made.folder / "gina.sig").write_text(json.dumps(signature))
    made.shell.run("gina", "publish", "submit", "wider.json", "gina.sig", code=ExitCode.DENIED)
    made.narrator.good("refused: what widens access needs both governors, and the line is named")


def tampered_log(made: Stage) -> None:
    """One bit of the exported log is flipped, as an administrator of the database might."""
    made.narrator.act("Misuse 6: a tampered log")
    export = made.folder / "log"
    made.shell.run("erin", "log", "export", export.name, show=False)
    words = ("verify", "log", export.name, "--installation", INSTALLATION_FILE)
    made.shell.run("an outsider", *words)
    where = _flip_a_bit(export)
    made.narrator.line(f"One bit is flipped: entry {where} now says that `davd` approved.")
    out = made.shell.run("an outsider", *words, code=ExitCode.TAMPER)
    expect(str(where) in out, "the verifier names the entry that was changed")
    made.narrator.good("found, and named")


def _flip_a_bit(export: Path) -> int:
    """Make another person of an approver: ``dave`` and ``davd`` differ by one bit.

    Returns:
        The index of the entry.
    """
    (file,) = sorted(export.glob("*.jsonl"))
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    for entry in entries:
        leaf = base64.b64decode(entry["leaf"])
        changed = leaf.replace(b'"person":"dave"', b'"person":"davd"')
        if changed != leaf:
            entry["leaf"] = base64.b64encode(changed).decode()
            file.write_text("".join(json.dumps(e) + "\n" for e in entries))
            return int(entry["index"])
    raise UnexpectedError("no vote of dave is in the log")


def _asked(made: Stage, who: str, incident: str, *more: str) -> str:
    """Ask for the usual eligibility; returns the activation."""
    words = ("request", cast.ELIGIBILITY, "--incident", incident, "--because", _BECAUSE, *more)
    view = made.shell.json(who, *words)
    activation: str = view["id"]
    if view["state"] != "requested":
        raise UnexpectedError(f"{activation} is {view['state']}")
    return activation
