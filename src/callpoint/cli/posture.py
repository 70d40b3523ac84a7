"""`callpoint posture targets`: which accounts exist on the targets, and what is wrong with them."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import click

from callpoint.cli.exit_codes import ExitCode
from callpoint.cli.group import VerbGroup
from callpoint.cli.invocation import Invocation, verb
from callpoint.cli.words import span
from callpoint.domain.counted import plural
from callpoint.lifecycle.posture import Fault, Kind, Posture, Seen, TargetPosture
from callpoint.ports.inventory import Moment

_WORDS = {
    Fault.CHANGED: "its secret was changed by somebody else; the next check-out replaces it",
    Fault.LEFTOVER: "left over: no lease explains it; reconciliation removes it",
    Fault.PRIVILEGED: "powerful, and nobody is named who answers for it",
    Fault.UNOWNED: "nobody answers for it",
    Fault.UNROTATED: "its secret is old",
    Fault.UNUSED: "nobody uses it",
    Fault.USED_UNLEASED: "in use, and nobody has it checked out",
}
_HEAD = ("ACCOUNT", "WHAT", "LOGIN", "SECRET CHANGED", "LAST USED", "NOW", "POWERS")


@click.group("posture", cls=VerbGroup)
def posture() -> None:
    """What exists on targets, beside what Callpoint gives."""


@verb("targets", posture)
@click.option("--target", default="", metavar="NAME", help="Only this target.")
@click.option("--all", "everything", is_flag=True, help="Also accounts with nothing wrong.")
def targets(run: Invocation, target: str, *, everything: bool) -> int:
    """List accounts on the targets that somebody must look at: ours, and everybody else's.

    Needs the auditor's right. What a target does not keep is shown as "unknown", never guessed.
    Exit status: 0 nothing is wrong, 5 something is, or a target did not answer.
    """
    found = run.client.posture(target)
    run.show(found, _lines(found, everything=everything))
    return int(ExitCode.OK if is_sound(found) else ExitCode.TARGET)


def is_sound(found: Posture) -> bool:
    """Every target answered, and no account has a fault."""
    return all(
        one.answered and not one.left_off and not any(row.faults for row in one.accounts)
        for one in found.targets
    )


def _lines(found: Posture, *, everything: bool) -> Iterator[str]:
    for one in found.targets:
        if not one.answered:
            yield f"! {one.target} ({one.environment}): not answered: {one.why}"
            continue
        wrong = [row for row in one.accounts if row.faults]
        count = plural(len(one.accounts) + one.left_off, "account")
        yield f"{'! ' if wrong else ''}{one.target} ({one.environment}): {count}, {_of(wrong)}"
        yield from _table(one, one.accounts if everything else wrong, found.now)
        if one.left_off:
            yield f"  and {plural(one.left_off, 'account')} more, not shown"
    yield "posture: nothing is wrong" if is_sound(found) else "posture: see the lines with !"


def _of(wrong: list[Seen]) -> str:
    return f"{len(wrong)} to look at" if wrong else "nothing is wrong"


def _table(one: TargetPosture, rows: Iterable[Seen], now: datetime) -> Iterator[str]:
    lines = [_cells(row, now) for row in rows]
    if not lines:
        return
    widths = [max(len(cells[n]) for cells in (_HEAD, *lines)) for n in range(len(_HEAD))]
    yield _line("  ", _HEAD, widths)
    for row, cells in zip(rows, lines, strict=True):
        yield _line("! " if row.faults else "  ", cells, widths)
        for fault in row.faults:
            yield f"    {fault}: {_WORDS[fault]}{_way_out(fault, row, one.target)}"


def _line(mark: str, cells: Iterable[str], widths: Iterable[int]) -> str:
    return mark + "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()


def _cells(row: Seen, now: datetime) -> tuple[str, ...]:
    account = row.account
    what = row.owner or (f"lease {row.lease}" if row.lease else str(row.kind))
    login = {True: "yes", False: "no", None: "unknown"}[account.can_log_in]
    return (
        account.name,
        what,
        login,
        _moment(account.secret_changed, now),
        _moment(account.last_used, now),
        "unknown" if account.sessions is None else plural(account.sessions, "session"),
        ", ".join(account.powers) or "-",
    )


def _moment(moment: Moment, now: datetime) -> str:
    if not moment.known:
        return "unknown"
    return "never" if moment.at is None else f"{span(now - moment.at)} ago"


def _way_out(fault: Fault, row: Seen, target: str) -> str:
    if fault in (Fault.UNOWNED, Fault.PRIVILEGED) and row.kind is Kind.OTHER:
        name = row.account.name
        return f'; name an owner: [targets.{target}.accounts."{name}"], or remove it there'
    return ""
