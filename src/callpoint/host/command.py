"""``callpoint-host serve | session | reap | status``: the host side's command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from callpoint.host import admission, files, reaper, revocations, serve, wrapper
from callpoint.host.settings import DEFAULT, HostSettings, SettingsError, load

_FAILED = 1
_WRONG_USE = 2
_FOLDER_MODE = 0o755


def main(arguments: Sequence[str]) -> int:
    """Run one verb; returns the exit status."""
    given = _parser().parse_args(arguments)
    if given.verb == "session":
        return wrapper.run(given.name, float(given.until), given.command)
    try:
        settings = load(given.config)
        return _act(given.verb, settings)
    except SettingsError as error:
        sys.stderr.write(f"callpoint-host: {error}\n")
        return _WRONG_USE
    except (OSError, files.BusyError, revocations.RevocationError) as error:
        sys.stderr.write(f"callpoint-host: {error}\n")
        return _FAILED


def _act(verb: str, settings: HostSettings) -> int:
    if verb == "serve":
        return serve.main(settings)
    if verb == "reap":
        ended, left = reaper.reap(settings)
        if ended:
            sys.stderr.write(f"callpoint-host: {ended} past their time, {left} sessions left\n")
        return _FAILED if left else 0
    if verb == "prepare":
        return _prepare(settings)
    beats = reaper.heartbeats(settings)
    entries = [e._asdict() for e in admission.looked_at(settings).there()]
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("callpoint-host", description=__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, says in (
        ("serve", "answer one request of the broker on stdin; the broker's forced command"),
        ("reap", "end what is past its time; for a timer"),
        ("prepare", "make the folders and files that sshd is told of"),
        ("status", "show who is admitted, and the reaper's heartbeats"),
    ):
        one = verbs.add_parser(verb, help=says)
        one.add_argument("--config", type=Path, default=Path(DEFAULT))
    session = verbs.add_parser("session", help="run one session until its end; a forced command")
    session.add_argument("name")
    session.add_argument("until", type=int)
    session.add_argument("command", nargs="*")
    return parser
