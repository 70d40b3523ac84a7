"""What people are shown, built from one consistent view of the store."""

from collections.abc import Iterable

import msgspec

from callpoint.api.messages import (
    ActivationView,
    IncidentView,
    LeaseView,
    ReviewView,
    TallyView,
    VoteView,
)
from callpoint.api.next_step import next_step
from callpoint.domain.activation import PENDING, Activation, ActivationState
from callpoint.domain.approval import QuorumTally
from callpoint.domain.configuration import Configuration, Target
from callpoint.domain.ids import activation_stream, incident_stream
from callpoint.domain.incident import Incident
from callpoint.domain.lease import Lease
from callpoint.lifecycle.announce import standing
from callpoint.lifecycle.attest import is_lost
from callpoint.lifecycle.ending import leases
from callpoint.lifecycle.review import who_may_review
from callpoint.lifecycle.services import Services
from callpoint.ports.stores import PersonalValue, View

_VOTE = "approval:recorded"


async def show(services: Services, activation: str) -> ActivationView:
    """One activation as it stands now.

    Under a configuration that cannot be believed it is shown by the last one that could: a view is
    what the answer to a kill or a return is made of.

    Raises:
        NotFoundError: There is none.
    """
    configuration = await services.rules.refresh()

    def read(view: View) -> ActivationView:
        found = view.get(Activation, activation)
        voided = services.rules.outdates(found.request)
        return activation_view(view, configuration, found, voided=voided)

    return await services.store.read(read)


def activation_view(
    view: View, configuration: Configuration, found: Activation, *, voided: bool = False
) -> ActivationView:
    """Everything about one activation but its secrets.

    ``voided`` says that it was asked for under other rules; it matters while it is pending.
    """
    voided = voided and found.state in PENDING
    now = view.now()
    incident = view.find(Incident, found.request.incident)
    quorum = standing(found, incident, configuration)
    held = leases(view, found.id)
    words = _Words(view, activation_stream(found.id))
    said = words.of(0, "justification")
    reviewers = _reviewers(found, configuration)
    opened = _opened(found, configuration)
    return ActivationView(
        id=found.id,
        state=found.state,
        next=next_step(found, quorum, held, reviewers, now, voided=voided),
        now=now,
        request=found.request,
        digest=found.digest,
        tally=_tally_view(found, quorum),
        justification=said.value if said else "",
        justification_salt=said.salt if said else b"",
        votes=_votes(found, words),
        lapses_at=found.lapse_at() if found.state in PENDING else None,
        approved_at=found.approved_at,
        activated_at=found.activated_at,
        not_after=found.not_after,
        idle_at=found.idle_at() if found.state is ActivationState.ACTIVE else None,
        ended_at=found.ended_at,
        end_reason=found.end_reason,
        uses=found.uses,
        leases=tuple(lease_view(lease) for lease in held),
        findings=found.findings,
        review=_review_view(found, reviewers, overdue=_is_overdue(found, view)),
        voided=voided,
        incident=incident_view(view, incident) if incident else None,
        connectors={target.id: target.connector for target in opened},
        gateways={target.id: target.behind for target in opened if target.behind},
    )


def _opened(found: Activation, configuration: Configuration) -> tuple[Target, ...]:
    """Its targets, those that the configuration still has."""
    named = {opening.partition(":")[0] for opening in found.request.opens}
    targets = configuration.targets
    return tuple(targets[name] for name in sorted(named & targets.keys()))


def lease_view(lease: Lease) -> LeaseView:
    """A credential without box, kept secret and baseline."""
    return LeaseView(
        id=lease.id,
        activation=lease.activation,
        target=lease.plan.target,
        role=lease.plan.role,
        account=lease.plan.account,
        state=lease.state,
        not_after=lease.plan.not_after,
        attempts=lease.attempts,
        rung=lease.rung,
        last_error=lease.last_error,
        due_at=lease.due_at,
        ended_at=lease.ended_at,
        evidence=lease.evidence,
        is_lost=is_lost(lease),
        attested_by=lease.attested_by,
        gateway=lease.plan.gateway,
    )


def incident_view(view: View, found: Incident) -> IncidentView:
    """An incident as it counts now."""
    title = _Words(view, incident_stream(found.id)).latest("title")
    return IncidentView(
        id=found.id,
        source=found.source,
        severity=found.severity,
        targets=found.targets,
        state=found.state_at(view.now()),
        opened_at=found.opened_at,
        declared_by=found.declared_by,
        confirmed_by=found.confirmed_by,
        resolved_at=found.resolved_at,
        fresh_until=found.fresh_until,
        title=title,
    )


class _Words:
    """The personal values beside the entries of a stream, by the entry's place in the stream."""

    def __init__(self, view: View, stream: str) -> None:
        entries = view.entries(stream)
        self.types = [msgspec.json.decode(entry.leaf, type=_Typed).type for entry in entries]
        places = {entry.index: place for place, entry in enumerate(entries)}
        self._values: dict[tuple[int, str], PersonalValue] = {
            (places[value.index], value.name): value for value in view.personal(tuple(places))
        }

    def of(self, place: int, name: str) -> PersonalValue | None:
        """The value beside one entry, None when there is none or it was erased."""
        return self._values.get((place, name))

    def latest(self, name: str) -> str:
        """The newest value of that name, empty without one."""
        found = [(place, v.value) for (place, n), v in self._values.items() if n == name]
        return max(found)[1] if found else ""


class _Typed(msgspec.Struct):
    type: str


def _votes(found: Activation, words: _Words) -> tuple[VoteView, ...]:
    """The votes with their comments: the n-th vote is the n-th such entry of the stream."""
    places = [place for place, kind in enumerate(words.types) if kind == _VOTE]
    comments = [words.of(place, "comment") for place in places]
    return tuple(
        VoteView(
            approver=vote.approver,
            person=vote.person,
            verdict=vote.verdict,
            at=vote.at,
            comment=comment.value if comment else "",
        )
        # A vote whose entry is not numbered yet (the log is down) has no comment here yet.
        for vote, comment in zip(
            found.approvals, _padded(comments, len(found.approvals)), strict=False
        )
    )


def _padded(
    comments: Iterable[PersonalValue | None], length: int
) -> tuple[PersonalValue | None, ...]:
    return (*comments, *([None] * length))


def _tally_view(found: Activation, quorum: QuorumTally) -> TallyView:
    return TallyView(
        needed=found.request.quorum.total,
        counted=quorum.counted,
        missing=quorum.missing,
        missing_security=quorum.missing_security,
        can_still_approve=quorum.can_still_approve,
        met=quorum.met,
    )


def _reviewers(found: Activation, configuration: Configuration) -> tuple[str, ...]:
    return tuple(sorted(who_may_review(found, configuration)))


def _is_overdue(found: Activation, view: View) -> bool:
    return found.review is not None and found.review.overdue(view.now())


def _review_view(
    found: Activation, reviewers: tuple[str, ...], *, overdue: bool
) -> ReviewView | None:
    review = found.review
    if review is None:
        return None
    return ReviewView(
        triage_by=review.triage_by,
        close_by=review.close_by,
        overdue=overdue,
        can_review=reviewers if review.closed_at is None else (),
        triaged_by=review.triaged_by,
        triaged_at=review.triaged_at,
        closed_by=review.closed_by,
        closed_at=review.closed_at,
        verdict=review.verdict,
        findings=review.findings,
        follow_ups=review.follow_ups,
    )
