"""`callpoint doctor`: what is wrong now, in plain words, each with the next command."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import click
import msgspec

from callpoint.bootstrap.shell_word import shell_word
from callpoint.cli.exit_codes import ExitCode
from callpoint.cli.invocation import Invocation, verb
from callpoint.cli.words import listed, moment
from callpoint.domain.counted import plural
from callpoint.domain.errors import (
    AuthenticationError,
    CallpointError,
    ConfigError,
    NotFoundError,
    UnavailableError,
)
from callpoint.lifecycle.diagnose import Diagnosis
from callpoint.lifecycle.symptoms.symptom import (
    Code,
    Severity,
    Symptom,
    is_sound,
    ranked,
    symptom,
)

_MOST_SKEW = timedelta(seconds=4)
"""A signature from further ahead is refused; the answer was under way for a moment, too."""

_TAMPERED = frozenset(
    {
        Code.CHECKPOINT_DIFFERS,
        Code.CHECKPOINT_INVALID,
        Code.ROW_SPOILT,
        Code.TOMBSTONE_REFUSED,
        Code.WITNESS_CONTRADICTS,
    }
)
_TARGETS = frozenset(
    {
        Code.BROKER_POWERS,
        Code.LEASE_STUCK,
        Code.REAPER_MISSING,
        Code.TARGET_NOT_COMPARED,
        Code.TARGET_REFUSES,
        Code.TARGET_SELFTEST,
        Code.TARGET_SILENT,
        Code.TARGET_SKEW,
    }
)
_MOST_OF_A_KIND = 20
_MARKS = {Severity.URGENT: "!!", Severity.WARNING: "! ", Severity.NOTICE: "- "}
_FOLDER = click.Path(file_okay=False, path_type=Path)


class Examined(msgspec.Struct, frozen=True):
    """What ``-o json`` gives.

    Attributes:
        server: The server's own diagnosis; None when it gave none.
        home: The home folder that was looked at on this machine, or empty.
        symptoms: All of them, the worst first.
    """

    ok: bool
    server: Diagnosis | None
    home: str
    symptoms: tuple[Symptom, ...]


@verb("doctor")
@click.option("--home", type=_FOLDER, help="The installation's folder, if it is on this machine.")
def doctor(run: Invocation, home: Path | None) -> int:
    """Say what is wrong now, the worst first, each with the next command.

    Asks the server, which asks every target, and looks into the installation's folder where it is
    on this machine; it changes nothing. Exit status: 0 nothing is wrong (somebody may be waited
    for), 5 only on the side of targets, 6 something of Callpoint, 7 evidence does not agree.
    """
    place = _home(run, home)
    told, found = _ask(run, place)
    if place is not None:
        from callpoint.bootstrap.home_check import check_home

        found += check_home(place)
    symptoms = ranked(found)
    ok = is_sound(symptoms) and (told is None or told.ok)
    examined = Examined(ok, told, str(place or ""), symptoms)
    run.show(examined, _lines(examined, run.server))
    return _status(examined)


def _home(run: Invocation, named: Path | None) -> Path | None:
    """The folder that was named, or the usual one if there is an installation in it."""
    if named is not None:
        return named
    from callpoint.config.settings import home_directory

    try:
        usual = home_directory(None, run.machine.environment)
        there = (usual / "installation.json").exists() or (usual / "proposal.json").exists()
    except (CallpointError, OSError):
        return None
    return usual if there else None


def _ask(run: Invocation, home: Path | None) -> tuple[Diagnosis | None, list[Symptom]]:
    """The server's diagnosis and what this machine adds; or why there is none, as a symptom."""
    try:
        told = run.client.diagnosis()
    except CallpointError as error:
        return None, [_unanswered(run, error, home)]
    found = [*told.symptoms, *_of_clock(run.machine.now(), told.now)]
    if home is not None:
        found += _of_log(run, home)
    return told, found


def _unanswered(run: Invocation, error: CallpointError, home: Path | None) -> Symptom:
    """Why the server said nothing: nobody is there, it does not know us, or it is broken."""
    serve = f"`callpoint serve --home {shell_word(home)}`" if home else "`callpoint serve`"
    start = f"if it does not run, start it ({serve}, or its unit) and read what it says"
    match error:
        case ConfigError():  # there is no key to ask with
            step = error.way_out or "name your key: `callpoint doctor --key FILE`"
            words = f"the server was not asked: {error.file}: {error.message}"
            return symptom(Severity.WARNING, Code.SERVER_REFUSES, run.server, words, step)
        case NotFoundError():
            words = f"{run.server} has no diagnosis: it is an older Callpoint, or another program"
            step = "`callpoint status`, and give client and server one version"
            return symptom(Severity.WARNING, Code.SERVER_REFUSES, run.server, words, step)
        case AuthenticationError():
            step = error.way_out or "is your key in the configuration that is in force?"
            return symptom(Severity.WARNING, Code.SERVER_REFUSES, run.server, error.message, step)
        case UnavailableError() if _is_there(run):
            words = f"the server answers and cannot work: {error.message}; nothing is given"
            step = error.way_out or "its log says more"
            return symptom(Severity.URGENT, Code.SERVER_UNABLE, run.server, words, step)
        case UnavailableError():
            return symptom(
                Severity.URGENT,
                Code.SERVER_DOWN,
                run.server,
                f"{error.message}; while no server works, nothing is given or revoked, and only"
                " the targets themselves end what expires",
                f"{error.way_out}; {start}" if error.way_out else start,
            )
        case _:
            return symptom(
                Severity.WARNING, Code.SERVER_REFUSES, run.server, error.message, error.way_out
            )


def _is_there(run: Invocation) -> bool:
    """Whether the server answers what needs neither a store nor a key."""
    try:
        run.client.installation()
    except CallpointError:
        return False
    return True


def _of_clock(mine: datetime, theirs: datetime) -> Iterator[Symptom]:
    skew = mine - theirs
    if abs(skew) > _MOST_SKEW:
        direction = "ahead of" if skew > timedelta(0) else "behind"
        yield symptom(
            Severity.WARNING,
            Code.MACHINE_SKEW,
            "this machine",
            f"this machine's clock is {abs(skew).total_seconds():.0f} s {direction} the store's:"
            " a little more, and the server refuses what is signed here",
            "set the clock (`timedatectl`, chrony)",
        )


def _of_log(run: Invocation, home: Path) -> Iterator[Symptom]:
    """What the server serves is not older than what its machine kept outside the database."""
    from callpoint.audit.checkpoint import parse_checkpoint
    from callpoint.audit.note import parse_note
    from callpoint.bootstrap.home import Home
    from callpoint.bootstrap.home_check import kept_checkpoint

    folder = Home(home)
    try:
        installation = folder.installation()
        if run.client.installation().id != installation.id:
            return  # another installation's folder
        kept = kept_checkpoint(folder, installation)
        served = parse_checkpoint(parse_note(run.client.checkpoint()).text)
    except (CallpointError, ValueError):
        return  # each is told where it is looked at by itself
    if kept is None or kept.origin != served.origin:
        return
    if kept.size > served.size or (kept.size == served.size and kept.root != served.root):
        yield symptom(
            Severity.URGENT,
            Code.CHECKPOINT_DIFFERS,
            "log",
            f"the server's log has {served.size} entries and is not the one that was kept outside"
            f" the database, with {kept.size}: it was rolled back or replaced",
            "stop the server, keep the database as it is, and put the newest backup back; see"
            " docs/operations/recovery.md",
        )


def _symptoms(symptoms: tuple[Symptom, ...]) -> Iterator[str]:
    """A storm has a thousand of one kind: the first of them say what is wrong."""
    told: Counter[Code] = Counter()
    for found in symptoms:
        told[found.code] += 1
        if told[found.code] <= _MOST_OF_A_KIND:
            yield f"{_MARKS[found.severity]} {found.text}  [{found.code}]"
            yield f"       next: {found.next_step}"
    for code, count in told.items():
        if count > _MOST_OF_A_KIND:
            yield f"and {count - _MOST_OF_A_KIND} more of {code}: `callpoint doctor -o json`"


def _lines(examined: Examined, server: str) -> Iterator[str]:
    told = examined.server
    yield from _symptoms(examined.symptoms)
    if told is not None and told.hidden:
        yield f"{plural(told.hidden, 'symptom')} about activations that you may not view"
    if told is not None:
        asked = listed(told.targets, "no target")
        yield f"asked {server} ({told.installation}, {moment(told.now)}) and {asked}"
        yield f"looked at: {', '.join(told.looked)}"
    if examined.home:
        yield f"looked into {examined.home}"
    counts = {s: sum(f.severity is s for f in examined.symptoms) for s in Severity}
    if examined.ok:
        yield "doctor: nothing is wrong" + (
            f" ({plural(counts[Severity.NOTICE], 'notice')})" if counts[Severity.NOTICE] else ""
        )
    else:
        said = ", ".join(f"{count} {severity}" for severity, count in counts.items() if count)
        yield f"doctor: {said or 'something is wrong that you may not view'}"


def _status(examined: Examined) -> int:
    if examined.ok:
        return ExitCode.OK
    codes = {s.code for s in examined.symptoms if s.severity is not Severity.NOTICE}
    if codes & _TAMPERED:
        return ExitCode.TAMPER
    return ExitCode.TARGET if codes and codes <= _TARGETS else ExitCode.UNAVAILABLE
