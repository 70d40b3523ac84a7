"""Step 2: distinct natural persons sign the exact request, or one says no."""

import base64
from datetime import datetime

from callpoint.domain import event as ev
from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.approval import Statement, Verdict, Vote, signed_message
from callpoint.domain.asked import Decided
from callpoint.domain.configuration import Configuration
from callpoint.domain.decision import Action
from callpoint.domain.errors import ConflictError, DeniedError
from callpoint.domain.ids import activation_stream
from callpoint.domain.incident import Incident
from callpoint.lifecycle.announce import announce, excluded, standing
from callpoint.lifecycle.facts import Moment
from callpoint.lifecycle.gate import enforce_on, moment_of
from callpoint.lifecycle.proof import checkpoint_line
from callpoint.lifecycle.refusal import on_record
from callpoint.lifecycle.rules import Rules
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.votes import must_be_person, must_match, parse_statement, statement_for
from callpoint.ports.identity import Caller
from callpoint.ports.stores import Transaction, View

COMMENT_LIMIT = 2000
_ACTION = {Verdict.APPROVE: str(Action.ACTIVATION_APPROVE), Verdict.DENY: "activation:deny"}


async def statement(
    services: Services, caller: Caller, activation: str, verdict: Verdict
) -> Statement:
    """What the caller would sign; it names the newest checkpoint.

    Raises:
        DeniedError: The caller could not vote, so there is nothing to sign.
    """
    configuration = await services.rules.refresh()

    def read(view: View) -> Statement:
        found = view.get(Activation, activation)
        must_be_eligible(found, view.find(Incident, found.request.incident), configuration, person)
        seen = checkpoint_line(services.log.checkpoint(view, services.installation))
        return statement_for(found, caller.principal, verdict, seen)

    async with on_record(services, caller, _ACTION[verdict], activation):
        person = must_be_person(caller.principal)
        return await services.store.read(read)


async def approve(services: Services, caller: Caller, activation: str, vote: Vote) -> Activation:
    """Record a yes. When it completes the quorum the activation is approved.

    Raises:
        DeniedError: Policy, self-approval, not an approver, or a statement of something else.
        ConflictError: Already decided, lapsed, or this person has voted.
    """
    async with on_record(services, caller, Action.ACTIVATION_APPROVE, activation):
        person = must_be_person(caller.principal)

    def read(view: View) -> tuple[Activation, Moment]:
        asked = view.get(Activation, activation)
        return asked, moment_of(view, asked)

    rules, (asked, moment) = await services.rules.beside(read)
    decided = await enforce_on(
        services, caller, rules, Action.ACTIVATION_APPROVE, asked, moment=moment
    )

    def work(tx: Transaction) -> Activation:
        found = tx.get(Activation, activation)
        must_be_open(found, tx.now())
        must_count(rules, found)
        _must_hold(tx, services, caller, found, vote, Verdict.APPROVE)
        incident = tx.find(Incident, found.request.incident)
        must_be_eligible(found, incident, rules.configuration, person)
        voted = _record(tx, services, caller, found, vote, decided)
        tally = standing(voted, incident, rules.configuration)
        if tally.met:
            event = ev.ActivationApproved(persons=tally.counted)
            tx.append(activation_stream(activation), event)
            voted = voted.apply(event, tx.now())
        return tx.put(voted)

    async with on_record(services, caller, Action.ACTIVATION_APPROVE, activation):
        made = await services.store.transact(work)
    if made.state is ActivationState.APPROVED:
        await announce(services, made, "activation:approved", f"{activation} is approved")
    return made


async def deny(services: Services, caller: Caller, activation: str, vote: Vote) -> Activation:
    """Record a no; one is enough. It takes away, so the PDP is not asked (I11).

    Raises:
        DeniedError: The caller could not approve it either, so it has no say.
    """
    configuration = await services.rules.refresh()

    def work(tx: Transaction) -> Activation:
        found = tx.get(Activation, activation)
        must_be_open(found, tx.now())
        _must_hold(tx, services, caller, found, vote, Verdict.DENY)
        incident = tx.find(Incident, found.request.incident)
        must_be_eligible(found, incident, configuration, person)
        voted = _record(tx, services, caller, found, vote, None)
        event = ev.ActivationDenied(actor=caller.principal.id, person=person)
        tx.append(activation_stream(activation), event)
        return tx.put(voted.apply(event, tx.now()))

    async with on_record(services, caller, _ACTION[Verdict.DENY], activation):
        person = must_be_person(caller.principal)
        made = await services.store.transact(work, urgent=True)
    await announce(services, made, "activation:denied", f"{activation} was denied by {person}")
    return made


def must_be_open(found: Activation, now: datetime) -> None:
    """The vote is not over. Raises ConflictError."""
    if found.state is not ActivationState.REQUESTED:
        raise ConflictError(f"activation {found.id} is {found.state}: the vote is over")
    if now > found.lapse_at():
        raise ConflictError(
            f"activation {found.id} lapsed at {found.lapse_at():%H:%M:%S} UTC",
            way_out="ask again with `callpoint request`",
        )


def must_count(rules: Rules, found: Activation) -> None:
    """Issue would not count a vote under other rules, so nobody is let sign one in vain."""
    if not rules.covers(found.request):
        raise ConflictError(
            f"the configuration changed after {found.id} was asked for, so it cannot be approved",
            way_out="ask again with `callpoint request`",
        )


def _must_hold(
    view: View,
    services: Services,
    caller: Caller,
    found: Activation,
    vote: Vote,
    verdict: Verdict,
) -> None:
    """The signed statement is this caller's, about this very request, seen in this very log."""
    signed = parse_statement(vote.statement)
    must_match(signed, statement_for(found, caller.principal, verdict, signed.checkpoint))
    services.log.must_be_ours(view, services.installation, signed.checkpoint)
    if not services.verifier.is_valid(
        caller.principal.key, signed_message(vote.statement), vote.signature
    ):
        raise DeniedError(
            "the signature does not verify with your configured key",
            way_out="sign with the key that is configured for you",
        )


def must_be_eligible(
    found: Activation, incident: Incident | None, configuration: Configuration, person: str
) -> None:
    """This person's vote would count. Raises DeniedError, or ConflictError if it was given."""
    if person in found.request.persons:
        raise DeniedError(
            f"{person} asks for {found.id}, or answers for who asks, and cannot approve it",
            way_out="ask one of: " + ", ".join(_can(found, incident, configuration)),
        )
    if person in excluded(found, incident):
        raise DeniedError(
            f"{person} confirmed incident {found.request.incident} and cannot approve as well",
            way_out="ask one of: " + ", ".join(_can(found, incident, configuration)),
        )
    if any(vote.person == person for vote in found.approvals):
        raise ConflictError(
            f"{person} has voted already",
            way_out=f"nothing is left to do; `callpoint status {found.id}` says who is still asked",
        )
    quorum = found.request.quorum
    seats = (*quorum.approvers, *(quorum.security if quorum.extra else ()))
    if person not in configuration.persons_in(seats):
        raise DeniedError(
            f"{person} is not an approver of {found.request.eligibility}",
            way_out="ask one of: " + ", ".join(_can(found, incident, configuration)),
        )


def _can(
    found: Activation, incident: Incident | None, configuration: Configuration
) -> tuple[str, ...]:
    return standing(found, incident, configuration).can_still_approve or ("(nobody)",)


def _record(
    tx: Transaction,
    services: Services,
    caller: Caller,
    found: Activation,
    vote: Vote,
    decided: Decided | None,
) -> Activation:
    """Policy decided about a yes; a no needs nobody's leave."""
    comment = vote.comment.strip()[:COMMENT_LIMIT]
    event = ev.ApprovalRecorded(
        actor=caller.principal.id,
        approver=caller.principal.id,
        person=caller.principal.persons[0],
        verdict=Verdict.APPROVE if decided else Verdict.DENY,
        statement=base64.b64encode(vote.statement).decode(),
        signature=vote.signature,
        key=caller.principal.key,
        asked=decided.asked if decided else None,
        decisions=decided.decisions if decided else (),
        private={"comment": services.private(comment)} if comment else {},
    )
    tx.append(activation_stream(found.id), event)
    return found.apply(event, tx.now())
