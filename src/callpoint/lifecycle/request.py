"""Step 1: somebody asks for an activation, for one incident, with a reason."""

import ipaddress
from datetime import datetime, timedelta

import msgspec

from callpoint.domain import event as ev
from callpoint.domain.access_request import EMERGENCY, AccessRequest, AnsweredDenial
from callpoint.domain.activation import Activation, begin
from callpoint.domain.asked import Decided
from callpoint.domain.configuration import Configuration
from callpoint.domain.decision import Action, DecisionRequest
from callpoint.domain.eligibility import Eligibility
from callpoint.domain.errors import ConflictError, NotFoundError, RequestError
from callpoint.domain.event_form import Private
from callpoint.domain.ids import ACTIVATION_LENGTH, activation_stream
from callpoint.domain.incident import Incident
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.request import Ask, Request
from callpoint.domain.span import format_span
from callpoint.domain.untrusted import printable
from callpoint.lifecycle import budget, facts
from callpoint.lifecycle.announce import announce_request
from callpoint.lifecycle.residual import residual_findings
from callpoint.lifecycle.rules import Rules
from callpoint.lifecycle.services import Services
from callpoint.ports.identity import Caller
from callpoint.ports.stores import Transaction, View, Where

JUSTIFICATION_LIMIT = 2000
JUSTIFICATION_LEAST = 10
SHORTEST = timedelta(minutes=1)
"""The shortest time that can be asked for, as in a configuration: psql is up within it."""

SUPPOSED = "new"
"""Id of an activation that nobody has asked for: as in policy tests, and no id of a real one."""

_NONCE_SIZE = 16
_INCIDENT_LIMIT = 128
_SOURCES_LIMIT = 16
# Their plans and decisions must fit into the one entry that is written before any is opened.
_OPENINGS_LIMIT = 32


class _Fresh(msgspec.Struct, frozen=True):
    """What is made once per request, however often the transaction runs."""

    activation: str
    nonce: str
    words: Private
    findings: tuple[str, ...]


class _Draft(msgspec.Struct, frozen=True):
    request: Request
    budget_left: int
    incident: Incident | None


async def request(
    services: Services,
    caller: Caller,
    ask: Ask,
    answers: AnsweredDenial | None = None,
    row: AccessRequest | None = None,
) -> Activation:
    """Ask for an activation. It grants nothing: it opens a vote.

    Args:
        services: As for every step.
        caller: Who asks.
        ask: For what.
        answers: The denial that it answers, if any (``access_request``).
        row: Stored with it, so that a denial is answered once.

    Raises:
        RequestError: Malformed, or the eligibility does not open what is asked.
        DeniedError: Policy says no (not eligible, no such incident, another target …).
        LogUnavailableError: There is no evidence without the log, so no request.
    """
    # Incidents have lower-case names, whatever the tool that they come from shows.
    ask = msgspec.structs.replace(ask, incident=ask.incident.lower())
    rules = await services.rules.current()
    eligibility = _eligibility(rules.configuration, caller, ask.eligibility)
    _check(services, ask, eligibility)
    fresh = _Fresh(
        activation=services.random.ident(ACTIVATION_LENGTH),
        nonce=services.random.token(_NONCE_SIZE).hex(),
        words=services.private(ask.justification.strip()),
        findings=(
            *await residual_findings(services, eligibility, _openings(ask, eligibility)),
            *((EMERGENCY,) if answers is not None and answers.is_emergency else ()),
        ),
    )

    def draft(view: View) -> _Draft:
        return _draft(view, services, rules, caller, ask, fresh)

    first = await services.store.read(draft)
    decided = await _enforce(services, caller, rules, first)

    def work(tx: Transaction) -> Activation:
        now = draft(tx)
        must_be_justified(eligibility, ask.incident, now.incident, tx.now())
        if row is not None:
            _remember(tx, row, now.request)
        return _record(tx, caller, now.request, fresh.words, decided, answers)

    made = await services.store.transact(work)
    await announce_request(services, rules.configuration, made)
    return made


def must_be_justified(
    eligibility: Eligibility, named: str, incident: Incident | None, now: datetime
) -> None:
    """The incident that is named, or that there must be, is open. Raises ConflictError."""
    is_open = incident is not None and incident.state_at(now) is IncidentState.OPEN
    if (eligibility.incident is not None or named) and not is_open:
        raise ConflictError(f"incident {named} is no longer open")


def _eligibility(configuration: Configuration, caller: Caller, name: str) -> Eligibility:
    """The one of that name. Whoever knows none is told theirs: at 3 a.m. nobody looks them up."""
    try:
        return configuration.eligibility(name)
    except NotFoundError as error:
        theirs = sorted(
            held.id
            for held in configuration.eligibilities.values()
            if configuration.is_among(caller.principal, held.who)
        )
        raise NotFoundError(
            error.message, way_out=f"you may ask for: {', '.join(theirs) or '(nothing)'}"
        ) from error


def _check(services: Services, ask: Ask, eligibility: Eligibility) -> None:
    """Everything that needs no state."""
    words = ask.justification.strip()
    if not JUSTIFICATION_LEAST <= len(words) <= JUSTIFICATION_LIMIT:
        raise RequestError(
            f"the justification has {len(words)} characters",
            way_out=f"say in {JUSTIFICATION_LEAST} to {JUSTIFICATION_LIMIT} characters what you"
            " will do and why it cannot wait",
        )
    if not services.sealer.is_recipient(ask.seal_to):
        raise RequestError(
            "seal_to is not an age recipient", way_out="send a fresh one-time `age1…` public key"
        )
    if ask.purpose not in eligibility.purposes:
        raise RequestError(
            f"{eligibility.id} is not for purpose {ask.purpose}",
            way_out=f"it is for: {', '.join(eligibility.purposes)}",
        )
    if ask.ttl is not None and not SHORTEST <= ask.ttl <= eligibility.ttl:
        low, high = format_span(SHORTEST), format_span(eligibility.ttl)
        raise RequestError(
            f"{eligibility.id} lasts at least {low} and at most {high}",
            way_out=f"ask for {low} to {high} with --for, or leave it out",
        )
    if len(ask.incident) > _INCIDENT_LIMIT:
        raise RequestError(f"an incident's name has at most {_INCIDENT_LIMIT} characters")
    _openings(ask, eligibility)
    _networks(ask)


def _networks(ask: Ask) -> tuple[str, ...]:
    """The networks in CIDR form: they go into every undo plan, so they are few and short."""
    if len(ask.sources) > _SOURCES_LIMIT:
        raise RequestError(f"name at most {_SOURCES_LIMIT} source networks")
    # The zone of "fe80::1%eth0" is free text without a limit, and means nothing on a target.
    if zoned := [text for text in ask.sources if "%" in text]:
        raise RequestError(
            f"not a network: {printable(zoned[0])}", way_out="leave out the zone after the %"
        )
    try:
        return tuple(str(ipaddress.ip_network(text)) for text in ask.sources)
    except ValueError as error:
        raise RequestError(
            f"not a network: {printable(str(error))}", way_out="write 203.0.113.7/32 or 10.1.0.0/16"
        ) from error


def _answering(caller: Caller, configuration: Configuration) -> tuple[str, ...]:
    """Who asks, who answers for it, and for whom it acts: none of them approves (I9)."""
    chain = [configuration.principals.get(name) for name in caller.acts_for]
    behind = (person for who in chain if who is not None for person in who.persons)
    return tuple(dict.fromkeys((*caller.principal.persons, *behind)))


def _openings(ask: Ask, eligibility: Eligibility) -> tuple[str, ...]:
    """The target roles asked for, sorted; each must be one that the eligibility opens (R4)."""
    all_opens = tuple(sorted(str(opening) for opening in eligibility.opens))
    asked = tuple(sorted(set(ask.opens))) or all_opens
    beyond = [text for text in asked if text not in all_opens]
    if beyond:
        raise RequestError(
            f"{eligibility.id} does not open {beyond[0][:80]}",
            way_out=f"it opens: {', '.join(all_opens)}",
        )
    if len(asked) > _OPENINGS_LIMIT:
        raise RequestError(
            f"{len(asked)} target roles are too many for one activation",
            way_out=f"name at most {_OPENINGS_LIMIT} of them with --opens",
        )
    return asked


def _draft(
    view: View, services: Services, rules: Rules, caller: Caller, ask: Ask, fresh: _Fresh
) -> _Draft:
    """The exact request as it would be recorded at the view's moment."""
    configuration = rules.configuration
    eligibility = configuration.eligibility(ask.eligibility)
    terms = budget.terms(
        view,
        configuration,
        eligibility,
        caller.principal,
        incident=ask.incident,
        asked=ask.ttl,
        shortest=services.limits.shortest,
    )
    now = view.now()
    made = Request(
        installation=services.installation.id,
        activation=fresh.activation,
        eligibility=eligibility.id,
        principal=caller.principal.id,
        persons=_answering(caller, configuration),
        incident=ask.incident,
        opens=_openings(ask, eligibility),
        purpose=ask.purpose,
        lane=eligibility.lane,
        mode=eligibility.mode,
        ttl=terms.ttl,
        idle=eligibility.idle,
        justification=fresh.words.commitment(),
        seal_to=ask.seal_to,
        sources=_networks(ask),
        nonce=fresh.nonce,
        quorum=terms.quorum,
        triage=eligibility.review.triage,
        close=eligibility.review.close,
        reviewers=eligibility.review.by,
        configuration_digest=rules.configuration_digest,
        policy_digest=rules.policy_digest,
        requested_at=now,
        lapses_at=now + eligibility.approval.within,
        findings=(*terms.findings, *fresh.findings),
        allowance=eligibility.allowance,
        offline=eligibility.offline or msgspec.UNSET,
    )
    return _Draft(request=made, budget_left=terms.left, incident=view.find(Incident, ask.incident))


async def _enforce(services: Services, caller: Caller, rules: Rules, draft: _Draft) -> Decided:
    return await services.pep.enforce(rules, _questions(caller, rules, draft))


def supposed(
    view: View,
    services: Services,
    rules: Rules,
    caller: Caller,
    *,
    eligibility: str,
    incident: str,
    opens: tuple[str, ...],
) -> tuple[DecisionRequest, ...]:
    """What policy would be asked if the caller asked for this now; nothing is asked for.

    Raises:
        NotFoundError: No such eligibility.
        RequestError: It does not open what is named.
    """
    found = _eligibility(rules.configuration, caller, eligibility)
    ask = Ask(
        eligibility=found.id,
        incident=incident,
        justification="",
        seal_to="",
        purpose=found.purposes[0],
        opens=opens,
    )
    fresh = _Fresh(activation=SUPPOSED, nonce="", words=Private(b"", ""), findings=())
    return _questions(caller, rules, _draft(view, services, rules, caller, ask, fresh))


def _questions(caller: Caller, rules: Rules, draft: _Draft) -> tuple[DecisionRequest, ...]:
    configuration, at = rules.configuration, draft.request.requested_at
    return facts.questions(
        Action.ACTIVATION_REQUEST,
        facts.actor(caller, configuration),
        draft.request,
        configuration,
        incident=facts.incident_facts(draft.incident, at),
        activation=facts.activation_facts(
            draft.request,
            configuration.eligibility(draft.request.eligibility),
            configuration,
            budget_left=draft.budget_left,
            now=at,
        ),
        at=at,
    )


def _remember(tx: Transaction, row: AccessRequest, made: Request) -> None:
    """The denial and the Idempotency-Key lead to this activation, and to no other ever.

    Raises:
        ConflictError: One of them does to another one already.
    """
    if row.idempotency and tx.select(AccessRequest, Where(subject=row.idempotency, limit=1)):
        raise ConflictError("this Idempotency-Key was used meanwhile")
    tx.put(msgspec.structs.replace(row, activation=made.activation))


def _record(
    tx: Transaction,
    caller: Caller,
    made: Request,
    words: Private,
    decided: Decided,
    answers: AnsweredDenial | None,
) -> Activation:
    event = ev.ActivationRequested(
        actor=caller.principal.id,
        request=made,
        digest=made.digest(),
        decisions=decided.decisions,
        asked=decided.asked,
        answers=answers,
        private={"justification": words},
    )
    tx.append(activation_stream(made.activation), event)
    return tx.put(begin(event))
