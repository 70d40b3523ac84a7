"""`callpoint return | withdraw | kill`: what ends access, and whether it is proven dead."""

import json
from pathlib import Path

import msgspec
import pytest

from callpoint.api.messages import KillOrder
from callpoint.domain.errors import StoreUnavailableError
from callpoint.domain.kill import Killed, Scope
from tests.fakes.canned_api import ID, CannedApi, lease, refusal, view
from tests.fakes.machine import Shell

RETURN = f"POST /v1/activations/{ID}/return"
KILL = "POST /v1/kill"


def shell_with(tmp_path: Path, route: str, answer: object) -> tuple[Shell, CannedApi]:
    api = CannedApi()
    api.lay(route, answer)
    return Shell(tmp_path, "alice", api), api


def test_a_return_says_how_it_is_known_to_be_dead(tmp_path: Path):
    """Each credential is named with its evidence, and the code is 0."""
    ended = view("ended", leases=(lease("ended", evidence="refused"),))
    shell, api = shell_with(tmp_path, RETURN, ended)
    told = shell.run("return", ID)
    assert (told.exit_code, "ended, refused" in told.stdout) == (0, True)
    assert json.loads(api.bodies(RETURN)[0]) == {"used": False}


def test_a_return_that_is_not_proven_has_its_own_code(tmp_path: Path):
    """What may still live is loud: code 5, the attempts and the rung."""
    stuck = lease("ending", attempts=2, last_error="no route", rung="kill")
    shell, _ = shell_with(tmp_path, RETURN, view("ended", leases=(stuck,)))
    told = shell.run("return", ID, "--used")
    assert told.exit_code == 5
    assert "not proven dead after 2 attempts, stuck at kill: no route" in told.stdout


def test_a_return_that_failed_keeps_the_key(tmp_path: Path):
    """The one-time key is forgotten only once the server has ended the access."""
    shell, _ = shell_with(tmp_path, RETURN, refusal(StoreUnavailableError("full")))
    shell.keyring.create(ID)
    assert shell.run("return", ID).exit_code == 6
    assert shell.keyring.names() == (ID,)


def test_a_withdrawn_request_forgets_its_key(tmp_path: Path):
    """Nothing will be sealed to it any more."""
    shell, _ = shell_with(tmp_path, f"POST /v1/activations/{ID}/withdraw", view("withdrawn"))
    shell.keyring.create(ID)
    assert shell.run("withdraw", ID).exit_code == 0
    assert shell.keyring.names() == ()


@pytest.mark.parametrize("scope", ["activation", "principal", "target", "incident"])
def test_a_kill_names_what_it_ended(tmp_path: Path, scope: str):
    """Nobody is asked, the order is exact, and each ended activation is named."""
    shell, api = shell_with(tmp_path, KILL, Killed((ID,), ()))
    name = ID if scope == "activation" else "Inc-7"
    told = shell.run("kill", scope, name)
    assert told.exit_code == 0
    assert f"ended {ID}" in told.stdout
    about = "inc-7" if scope == "incident" else name
    order = msgspec.json.decode(api.bodies(KILL)[0], type=KillOrder)
    assert order == KillOrder(Scope(scope), about)


@pytest.mark.parametrize("where", [(), ("--offline",)])
def test_a_kill_of_what_is_no_activation_is_not_sent(tmp_path: Path, where: tuple[str, ...]):
    """Without a store it would stop all giving; the error says where the ids are."""
    shell, api = shell_with(tmp_path, KILL, Killed((), ()))
    told = shell.run("kill", "activation", "Inc-7", *where)
    assert told.exit_code == 2
    assert "'Inc-7' is not an activation id" in told.stderr
    assert "callpoint status" in told.stderr
    assert not api.bodies(KILL)


def test_a_kill_that_met_nothing_says_so(tmp_path: Path):
    """A name that is misspelt at 3 a.m. does not read like a success."""
    shell, _ = shell_with(tmp_path, KILL, Killed((), ()))
    told = shell.run("kill", "target", "order-db")
    assert told.exit_code == 0
    assert "nothing was open for target order-db" in told.stdout
    assert "nothing was open" not in shell.run("kill", "everything", "--yes").stdout


def test_a_kill_that_is_not_proven_has_its_own_code(tmp_path: Path):
    """What may still live is named, with code 5, in JSON too."""
    shell, _ = shell_with(tmp_path, KILL, Killed((ID,), ("lease1",)))
    told = shell.run("kill", "activation", ID)
    assert told.exit_code == 5
    assert "! lease1 is not proven dead" in told.stdout
    told = shell.run("kill", "activation", ID, "-o", "json")
    assert (told.exit_code, json.loads(told.stdout)["alive"]) == (5, ["lease1"])


def test_a_kill_needs_a_name(tmp_path: Path):
    """A scope without its name sends nothing."""
    shell, api = shell_with(tmp_path, KILL, Killed((), ()))
    told = shell.run("kill", "target")
    assert (told.exit_code, api.asked) == (2, [])
    assert "callpoint kill target NAME" in told.stderr


def test_killing_everything_is_asked_once(tmp_path: Path):
    """Everything needs a yes: typed, or --yes; a name beside it is a mistake."""
    shell, api = shell_with(tmp_path, KILL, Killed((), ()))
    assert shell.run("kill", "everything").exit_code == 2
    shell.machine.interactive = True
    assert shell.run("kill", "everything", input="n\n").exit_code == 130
    assert shell.run("kill", "everything", "orders-db", "--yes").exit_code == 2
    assert api.asked == []
    assert shell.run("kill", "everything", input="y\n").exit_code == 0
    shell.machine.interactive = False
    assert shell.run("kill", "everything", "--yes").exit_code == 0


@pytest.mark.parametrize(
    "found, code, words",
    [
        (
            {"tombstone": "t1", "dead": ("cp_a on x",)},
            0,
            ("dead: cp_a on x", "tombstone t1: nothing"),
        ),
        ({"tombstone": "t1", "alive": ("lease1",)}, 5, ("! lease1 is not", "run the same command")),
        ({"tombstone": "t1", "unreachable": ("x",)}, 5, ("! x did not say which", "1 target not")),
        ({"tombstone": "t1", "unattributed": ("cp_b on x",)}, 5, ("nobody can say whose",)),
        ({"trouble": ("no tombstone could be written",)}, 6, ("! no tombstone could be",)),
    ],
)
def test_a_kill_without_the_store_says_what_is_known_and_what_is_not(
    tmp_path: Path, found: dict[str, object], code: int, words: tuple[str, ...]
):
    """What may still live is 5, as ever; an order that a restart would forget is 6."""
    answer = msgspec.structs.replace(Killed((ID,), (), without_store=True), **found)
    shell, _ = shell_with(tmp_path, KILL, answer)
    told = shell.run("kill", "principal", "alice")
    assert told.exit_code == code
    assert told.stdout.startswith("the store was not asked")
    assert all(word in told.stdout for word in words), told.stdout


def test_a_home_is_named_for_an_offline_kill_alone(tmp_path: Path):
    """A folder that would be ignored is refused; one that holds no installation kills nothing."""
    shell, _ = shell_with(tmp_path, KILL, Killed((), ()))
    told = shell.run("kill", "everything", "--yes", "--home", str(tmp_path))
    assert (told.exit_code, "--offline" in told.stderr) == (2, True)
    told = shell.run("kill", "everything", "--yes", "--offline", "--home", str(tmp_path))
    assert (told.exit_code, "callpoint init" in told.stderr) == (2, False)
    assert "name the server's own folder: --home DIR" in told.stderr
