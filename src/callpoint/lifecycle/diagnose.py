"""What is wrong now: look at everything once, then let each check judge what was seen.

It changes nothing, here or on a target, and waits for no target longer than ``LOOK_LIMIT``: a dead
one is a symptom and holds up no other.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from callpoint.domain.activation import UNFINISHED, Activation, ActivationState
from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import (
    CallpointError,
    DeniedError,
    LogUnavailableError,
    TamperError,
    TargetUnknownError,
    UnavailableError,
)
from callpoint.domain.governance import InForce
from callpoint.domain.incident import Incident
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.offline_record import Debt, OfflineDebt
from callpoint.domain.outbox import Outbox
from callpoint.domain.principal import PrincipalKind
from callpoint.domain.record import Record
from callpoint.domain.session import LIVE, Session
from callpoint.domain.witnessing import Watch, Witnessing
from callpoint.lifecycle.epoch import epoch_of
from callpoint.lifecycle.gate import may_view
from callpoint.lifecycle.node import Node
from callpoint.lifecycle.proof import newest_checkpoint
from callpoint.lifecycle.rules import Rules
from callpoint.lifecycle.seen_by import sightings
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.symptoms.checks import CHECKS, Check
from callpoint.lifecycle.symptoms.observed import LogSeen, NodeSeen, Observed, TargetSeen
from callpoint.lifecycle.symptoms.symptom import (
    Code,
    Severity,
    Symptom,
    is_sound,
    ranked,
    symptom,
)
from callpoint.ports.identity import Caller
from callpoint.ports.stores import View, Where
from callpoint.ports.targets import CALL_LIMIT, Connector

R = TypeVar("R", bound=Record)

LOOK_LIMIT = CALL_LIMIT + timedelta(seconds=5)
"""A selftest is several short calls; whoever asks what is wrong is not left waiting."""

_ALL = 1_000_000
_OPEN_INCIDENT = (IncidentState.DECLARED, IncidentState.OPEN)
_ALIVE = (LeaseState.PLANNED, LeaseState.LIVE, LeaseState.ENDING)


class Diagnosis(msgspec.Struct, frozen=True):
    """What was found, the worst first.

    Attributes:
        ok: Nothing is wrong; somebody may be waited for.
        looked: The checks that were made: an empty list of symptoms is only worth this.
        targets: Targets that were asked.
        hidden: Symptoms about activations that the caller may not view.
    """

    installation: str
    now: datetime
    ok: bool
    symptoms: tuple[Symptom, ...]
    looked: tuple[str, ...]
    targets: tuple[str, ...]
    hidden: int = 0


async def diagnose(
    services: Services,
    caller: Caller,
    unusable: Mapping[str, str],
    *,
    beside: Callable[[], tuple[Symptom, ...]] = tuple,
    checks: Mapping[str, Check] = CHECKS,
    within: timedelta = LOOK_LIMIT,
) -> Diagnosis:
    """Everything that is wrong, for a person.

    Args:
        services: The ports and rules.
        caller: Who asks.
        unusable: Configured targets without a connector here, and why.
        beside: What only the process can see: its home folder, its disk. It may block.
        checks: By name.
        within: How long targets may take, all together.

    Raises:
        DeniedError: Not a person: it names persons, accounts and what is broken.
        StoreUnavailableError: The store does not answer, so nothing can be told.
    """
    if caller.principal.kind is not PrincipalKind.HUMAN:
        raise DeniedError(
            f"{caller.principal.id} is a {caller.principal.kind}: a diagnosis is for people",
            way_out="a person runs `callpoint doctor`",
        )
    seen = await observe(services, unusable, within)
    found = [*await asyncio.to_thread(beside), *judged(seen, checks)]
    told = await services.store.read(
        lambda view: [s for s in found if _may_be_told(view, services, caller, seen.rules, s)]
    )
    return Diagnosis(
        installation=services.installation.id,
        now=seen.now,
        ok=is_sound(tuple(found)),
        symptoms=ranked(told),
        looked=tuple(checks),
        targets=tuple(target.name for target in seen.targets),
        hidden=len(set(found)) - len(set(told)),
    )


def judged(seen: Observed, checks: Mapping[str, Check] = CHECKS) -> list[Symptom]:
    """What the checks say; one that cannot be made is a symptom, and keeps no other from it."""
    found: list[Symptom] = []
    for name, check in checks.items():
        try:
            found += check(seen)
        except CallpointError as error:
            step = error.way_out or "look into the server's log"
            text = f"the check of {name} could not be made: {error.message}"
            found.append(symptom(Severity.WARNING, Code.CHECK_FAILED, name, text, step))
    return found


async def observe(
    services: Services, unusable: Mapping[str, str], within: timedelta = LOOK_LIMIT
) -> Observed:
    """Gather the facts; targets are asked all together.

    Raises:
        StoreUnavailableError: The store does not answer.
    """
    followed = services.rules.number  # before they are looked at again
    rules, error = await _rules(services)
    waiting = await services.store.merge_spool()
    works = await services.store.log_works()
    memory = await asyncio.to_thread(_memory_of, services.node)
    ports = dict(services.targets)
    targets = await asyncio.gather(*(_look_at(name, port, within) for name, port in ports.items()))

    def read(view: View) -> Observed:
        spoilt: list[str] = []
        states = (*UNFINISHED, ActivationState.ENDED)
        pointer = view.find(InForce, "bundle")
        configuration = rules.configuration if rules else _last_proven(services)
        return Observed(
            installation=services.installation,
            limits=services.limits,
            now=view.now(),
            behind=view.skew(),
            # The clock itself, not the high-water mark above it.
            node=services.clock.now() - (view.now() - view.skew()),
            configuration=configuration,
            rules=rules,
            rules_error=error,
            published=pointer.number if pointer else 0,
            followed=services.rules.number if rules else followed,
            activations=_select(view, Activation, Where(states=states, limit=_ALL), spoilt),
            leases=_select(view, Lease, Where(states=_ALIVE, limit=_ALL), spoilt),
            incidents=_select(view, Incident, Where(states=_OPEN_INCIDENT, limit=_ALL), spoilt),
            heard=_heard(view, configuration),
            sessions=_select(view, Session, Where(states=LIVE, limit=_ALL), spoilt),
            debts=_select(view, OfflineDebt, Where(states=(Debt.OPEN,), limit=_ALL), spoilt),
            outboxes={box.stream: box for box in _select(view, Outbox, Where(), spoilt)},
            log=_log_of(view, services, configuration, works=works, waiting=waiting),
            spoilt=tuple(spoilt),
            targets=tuple(targets),
            unusable=dict(unusable),
            node_memory=memory,
            epoch=epoch_of(view),
        )

    return await services.store.read(read)


async def _rules(services: Services) -> tuple[Rules | None, CallpointError | None]:
    try:
        return await services.rules.current(), None
    except CallpointError as error:
        return None, error


def _last_proven(services: Services) -> Configuration | None:
    try:
        return services.rules.last_proven
    except UnavailableError:
        return None


def _select(view: View, kind: type[R], where: Where, spoilt: list[str]) -> tuple[R, ...]:
    """Every row that parses; that another one does not is kept as a fact."""
    try:
        return view.select(kind, where)
    except TamperError:
        spoilt.append(kind.__name__.lower())
        return view.select(kind, msgspec.structs.replace(where, skip_spoilt=True))


def _heard(view: View, configuration: Configuration | None) -> dict[str, int]:
    """How many incidents each source reported lately; old ones are not read, however many."""
    states = (*_OPEN_INCIDENT, IncidentState.RESOLVED)
    sources = configuration.sources.values() if configuration else ()
    return {
        source.id: sum(
            view.count_subjects(
                Incident, source.id, states, view.now() - source.stale_after
            ).values()
        )
        for source in sources
    }


def _log_of(
    view: View,
    services: Services,
    configuration: Configuration | None,
    *,
    works: bool,
    waiting: int,
) -> LogSeen:
    try:
        newest = newest_checkpoint(view, services.installation)
    except LogUnavailableError:
        return LogSeen(works, waiting)  # there is no checkpoint yet
    except CallpointError as error:
        return LogSeen(works, waiting, error)
    watching = configuration.watched if configuration else Witnessing()
    asked = {name: view.find(Watch, w.key_name) for name, w in watching.witnesses.items()}
    return LogSeen(
        works=works,
        waiting=waiting,
        size=newest.size,
        stamp=view.newest_timestamp(newest.origin) if services.limits.stamp_every else None,
        sightings=sightings(view, services.installation, watching),
        watches={name: watch for name, watch in asked.items() if watch is not None},
    )


def _memory_of(node: Node) -> NodeSeen:
    """Files on this node's disk; what cannot be looked at is a fact too. Blocks."""
    waiting: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    errors: list[CallpointError] = []
    try:
        waiting = tuple(one.id for one in node.tombstones.unmerged())
        refused = node.tombstones.refused()
        node.picture.must_be_kept()
    except CallpointError as error:
        errors.append(error)
    return NodeSeen(waiting, refused, tuple(errors))


async def _look_at(name: str, port: Connector, within: timedelta) -> TargetSeen:
    try:
        async with asyncio.timeout(within.total_seconds()):
            return TargetSeen(name, report=await port.selftest(trial=False))
    except TimeoutError:
        return TargetSeen(name, silence=f"no answer within {within.total_seconds():g} s")
    except TargetUnknownError as error:
        return TargetSeen(name, silence=error.message)
    except CallpointError as error:
        return TargetSeen(name, refusal=str(error))


def _may_be_told(
    view: View, services: Services, caller: Caller, rules: Rules | None, found: Symptom
) -> bool:
    """A symptom about an activation is for who may view it; without rules for governors."""
    if not found.activation:
        return True
    if rules is None:
        known = _last_proven(services)
        return known is not None and caller.principal.persons[0] in known.governance.governors
    held = view.find(Activation, found.activation)
    return held is None or may_view(view, services, caller, rules, held)
