"""What must hold of an installation at any moment, judged from its log and its targets alone.

Written against the design, not with the code that is judged: quorums are counted by trying every
seating, states are read off the events one by one.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

import msgspec

from callpoint.audit.entry import parse_entry, parse_time
from callpoint.audit.verify import verify_log
from callpoint.domain import event as ev
from callpoint.domain.activation import UNFINISHED, Activation, ActivationState, fold
from callpoint.domain.configuration import Configuration
from callpoint.domain.event import AnyEvent
from callpoint.domain.governance import Bundle, StoredBundle
from callpoint.domain.ids import activation_stream, incident_stream
from callpoint.domain.incident import Incident, fold_incident
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.principal import PrincipalKind
from tests.fakes.keys import Ed25519Checker, MemoryLogSigner
from tests.fakes.memory_store import State
from tests.fakes.simulated_target import SimulatedTarget
from tests.fakes.world import ORIGIN

E = TypeVar("E", bound=ev.Event)
R = TypeVar("R")
_OPEN = {LeaseState.PLANNED, LeaseState.LIVE, LeaseState.ENDING}


@dataclass(frozen=True)
class Logged:
    """One event, numbered or still in the spool."""

    stream: str
    event: AnyEvent
    at: datetime


@lru_cache(maxsize=20_000)
def _parsed(leaf: bytes) -> Logged:
    entry = parse_entry(leaf)
    return Logged(entry.stream, ev.parse(entry.type, entry.data), parse_time(entry.at))


def history(state: State) -> list[Logged]:
    """Everything that happened, in order."""
    waiting = [Logged(d.stream, ev.parse(d.type, d.data), parse_time(d.at)) for d in state.spool]
    return [_parsed(leaf) for leaf in state.leaves] + waiting


def told(state: State, kind: type[E]) -> list[E]:
    """Every event of a kind, in order."""
    return [item.event for item in history(state) if isinstance(item.event, kind)]


def check_always(state: State, targets: Mapping[str, SimulatedTarget]) -> None:
    """Holds after every step, whatever failed, died or jumped."""
    told = history(state)
    _check_rows(state, told)
    _check_leases(state, told)
    _check_targets(state, told, targets)
    for n, item in enumerate(told):
        match item.event:
            case ev.ActivationActivated():
                _check_activated(state, told[:n], item)
            case ev.ApprovalRecorded():
                _check_vote(state, told[:n], item)
            case ev.BundlePublished() if item.event.number > 1:
                _check_published(state, told[:n], item.event)
            case ev.IncidentConfirmed():
                _check_confirmed(told[:n], item.event)
            case ev.ActivationReviewed() | ev.ReviewTriaged():
                _check_reviewer(told[:n], item)
            case _:
                pass


def check_settled(state: State, targets: Mapping[str, SimulatedTarget]) -> None:
    """Holds once everything answers again and one sweep and one reconciliation went by."""
    check_always(state, targets)
    assert not state.spool, "events wait although the log works"
    report = verify_log(state.leaves, state.note.encode(), MemoryLogSigner(ORIGIN).verifier_key)
    assert report.ok, report.findings
    rows = {a.id: a for a in _rows(state, Activation)}
    for lease in _rows(state, Lease):
        active = rows[lease.activation].state is ActivationState.ACTIVE
        wanted = {LeaseState.LIVE, LeaseState.ENDED} if active else {LeaseState.ENDED}
        assert lease.state in wanted, f"{lease.id} is {lease.state}: {lease.last_error}"
    live = {x.plan.account for x in _rows(state, Lease) if x.state is LeaseState.LIVE}
    accounts = {name for target in targets.values() for name in target.accounts}
    assert accounts == live, f"on the targets {accounts}, explained {live}"
    used = {s.account for target in targets.values() for s in target.live_sessions()}
    assert used <= live, f"sessions of {used - live} outlive their lease"


def check_revealed(state: State, lease: str) -> None:
    """Evidence before secret (I2): both entries are under the checkpoint that is signed."""
    size = int(state.note.split("\n")[1])
    signed = [_parsed(leaf).event for leaf in state.leaves[:size]]
    assert any(isinstance(e, ev.LeaseIssued) and e.lease == lease for e in signed)
    assert any(isinstance(e, ev.CredentialRevealed) and e.lease == lease for e in signed)


# -- rows and targets --------------------------------------------------------------------------


def _rows(state: State, kind: type[R]) -> list[R]:
    return [r for r, _ in state.records.values() if isinstance(r, kind)]


def _check_rows(state: State, told: list[Logged]) -> None:
    """Every row is the fold of its events, and every stream has its row."""
    streams: dict[str, list[tuple[AnyEvent, datetime]]] = {}
    for item in told:
        streams.setdefault(item.stream, []).append((item.event, item.at))
    for row in _rows(state, Activation):
        logged = fold(streams[activation_stream(row.id)])
        assert msgspec.structs.replace(row, version=0) == logged, f"{row} is not {logged}"
    for incident in _rows(state, Incident):
        replayed = fold_incident(streams[incident_stream(incident.id)])
        assert msgspec.structs.replace(incident, version=0) == replayed
    kept = {activation_stream(row.id) for row in _rows(state, Activation)}
    assert kept == {name for name in streams if name.startswith("activation:")}


def _check_leases(  # noqa: C901 -- one table from event to state, read in one look
    state: State, told: list[Logged]
) -> None:
    """A lease's state is what its events say; its plan is the one that was frozen."""
    states: dict[str, LeaseState] = {}
    plans = {}
    for item in told:
        match item.event:
            case ev.ActivationActivated():
                for plan in item.event.plans:
                    assert plan.handle not in plans, "a handle was planned twice"
                    plans[plan.handle] = plan
                    states[plan.handle] = LeaseState.PLANNED
                    assert plan.not_after == item.event.not_after
            case ev.LeaseIssued():
                assert states[item.event.lease] is LeaseState.PLANNED
                states[item.event.lease] = LeaseState.LIVE
            case ev.LeaseEnding():
                assert states[item.event.lease] in {LeaseState.PLANNED, LeaseState.LIVE}
                states[item.event.lease] = LeaseState.ENDING
            case ev.LeaseEnded():
                assert states[item.event.lease] is LeaseState.ENDING
                states[item.event.lease] = LeaseState.ENDED
            case ev.CredentialRevealed() | ev.ConnectionOffered():
                assert states[item.event.lease] is LeaseState.LIVE
            case _:
                pass
    rows = {lease.id: lease for lease in _rows(state, Lease)}
    assert {name: lease.state for name, lease in rows.items()} == states
    activations = {a.id: a for a in _rows(state, Activation)}
    for name, lease in rows.items():
        owner = activations[lease.activation]
        assert lease.plan == plans[name], "an undo plan was rewritten"
        assert lease.plan.not_after == owner.not_after, "not_after moved"
        if lease.state in {LeaseState.PLANNED, LeaseState.LIVE}:
            assert owner.state is ActivationState.ACTIVE, f"{name} outlives {owner.state}"
        assert bool(lease.box) == (lease.state is LeaseState.LIVE)
        if owner.state is ActivationState.REVIEWED:
            assert lease.state is LeaseState.ENDED


def _check_targets(
    state: State, told: list[Logged], targets: Mapping[str, SimulatedTarget]
) -> None:
    """Every account has an open lease, and expires at the target no later than that.

    One that was made after its lease had ended, by a target that answered late, may wait for
    reconciliation: its secret was never kept, so nobody can use it.
    """
    kept = {item.event.lease for item in told if isinstance(item.event, ev.LeaseIssued)}
    rows = {lease.plan.account: lease for lease in _rows(state, Lease)}
    for target in targets.values():
        for name, account in target.accounts.items():
            lease = rows.get(name)
            assert lease is not None, f"{name} exists without an intent (I1)"
            assert lease.plan.target == target.target
            assert lease.state in _OPEN or lease.id not in kept, (
                f"{name} outlives its lease, which {lease.state}"
            )
            assert account.not_after <= lease.plan.not_after, f"{name} expires too late"
        for session in target.live_sessions():
            assert rows[session.account].state in _OPEN, f"a session of {session.account} is left"


# -- who may do what ---------------------------------------------------------------------------


def _in_force(state: State, past: Iterable[Logged]) -> tuple[Bundle, ev.BundlePublished]:
    published = [i.event for i in past if isinstance(i.event, ev.BundlePublished)]
    bundles = {b.bundle.digest(): b.bundle for b in _rows(state, StoredBundle)}
    return bundles[published[-1].digest], published[-1]


def _incident(past: list[Logged], name: str) -> Incident | None:
    stream = incident_stream(name)
    return fold_incident((i.event, i.at) for i in past if i.stream == stream)


def _own(past: list[Logged], stream: str) -> list[AnyEvent]:
    return [item.event for item in past if item.stream == stream]


def _check_activated(state: State, past: list[Logged], item: Logged) -> None:
    events = _own(past, item.stream)
    asked = events[0]
    assert isinstance(asked, ev.ActivationRequested)
    request = asked.request
    incident = _incident(past, request.incident)
    assert incident is not None
    assert incident.state_at(item.at) == "open", "issued without an open incident"
    bundle, published = _in_force(state, past)
    assert request.configuration_digest == published.configuration_digest
    assert request.policy_digest == published.policy_digest
    barred = {*request.persons, incident.confirmed_by}
    voters = {
        e.person for e in events if isinstance(e, ev.ApprovalRecorded) and e.verdict == "approve"
    }
    seats = [request.quorum.approvers] * request.quorum.need
    seats += [request.quorum.security] * request.quorum.extra
    assert seats, "issued without a quorum"
    assert can_seat(seats, voters - barred, bundle.configuration), "issued without its quorum"
    assert not any(isinstance(e, ev.ActivationActivated) for e in events), "issued twice"
    assert isinstance(item.event, ev.ActivationActivated)
    assert item.event.not_after == item.at + request.ttl
    assert item.event.actor == request.principal


def can_seat(
    seats: list[tuple[str, ...]], voters: Iterable[str], configuration: Configuration
) -> bool:
    """Whether distinct voters can take all seats, by trying every way."""
    if not seats:
        return True
    left = set(voters)
    may_sit = configuration.persons_in(seats[0]) & left
    return any(can_seat(seats[1:], left - {p}, configuration) for p in may_sit)


def _check_vote(state: State, past: list[Logged], item: Logged) -> None:
    vote = item.event
    assert isinstance(vote, ev.ApprovalRecorded)
    events = _own(past, item.stream)
    asked = events[0]
    assert isinstance(asked, ev.ActivationRequested)
    incident = _incident(past, asked.request.incident)
    bundle, _ = _in_force(state, past)
    voter = bundle.configuration.principals[vote.approver]
    assert voter.kind is PrincipalKind.HUMAN, "a machine voted"
    assert voter.persons == (vote.person,)
    assert vote.person not in asked.request.persons, "somebody approved their own request"
    assert incident is None or vote.person != incident.confirmed_by
    assert vote.person not in {e.person for e in events if isinstance(e, ev.ApprovalRecorded)}
    body = base64.b64decode(vote.statement)
    said = json.loads(body)
    assert said["request_digest"] == asked.request.digest() == asked.digest
    assert said["verdict"] == vote.verdict
    message = b"callpoint/approval/v1\n" + body
    assert Ed25519Checker().is_valid(voter.key, message, vote.signature)


def _check_published(state: State, past: list[Logged], published: ev.BundlePublished) -> None:
    before, was = _in_force(state, past)
    governance = before.configuration.governance
    bundles = {b.bundle.digest(): b.bundle for b in _rows(state, StoredBundle)}
    bundle = bundles[published.digest]
    assert (bundle.number, bundle.previous) == (was.number + 1, was.digest)
    signed = {
        s.governor
        for s in published.signatures
        if governance.governors.get(s.governor) == s.key
        and Ed25519Checker().is_valid(s.key, bundle.message(), s.signature)
    }
    old, new = before.configuration.eligibilities, bundle.configuration.eligibilities
    wider = any(e.id not in old or e.ttl > old[e.id].ttl for e in new.values())
    need = governance.quorum if published.widens or wider else 1
    assert len(signed) >= need, "widened without its signatures"


def _check_confirmed(past: list[Logged], confirmed: ev.IncidentConfirmed) -> None:
    before = _incident(past, confirmed.incident)
    assert before is not None
    assert before.declared_by != confirmed.person


def _check_reviewer(past: list[Logged], item: Logged) -> None:
    events = _own(past, item.stream)
    asked = events[0]
    assert isinstance(asked, ev.ActivationRequested)
    assert isinstance(item.event, ev.ActivationReviewed | ev.ReviewTriaged)
    voters = {e.person for e in events if isinstance(e, ev.ApprovalRecorded)}
    assert item.event.person not in {*asked.request.persons, *voters}


def unfinished(state: State) -> list[Activation]:
    """Activations that may still give access."""
    return [a for a in _rows(state, Activation) if a.state in UNFINISHED]
