"""An appliance with one static account, and the program that its owner wrote for Callpoint.

The program is a real executable; its state is a file beside it, and so are its faults.
"""

import json
import stat
import sys
from datetime import timedelta
from pathlib import Path

from callpoint.adapters.clock.system import SystemClock, SystemRandom
from callpoint.adapters.targets.script.connector import ScriptConnector
from callpoint.adapters.targets.script.settings import Between, ScriptRole, ScriptSettings

INITIAL = "factory-default"
_PROGRAM = """#!{python} -IS
import json, os, pathlib, sys, time
state_file = pathlib.Path({state!r})
state = json.loads(state_file.read_text())
asked = json.loads(sys.stdin.read())
fault = state["faults"].get(asked["verb"], "")
state["seen"].append([asked["verb"], sys.argv[1:], sorted(os.environ), os.getcwd()])
def say(**answer):
    state_file.write_text(json.dumps(state))
    if fault == "unanswered":
        os._exit(3)
    print(json.dumps(answer))
    sys.exit(0)
if fault == "slow":
    time.sleep(60)
if fault == "noise":
    print("x" * 200_000)
    sys.exit(0)
if fault == "words":
    print("done, I think")
    sys.exit(0)
if fault == "gossip":
    say(result="refused", why="cannot set " + asked["new"])
if fault == "not done":
    os._exit(3)
match asked["verb"]:
    case "describe":
        say(result="done", protocol=1, ends_sessions_within=state["ends"])
    case "set":
        if state["secret"] not in [asked["new"], *asked.get("former", [])]:
            say(result="refused", why="the old secret is wrong")
        if asked["generation"] < state["generation"]:
            say(result="refused", why="an older generation")
        state["secret"], state["generation"] = asked["new"], asked["generation"]
        state["locked"] = "open_until" not in asked and asked["between"] == "locked"
        say(result="done")
    case "try":
        right = asked["secret"] == state["secret"]
        say(result="refused" if not right else "locked" if state["locked"] else "accepted")
    case "sessions":
        if state["sessions"] is None:
            say(result="unsupported")
        say(result="done", sessions=state["sessions"])
    case "end_sessions":
        if state["sessions"] is None:
            say(result="unsupported")
        state["sessions"] = 0
        say(result="done")
"""


class Appliance:
    """One appliance in a folder.

    Attributes:
        program: The executable.
    """

    def __init__(self, folder: Path) -> None:
        self.program = folder / "appliance"
        self._file = folder / "state.json"
        self._write(
            {
                "secret": INITIAL,
                "generation": 0,
                "locked": False,
                "sessions": 0,
                "ends": None,
                "faults": {},
                "seen": [],
            }
        )
        text = _PROGRAM.replace("{python}", sys.executable)
        self.program.write_text(text.replace("{state!r}", repr(str(self._file))))
        self.program.chmod(stat.S_IRWXU)

    @property
    def state(self) -> dict[str, object]:
        """What is in it now."""
        found: dict[str, object] = json.loads(self._file.read_text())
        return found

    def change(self, **changes: object) -> None:
        """Change what is in it."""
        self._write({**self.state, **changes})

    def connector(self, between: Between = Between.ROTATED, seconds: float = 5) -> ScriptConnector:
        """Over this appliance."""
        settings = ScriptSettings(
            name="switch",
            installation="abc123",
            program=str(self.program),
            roles={"admin": ScriptRole("admin", between, INITIAL)},
            host="switch.internal",
            port=22,
            limit=timedelta(seconds=seconds),
        )
        return ScriptConnector(settings, SystemClock(), SystemRandom())

    def _write(self, state: dict[str, object]) -> None:
        self._file.write_text(json.dumps(state))
