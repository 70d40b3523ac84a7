"""An activation in words: what is asked, where it stands, and its life as a timeline."""

import textwrap
from collections.abc import Iterator
from datetime import datetime

import msgspec

from callpoint.api.messages import ActivationView, IncidentView, LeaseView
from callpoint.cli.words import listed, moment, shown, span, until
from callpoint.domain.activation import PENDING, ActivationState
from callpoint.domain.allowance import Allowance
from callpoint.domain.counted import plural
from callpoint.domain.incident import DECLARED
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.lease import LeaseState

_LABEL = 15
_QUOTED_WIDTH = 80 - 2 - _LABEL
_QUOTED_LINES = 20


def headline(view: ActivationView) -> str:
    """One line of a list."""
    request = view.request
    ending = f" ({view.end_reason})" if view.end_reason else ""
    return (
        f"{view.id}  {view.state}{ending}  {request.principal}  {listed(request.opens)}"
        f"  {request.incident}".rstrip()
    )


def asked(view: ActivationView) -> Iterator[str]:
    """Exactly what an approver signs over, each fact on its line.

    Of the incident a vote covers the id alone; the rest is marked as the server's word.
    """
    request = view.request
    yield f"activation {view.id} of {request.eligibility}"
    behind = listed(request.persons)
    yield _row("who", f"{request.principal} ({_mode(view)}; persons behind it: {behind})")
    yield _row("incident", request.incident or "(none: planned work needs none)")
    if request.incident:
        yield from _incident(view)
    for opening in request.opens:
        target, _, role = opening.partition(":")
        yield _row("opens", f"{target} as {role}{_through(view, target)}")
    yield _row("for", f"{span(request.ttl)} from the moment it is issued")
    if request.idle is not None:
        yield _row("idle", f"ends when unused for {span(request.idle)}")
    if allowed := tuple(limits(request.spends)):
        yield _row("may do", f"at most {listed(allowed)}; then a person must let it go on")
    if request.offline:
        alone = listed(
            tuple(limits(Allowance(**msgspec.structs.asdict(request.offline.allowance))))
        )
        yield _row(
            "offline", f"goes on for up to {span(request.offline.span)} when its gateway gets"
        )
        yield _row("", f"no answer, with at most {alone}: no kill reaches it then")
    yield _row("purpose", f"{request.purpose} ({request.lane})")
    yield from _words(view)
    yield _row("connects from", listed(request.sources, "anywhere that the target allows"))
    yield _row("asked", moment(request.requested_at))
    if view.state is ActivationState.REQUESTED:
        yield _row("lapses", f"{until(request.lapses_at, view.now)} if not approved")
    yield from _risks(view)
    yield _row("needs", _needs(view))
    yield _row("digest", view.digest)


def _incident(view: ActivationView) -> Iterator[str]:
    """What justifies it: severity, state now, targets, who vouches for it, and its title."""
    held = view.incident
    if held is None or held.id != view.request.incident:
        yield _row("", "! the server does not say what it is: `callpoint incident list`")
        return
    names = listed(held.targets)
    yield _row("", f"as the server says: {held.severity}, {held.state} now, names {names}")
    age = span(view.now - held.opened_at)
    yield _row("", f"since {moment(held.opened_at)} ({age}), {_vouched(held)}")
    for n, line in enumerate(_quoted(held.title)):
        yield _row("titled" if n == 0 else "", line)


def _vouched(held: IncidentView) -> str:
    if held.source != DECLARED:
        silent = ", which is silent now" if held.state is IncidentState.UNKNOWN else ""
        return f"reported by the source {held.source}{silent}"
    confirmed = f"confirmed by {held.confirmed_by}" if held.confirmed_by else "confirmed by nobody"
    return f"declared by {held.declared_by}, {confirmed}"


def limits(allowance: Allowance) -> Iterator[str]:
    """Each limit on what passes the gateways, in words."""
    for count, noun in (
        (allowance.actions, "action"),
        (allowance.rows, "row"),
        (allowance.bytes, "byte"),
        (allowance.objects, "object"),
        (allowance.destructive, "destructive action"),
    ):
        if count is not None:
            yield plural(count, noun)
    if allowance.rate is not None:
        yield f"{plural(allowance.rate.actions, 'action')} per {span(allowance.rate.per)}"


def _through(view: ActivationView, target: str) -> str:
    gateway = view.gateways.get(target)
    return f", each action decided by the gateway {gateway}" if gateway else ""


def _mode(view: ActivationView) -> str:
    return f"{view.request.mode} mode"


def _words(view: ActivationView) -> Iterator[str]:
    if not view.justification:
        yield _row("because", "(the words are erased or withheld; only their commitment is left)")
    for n, line in enumerate(_quoted(view.justification)):
        yield _row("because" if n == 0 else "", line)


def _quoted(words: str) -> Iterator[str]:
    """The requester's words, bounded in width and in lines.

    A line that a terminal wraps goes on in its first column, where it could pass for a fact of
    ours; a thousand empty ones would push the facts off the screen.
    """
    lines = [shown(line) for line in words.splitlines() if line.strip()]
    if len(lines) > _QUOTED_LINES:
        lines[_QUOTED_LINES:] = ["/".join(lines[_QUOTED_LINES:])]
    for line in lines:
        yield from textwrap.wrap(line, _QUOTED_WIDTH, break_on_hyphens=False)


def _risks(view: ActivationView) -> Iterator[str]:
    """Findings, residual access among them: the worst case that an approver accepts."""
    for finding in view.request.findings:
        yield _row("! finding", finding)
    if not any("residual access" in finding for finding in view.request.findings):
        yield _row("worst case", "sessions are ended at the target even if Callpoint is dead")


def _needs(view: ActivationView) -> str:
    quorum = view.request.quorum
    words = f"{plural(quorum.need, 'approval')} from {listed(quorum.approvers)}"
    if quorum.extra:
        words += f", and {quorum.extra} from {listed(quorum.security)}"
    return words


def standing(view: ActivationView) -> Iterator[str]:
    """Where the quorum stands, and who can still fill it."""
    tally = view.tally
    if view.voided:
        yield _row("!", view.next)
        return
    yield _row(
        "approved by",
        f"{listed(tally.counted, 'nobody yet')} ({len(tally.counted)} of {tally.needed})",
    )
    if tally.met:
        return
    missing = tally.missing + tally.missing_security
    extra = f", {tally.missing_security} of them from security" if tally.missing_security else ""
    yield _row("missing", f"{plural(missing, 'approval')}{extra}")
    yield _row("can approve", listed(tally.can_still_approve))
    if len(tally.can_still_approve) < missing:
        yield _row("!", "too few persons are left who may approve: it will lapse")


def life(view: ActivationView) -> Iterator[str]:
    """The whole of it: what was asked, what happened when, what comes next."""
    yield from asked(view)
    if view.state is ActivationState.REQUESTED:
        yield from standing(view)
    yield ""
    for at, words in sorted(_happened(view), key=lambda pair: pair[0]):
        yield f"  {moment(at)}  {words}"
    yield ""
    for lease in view.leases:
        yield f"  {lease_line(lease)}"
    for found in view.findings:
        yield f"  ! {found.kind}: {found.text}"
    yield from _deadlines(view)
    yield f"{view.state}: {view.next}"


def _happened(view: ActivationView) -> Iterator[tuple[datetime, str]]:
    yield view.request.requested_at, f"requested by {view.request.principal}"
    for vote in view.votes:
        comment = f": {vote.comment}" if vote.comment else ""
        said = "approved" if vote.verdict == "approve" else "denied"
        yield vote.at, f"{said} by {vote.person} ({vote.approver}){comment}"
    if view.approved_at:
        yield view.approved_at, "quorum met"
    if view.activated_at:
        yield view.activated_at, "active"
    if view.ended_at:
        yield view.ended_at, f"ended: {view.end_reason}"
    for lease in view.leases:
        if lease.ended_at:
            yield lease.ended_at, f"{lease.account} on {lease.target} dead: {lease.evidence}"
    review = view.review
    if review and review.triaged_at:
        yield review.triaged_at, f"triaged by {review.triaged_by}"
    if review and review.closed_at:
        yield review.closed_at, f"reviewed by {review.closed_by}: {review.verdict}"


def _deadlines(view: ActivationView) -> Iterator[str]:
    if view.state in PENDING and view.lapses_at:
        yield f"  lapses {until(view.lapses_at, view.now)}"
    if view.state is ActivationState.ACTIVE and view.not_after:
        yield f"  ends {until(view.not_after, view.now)}"
    if view.state is ActivationState.ACTIVE and view.idle_at:
        yield f"  ends as idle {until(view.idle_at, view.now)}"
    review = view.review
    if view.state is ActivationState.ENDED and review:
        late = "  ! overdue" if review.overdue else ""
        due = review.close_by if review.triaged_at else review.triage_by
        step = "verdict" if review.triaged_at else "triage"
        yield f"  {step} due {until(due, view.now)}{late}"
        yield f"  can review: {listed(review.can_review)}"


def lease_line(lease: LeaseView) -> str:
    """A credential and whether it is dead."""
    words = f"{lease.account} on {lease.target} as {lease.role}: {lease.state}"
    if lease.state is LeaseState.ENDED:
        return f"{words}, {lease.evidence}"
    if lease.state is LeaseState.ENDING:
        tries = plural(lease.attempts, "attempt")
        stuck = f", stuck at {lease.rung}: {lease.last_error}" if lease.last_error else ""
        lost = _lost(lease) if lease.is_lost else ""
        return f"! {words}, not proven dead after {tries}{stuck}; it is retried for ever{lost}"
    return words


def _lost(lease: LeaseView) -> str:
    said = f", as {listed(lease.attested_by)} did" if lease.attested_by else ""
    return (
        f"; if {lease.target} is gone for good, two governors run `callpoint attest"
        f" {lease.id}`{said}"
    )


def alive(view: ActivationView) -> tuple[LeaseView, ...]:
    """Credentials that are not proven dead."""
    return tuple(lease for lease in view.leases if lease.state is not LeaseState.ENDED)


def _row(label: str, words: str) -> str:
    return f"  {label:<{_LABEL}}{words}"
