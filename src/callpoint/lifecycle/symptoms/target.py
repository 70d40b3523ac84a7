"""Targets: whether they answer, what the broker may do there, and what outlives Callpoint."""

from collections.abc import Iterator

from callpoint.domain.eligibility import Lane
from callpoint.lifecycle.symptoms.observed import Observed, TargetSeen, offset
from callpoint.lifecycle.symptoms.symptom import Code, Severity, Symptom, symptom
from callpoint.ports.targets import Check, Residual, SelfTest


def check_targets(seen: Observed) -> Iterator[Symptom]:
    """Each target that cannot be used, does not answer, or is not as its selftest wants it."""
    for name, why in seen.unusable.items():
        yield symptom(
            _if_open(seen, name),
            Code.TARGET_UNUSABLE,
            name,
            f"nothing can be opened on {name} from here{_open_there(seen, name)}: {why}",
            "repair what it names in the server's environment, then restart `callpoint serve`",
        )
    for target in seen.targets:
        if _is_over(seen, target.name):
            continue
        if target.report is None:
            yield _silent(seen, target)
        else:
            yield from _reported(seen, target.name, target.report)


def _is_over(seen: Observed, name: str) -> bool:
    """It left the rules, and nothing on it is left to revoke: nobody need repair it."""
    known = seen.configuration is None or seen.configured(name) is not None
    return not known and not seen.open_on(name)


def _silent(seen: Observed, target: TargetSeen) -> Symptom:
    """No answer leaves everything open; a no has a reason that somebody can repair."""
    silent = bool(target.silence)
    what = "does not answer" if silent else "refuses the broker"
    return symptom(
        _if_open(seen, target.name),
        Code.TARGET_SILENT if silent else Code.TARGET_REFUSES,
        target.name,
        f"{target.name} {what}{_open_there(seen, target.name)}: {target.silence or target.refusal}",
        f"run `callpoint target selftest {target.name}` on the server; is the target up, and does"
        " its firewall let the server in?",
    )


def _reported(seen: Observed, name: str, report: SelfTest) -> Iterator[Symptom]:
    if abs(report.skew) > seen.limits.skew:
        yield symptom(
            Severity.WARNING,
            Code.TARGET_SKEW,
            name,
            f"the clock of {name} is {offset(report.skew)} the server's: nothing is issued there",
            "synchronise both clocks (`chronyc tracking`, `timedatectl`)",
        )
    for check in report.checks:
        if not check.ok and check.name != "clock":
            yield _failed(name, check)
    if report.residual.bound is None and seen.configured(name) is not None:
        yield _reaper(seen, name, report.residual)


def _failed(name: str, check: Check) -> Symptom:
    step = f"{check.way_out or 'repair it'}; then `callpoint target selftest {name}`"
    if check.excess:
        return symptom(
            Severity.WARNING,
            Code.BROKER_POWERS,
            name,
            f"the broker on {name} can do more than its task: {check.detail}",
            step,
        )
    text = f"{name} does not pass its selftest, {check.name}: {check.detail}"
    return symptom(Severity.WARNING, Code.TARGET_SELFTEST, name, text, step)


def _reaper(seen: Observed, name: str, residual: Residual) -> Symptom:
    """Refused in the break-glass lane unless the owner accepted it: then people only know it."""
    rules = seen.configuration.eligibilities.values() if seen.configuration else ()
    refused = sorted(
        e.id
        for e in rules
        if e.lane is Lane.BREAK_GLASS
        and not e.accept_residual
        and any(opening.target == name for opening in e.opens)
    )
    effect = f"; refused until then: {', '.join(refused)}" if refused else " (accepted)"
    return symptom(
        Severity.WARNING if refused else Severity.NOTICE,
        Code.REAPER_MISSING,
        name,
        f"with Callpoint dead, a live session on {name} has no end: {residual.because}{effect}",
        (
            residual.way_out
            or f"the owner of {name} runs what `callpoint target prepare {name}` prints"
        )
        + (", or two governors publish `accept_residual`" if refused else ""),
    )


def _if_open(seen: Observed, name: str) -> Severity:
    """Somebody may be in there now, and it cannot be ended."""
    return Severity.URGENT if seen.open_on(name) else Severity.WARNING


def _open_there(seen: Observed, name: str) -> str:
    count = len(seen.open_on(name))
    if not count:
        return ""
    return f" while {count} {'credential is' if count == 1 else 'credentials are'} not proven dead"
