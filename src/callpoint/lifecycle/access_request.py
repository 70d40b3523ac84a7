"""Asking for what was denied: an ordinary request (``request``), bound to that question.

The requester signs it, as every request; the binding token proves which question was denied and
under which eligibility it can be asked for. It gives nothing: whatever would refuse the request
made directly refuses this one.
"""

import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta

import msgspec

from callpoint.domain.access_request import (
    AccessRequest,
    AccessRequestError,
    AnsweredDenial,
    Denial,
    Fault,
    bound,
    is_same,
)
from callpoint.domain.activation import Activation
from callpoint.domain.decision import Action
from callpoint.domain.eligibility import Purpose
from callpoint.domain.errors import ConflictError, DeniedError, RequestError, TamperError
from callpoint.domain.evaluation import Evaluation
from callpoint.domain.request import Ask
from callpoint.lifecycle.refusal import on_record
from callpoint.lifecycle.request import request
from callpoint.lifecycle.services import Services
from callpoint.ports.denials import DenialTokens
from callpoint.ports.identity import Caller
from callpoint.ports.stores import View, Where

_ANOTHER = "the Idempotency-Key was used for another submission"


class Submission(msgspec.Struct, frozen=True):
    """An access request as it was submitted; untrusted.

    Attributes:
        asked: The question that was denied.
        until: Until when access is asked for; None for the eligibility's time.
        is_emergency: A signal for people.
        token: The binding token.
        expires_at: As the denial said it, None when it is not repeated.
        template: Likewise; empty when not repeated.
        client: What submitted it, by its own word.
        idempotency_key: Empty without one.
        body: SHA-256 hex of what was submitted, spelled in one way.
    """

    asked: Evaluation
    justification: str
    seal_to: str
    token: str
    body: str
    purpose: Purpose | None = None
    sources: tuple[str, ...] = ()
    until: datetime | None = None
    is_emergency: bool = False
    expires_at: datetime | None = None
    template: str = ""
    evaluation: str = ""
    client: str = ""
    idempotency_key: str = ""


async def submit(
    services: Services,
    tokens: DenialTokens,
    places: Collection[str],
    caller: Caller,
    submitted: Submission,
) -> Activation:
    """Ask for the activation that would answer the denial; the same one when it is sent again.

    Args:
        services: As for every step.
        tokens: Reads the binding token.
        places: Addresses that a token may be for: those of this installation.
        caller: Who signed the submission; it must be the subject.
        submitted: What it sent.

    Raises:
        AccessRequestError: The denial is not ours, not this one, over, or answered already.
        DeniedError: Somebody else than the subject, or policy says no.
        RequestError, ConflictError: As ``request``.
    """
    async with on_record(services, caller, Action.ACTIVATION_REQUEST, submitted.asked.resource.id):
        _must_be_subject(caller, submitted.asked)
    denial = tokens.read(submitted.token)
    now = await services.store.read(lambda view: view.now())
    _must_bind(denial, places, submitted, now)
    row = AccessRequest(
        evaluation=denial.jti,
        activation="",
        idempotency=_scoped(caller, submitted.idempotency_key),
        body=submitted.body,
    )
    if (known := await services.store.read(lambda view: _known(view, row))) is not None:
        return _must_be_own(caller, known)
    _must_be_fresh(denial, now)
    answers = AnsweredDenial(denial.jti, submitted.is_emergency, submitted.client)
    ask = await _ask(services, submitted, denial, now)
    try:
        return await request(services, caller, ask, answers, row)
    except ConflictError:
        # It was answered at this very moment: perhaps the same submission, sent twice.
        if (known := await services.store.read(lambda view: _known(view, row))) is None:
            raise
        return _must_be_own(caller, known)


def _must_be_subject(caller: Caller, asked: Evaluation) -> None:
    """Nobody asks for somebody else: the request is what its requester signed."""
    who = caller.principal
    if (asked.subject.type, asked.subject.id) != (who.kind, who.id):
        raise DeniedError(
            f"{who.id} cannot ask for access of another subject",
            way_out="hand the denial to the subject, whose client signs the submission",
        )


def _must_bind(
    denial: Denial, places: Collection[str], submitted: Submission, now: datetime
) -> None:
    """The token is of this installation, for this question and these words."""
    question = bound(submitted.asked)
    repeated = (
        (submitted.expires_at, denial.denial_expires_at),
        (submitted.template, denial.template),
        (submitted.evaluation, denial.evaluation_id),
    )
    is_bound = (
        denial.iss in places
        and denial.aud in places
        and denial.iat <= now.timestamp() + 1
        and all(is_same(getattr(denial, name), part) for name, part in question.items())
        and all(told == signed for told, signed in repeated if told)
    )
    if not is_bound:
        raise AccessRequestError(
            Fault.INVALID_DENIAL_BINDING,
            "the binding token is of another question than the one that is submitted",
            way_out="send subject, action, resource, context and denial as they were",
        )


def _must_be_fresh(denial: Denial, now: datetime) -> None:
    if now > min(denial.denial_expires_at, _moment(denial.exp, now)):
        raise AccessRequestError(
            Fault.EXPIRED_DENIAL, "the denial is too old", way_out="ask for a decision again"
        )


def _moment(seconds: int, now: datetime) -> datetime:
    return now + timedelta(seconds=seconds - now.timestamp())


def _scoped(caller: Caller, key: str) -> str:
    """An idempotency key is its requester's: another one's is another key."""
    if not key:
        return ""
    return hashlib.sha256(f"{caller.principal.id}\n{key}".encode()).hexdigest()


def _known(view: View, row: AccessRequest) -> Activation | None:
    """What the same submission made before.

    Raises:
        AccessRequestError: The key was used for another one, or the denial without this key.
    """
    if row.idempotency:
        for used in view.select(AccessRequest, Where(subject=row.idempotency, limit=1)):
            if used.body != row.body:
                raise AccessRequestError(Fault.DUPLICATE_REQUEST, _ANOTHER)
            return view.get(Activation, used.activation)
    if view.find(AccessRequest, row.evaluation) is not None:
        raise AccessRequestError(
            Fault.INVALID_DENIAL_BINDING,
            "this denial was answered with a request already",
            way_out="look at the task, or ask for a decision again",
        )
    return None


def _must_be_own(caller: Caller, known: Activation) -> Activation:
    if known.request.principal != caller.principal.id:
        raise TamperError("an access request leads to somebody else's activation")
    return known


async def _ask(services: Services, submitted: Submission, denial: Denial, now: datetime) -> Ask:
    rules = await services.rules.current()
    eligibility = rules.configuration.eligibility(denial.template)
    incident = submitted.asked.context.get("incident", "")
    if not isinstance(incident, str):
        raise RequestError("context.incident is not a string")
    # What is too long is cut, not refused: the answer says until when it is.
    length = min(submitted.until - now, eligibility.ttl) if submitted.until else None
    return Ask(
        eligibility=eligibility.id,
        incident=incident,
        justification=submitted.justification,
        seal_to=submitted.seal_to,
        purpose=submitted.purpose or eligibility.purposes[0],
        opens=(submitted.asked.resource.id,),
        ttl=length,
        sources=submitted.sources,
    )
