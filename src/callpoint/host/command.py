"""``callpoint-host serve | session | reap | prepare | status``: the host side's command line.

Read by hand: it starts with each session and each question, and argparse takes half of that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from callpoint.host import admission, files, reaper, revocations, serve, wrapper
from callpoint.host.settings import DEFAULT, HostSettings, SettingsError, load

_FAILED = 1
_WRONG_USE = 2
_FOLDER_MODE = 0o755
_USAGE = """\
usage: callpoint-host serve   [--config FILE]   answer one request of the broker on stdin
       callpoint-host reap    [--config FILE]   end what is past its time; for a timer
       callpoint-host prepare [--config FILE]   make the files that sshd is told of
       callpoint-host status  [--config FILE]   who is admitted, and the reaper's heartbeats
       callpoint-host session NAME UNTIL [-- COMMAND...]   run one session until its end
"""


def main(arguments: Sequence[str]) -> int:
    """Run one verb; returns the exit status."""
    verb, rest = (arguments[0], list(arguments[1:])) if arguments else ("", [])
    if verb == "session":
        return _session(rest)
    act = _VERBS.get(verb)
    path = DEFAULT if not rest else rest[1] if len(rest) == _PAIR and rest[0] == "--config" else ""
    if act is None or not path:
        sys.stderr.write(_USAGE)
        return _WRONG_USE
    try:
        return act(load(Path(path)))
    except SettingsError as error:
        sys.stderr.write(f"callpoint-host: {error}\n")
        return _WRONG_USE
    except (OSError, files.BusyError, revocations.RevocationError) as error:
        sys.stderr.write(f"callpoint-host: {error}\n")
        return _FAILED


_PAIR = 2


def _session(rest: list[str]) -> int:
    name, until, *more = rest if len(rest) >= _PAIR else ["", ""]
    if not until.isdecimal() or (more and more[0] != "--"):
        sys.stderr.write(_USAGE)
        return _WRONG_USE
    return wrapper.run(name, float(until), more[1:])


def _reap(settings: HostSettings) -> int:
    ended, left = reaper.reap(settings)
    if ended:
        sys.stderr.write(f"callpoint-host: {ended} past their time, {left} sessions left\n")
    return _FAILED if left else 0


def _status(settings: HostSettings) -> int:
    beats = reaper.heartbeats(settings)
    entries = [entry._asdict() for entry in admission.looked_at(settings).there()]
    shown = {"reaper": beats._asdict(), "entries": entries}
    sys.stdout.write(json.dumps(shown, indent=2) + "\n")
    return 0


def _prepare(settings: HostSettings) -> int:
    """Folders and files that sshd needs before it is told of them: nobody is let in by them."""
    for folder in (settings.state, settings.principals):
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        folder.chmod(_FOLDER_MODE)
    with admission.opened(settings, taking=True):
        pass
    return 0


_VERBS = {"serve": serve.main, "reap": _reap, "prepare": _prepare, "status": _status}
