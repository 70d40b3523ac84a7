"""Incidents: declared by one person and confirmed by another, or reported by a source.

Resolving one ends every activation that it justified, at once and without the PDP.
"""

import hashlib

from callpoint.domain import event as ev
from callpoint.domain.activation import UNFINISHED, Activation, EndReason
from callpoint.domain.configuration import IncidentSource
from callpoint.domain.decision import Action
from callpoint.domain.declaration import Declaration
from callpoint.domain.errors import CallpointError, ConflictError, DeniedError, RequestError
from callpoint.domain.event import AnyEvent
from callpoint.domain.ids import incident_stream, parse_name
from callpoint.domain.incident import Incident, apply
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.principal import PrincipalKind
from callpoint.lifecycle import facts
from callpoint.lifecycle.ending import end
from callpoint.lifecycle.live_sessions import moved
from callpoint.lifecycle.refusal import on_record
from callpoint.lifecycle.revoke import revoke_all
from callpoint.lifecycle.services import Services
from callpoint.ports.identity import Caller
from callpoint.ports.incidents import Report
from callpoint.ports.notifiers import Notice
from callpoint.ports.stores import Transaction, Where

TITLE_LIMIT = 200
_ALL = 1_000_000


async def declare(services: Services, caller: Caller, said: Declaration) -> Incident:
    """A person says there is an incident; nothing is opened before another one confirms.

    Raises:
        ConflictError: There is an incident of that name.
    """
    rules = await services.rules.current()
    name = parse_name(said.incident.lower(), "incident")
    for target in said.targets:
        rules.configuration.target(target)
    if not said.targets:
        raise RequestError("an incident names at least one target", way_out="add `--target NAME`")
    now = await services.store.read(lambda view: view.now())
    who = facts.actor(caller, rules.configuration)
    question = facts.plain_question(Action.INCIDENT_DECLARE, who, now)
    decided = await services.pep.enforce(rules, [question])
    event = ev.IncidentDeclared(
        actor=caller.principal.id,
        incident=name,
        severity=said.severity,
        targets=tuple(sorted(set(said.targets))),
        person=caller.principal.persons[0],
        asked=decided.asked,
        decisions=decided.decisions,
        private={"title": services.private(said.title[:TITLE_LIMIT])} if said.title else {},
    )

    def work(tx: Transaction) -> Incident:
        if tx.find(Incident, name) is not None:
            raise ConflictError(
                f"there is an incident {name} already",
                way_out="`callpoint incident list` shows it; a new one needs another name",
            )
        return _put(tx, None, event)

    made = await services.store.transact(work)
    await _tell(services, made, f"{name} ({said.severity}) declared; another person must confirm")
    return made


async def confirm(services: Services, caller: Caller, incident: str) -> Incident:
    """Another person confirms; from now on it justifies activations.

    Raises:
        DeniedError: The same person, or not a person.
    """
    rules = await services.rules.current()
    name = incident.lower()
    found, now = await services.store.read(lambda v: (v.get(Incident, name), v.now()))
    who = facts.actor(caller, rules.configuration)
    question = facts.plain_question(
        Action.INCIDENT_CONFIRM, who, now, facts.incident_facts(found, now)
    )
    decided = await services.pep.enforce(rules, [question])
    person = caller.principal.persons[0]
    event = ev.IncidentConfirmed(
        actor=caller.principal.id,
        incident=name,
        person=person,
        asked=decided.asked,
        decisions=decided.decisions,
    )

    def work(tx: Transaction) -> Incident:
        held = tx.get(Incident, name)
        must_be_another(caller, held)
        return _put(tx, held, event)

    async with on_record(services, caller, Action.INCIDENT_CONFIRM, name):
        made = await services.store.transact(work)
    await _tell(services, made, f"{name} is confirmed and open")
    return made


def must_be_another(caller: Caller, incident: Incident) -> None:
    """Two persons make an incident.

    Raises:
        DeniedError: The one who declared it, or not a person.
    """
    person = caller.principal.persons[0]
    if caller.principal.kind is not PrincipalKind.HUMAN or person == incident.declared_by:
        raise DeniedError(
            f"{person} declared {incident.id}; another person must confirm it",
            way_out=f"ask a colleague to run `callpoint incident confirm {incident.id}`",
        )


async def resolve(services: Services, caller: Caller, incident: str) -> Incident:
    """It is over: every activation for it ends now. Takes away, so the PDP is not asked (I11).

    Raises:
        DeniedError: Not a person.
    """
    name = incident.lower()
    async with on_record(services, caller, "incident:resolve", name):
        if caller.principal.kind is not PrincipalKind.HUMAN:
            raise DeniedError(
                "only a person or its source resolves an incident", way_out="ask a person to"
            )
    person = caller.principal.persons[0]
    return await _resolve(services, name, by=person, actor=caller.principal.id)


async def report(
    services: Services, source: IncidentSource, reports: tuple[Report, ...], body: bytes
) -> tuple[Incident, ...]:
    """What an authenticated source delivered: firing ones open, the others resolve.

    Each stands alone, so that one that cannot be taken keeps no other from ending access; the
    first error is raised after all were tried.

    Raises:
        ConflictError: An incident of that name belongs to somebody else.
    """
    digest = hashlib.sha256(body).hexdigest()
    held: list[Incident] = []
    errors: list[CallpointError] = []
    for item in reports:
        name = incident_id(item)
        try:
            if item.firing:
                held.append(await _firing(services, source, item, name, digest))
            elif await _is_held(services, source, name):
                held.append(await _resolve(services, name, by=source.id, actor=""))
        except CallpointError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return tuple(held)


async def _is_held(services: Services, source: IncidentSource, name: str) -> bool:
    """Whether it is this source's: nobody else's incident is closed by it."""
    found = await services.store.read(lambda view: view.find(Incident, name))
    return found is not None and found.source == source.id


def incident_id(item: Report) -> str:
    """Stable over deliveries of one firing, another for the next one of the same alert."""
    return f"{item.id}-{int(item.started_at.timestamp()):x}".lower()


async def _firing(
    services: Services, source: IncidentSource, item: Report, name: str, digest: str
) -> Incident:
    def work(tx: Transaction) -> Incident:
        event = ev.IncidentReported(
            incident=name,
            source=source.id,
            severity=item.severity,
            targets=item.targets,
            fresh_until=tx.now() + source.stale_after,
            body_sha256=digest,
            private={"title": services.private(item.title[:TITLE_LIMIT])} if item.title else {},
        )
        held = tx.find(Incident, name)
        if held is not None and held.state is IncidentState.RESOLVED:
            return held  # a late repeat must not open again what a person closed
        return _put(tx, held, event)

    made = await services.store.transact(work)
    if made.version == 1:
        await _tell(services, made, f"{name} ({made.severity}) reported by {source.id}")
    return made


async def _resolve(services: Services, name: str, *, by: str, actor: str) -> Incident:
    def work(tx: Transaction) -> tuple[Incident, tuple[str, ...]]:
        held = tx.get(Incident, name)
        if held.state is not IncidentState.RESOLVED:
            held = _put(tx, held, ev.IncidentResolved(actor=actor, incident=name, by=by))
        return held, end_all_of(tx, name, actor)

    made, ended = await services.store.transact(work, urgent=True)
    for activation in ended:
        await revoke_all(services, activation)
    await _tell(services, made, f"{name} is resolved; {len(ended)} activations ended")
    return made


def end_all_of(tx: Transaction, incident: str, actor: str = "") -> tuple[str, ...]:
    """End every unfinished activation of an incident; returns their ids."""
    found = tx.select(Activation, Where(states=UNFINISHED, parent=incident, limit=_ALL))
    for activation in found:
        end(tx, activation, EndReason.INCIDENT_RESOLVED, actor)
    return tuple(activation.id for activation in found)


def _put(tx: Transaction, held: Incident | None, event: AnyEvent) -> Incident:
    made = apply(held, event, tx.now())
    tx.append(incident_stream(made.id), event)
    moved(tx)
    return tx.put(made)


async def _tell(services: Services, incident: Incident, text: str) -> None:
    await services.notifier.notify(
        Notice(kind=f"incident:{incident.state}", about=incident.id, to=(), text=text, urgent=True)
    )
