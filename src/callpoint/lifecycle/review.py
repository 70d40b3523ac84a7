"""Step 6: the forced, independent review: evidence, findings, a verdict, follow-ups (R6)."""

from callpoint.domain import event as ev
from callpoint.domain.activation import PENDING, Activation, ActivationState
from callpoint.domain.asked import Decided
from callpoint.domain.configuration import Configuration
from callpoint.domain.decision import Action
from callpoint.domain.errors import ConflictError, DeniedError, RequestError
from callpoint.domain.ids import activation_stream
from callpoint.domain.lease import LeaseState
from callpoint.domain.principal import PrincipalKind
from callpoint.domain.review import Finding, Judgement, ReviewVerdict
from callpoint.lifecycle.announce import announce
from callpoint.lifecycle.ending import leases
from callpoint.lifecycle.gate import enforce_on
from callpoint.lifecycle.proof import must_be_ours
from callpoint.lifecycle.refusal import on_record
from callpoint.lifecycle.rules import Rules
from callpoint.lifecycle.services import Services
from callpoint.ports.identity import Caller
from callpoint.ports.stores import Transaction

_LIST_LIMIT = 50
_TEXT_LIMIT = 2000


async def triage(services: Services, caller: Caller, activation: str) -> Activation:
    """Somebody independent took a first look; the first deadline is met."""
    rules = await services.rules.current()
    decided = await _enforce(services, caller, rules, activation)

    def work(tx: Transaction) -> Activation:
        found = tx.get(Activation, activation)
        must_be_independent(caller, found, rules)
        event = ev.ReviewTriaged(
            actor=caller.principal.id,
            person=caller.principal.persons[0],
            asked=decided.asked,
            decisions=decided.decisions,
        )
        after = found.apply(event, tx.now())
        tx.append(activation_stream(activation), event)
        return tx.put(after)

    async with on_record(services, caller, Action.REVIEW_RECORD, activation):
        return await services.store.transact(work)


async def close(services: Services, caller: Caller, activation: str, said: Judgement) -> Activation:
    """The verdict. Possible only when every lease is proven dead; ends the activation's stream.

    Raises:
        ConflictError: Not ended, or a credential is not proven dead.
        DeniedError: The reviewer asked, used, or approved; or looked at another log.
    """
    rules = await services.rules.current()
    _check(said)
    decided = await _enforce(services, caller, rules, activation)
    event = ev.ActivationReviewed(
        actor=caller.principal.id,
        person=caller.principal.persons[0],
        verdict=said.verdict,
        findings=tuple(Finding(kind="review", text=text) for text in said.findings),
        follow_ups=said.follow_ups,
        checkpoint=said.checkpoint,
        asked=decided.asked,
        decisions=decided.decisions,
    )

    def work(tx: Transaction) -> Activation:
        found = tx.get(Activation, activation)
        must_be_independent(caller, found, rules)
        must_be_ours(tx, services.installation, said.checkpoint)
        alive = [x.id for x in leases(tx, activation) if x.state is not LeaseState.ENDED]
        if alive:
            raise ConflictError(
                f"not proven dead yet: {', '.join(alive)}",
                way_out="a review closes only when every credential is; see `callpoint status`",
            )
        after = found.apply(event, tx.now())
        tx.append(activation_stream(activation), event)
        return tx.put(after)

    async with on_record(services, caller, Action.REVIEW_RECORD, activation):
        made = await services.store.transact(work)
    await announce(services, made, "activation:reviewed", f"{activation}: {said.verdict}")
    return made


def _check(said: Judgement) -> None:
    lines = (*said.findings, *said.follow_ups)
    if len(lines) > _LIST_LIMIT or any(len(line) > _TEXT_LIMIT for line in lines):
        raise RequestError(
            f"at most {_LIST_LIMIT} findings and follow-ups of {_TEXT_LIMIT} characters"
        )
    if said.verdict in (ReviewVerdict.MISUSE, ReviewVerdict.ROUTINE) and not said.findings:
        raise RequestError(
            f"verdict {said.verdict} needs a finding", way_out="add `--finding 'what you saw'`"
        )


def who_may_review(found: Activation, configuration: Configuration) -> frozenset[str]:
    """Persons: of the eligibility's reviewers those who neither used nor approved it."""
    involved = {*found.request.persons, *(vote.person for vote in found.approvals)}
    return configuration.persons_in(found.request.reviewers) - involved


def must_be_independent(caller: Caller, found: Activation, rules: Rules) -> None:
    """Reviewer, user and approver are three natural persons."""
    if found.state is not ActivationState.ENDED:
        is_over = found.state not in (*PENDING, ActivationState.ACTIVE)
        raise ConflictError(
            f"activation {found.id} is {found.state}: nothing to review",
            way_out="" if is_over else "it is reviewed once it has ended",
        )
    person = caller.principal.persons[0]
    if caller.principal.kind is not PrincipalKind.HUMAN:
        raise DeniedError(f"{caller.principal.id} is a {caller.principal.kind}: people review")
    allowed = who_may_review(found, rules.configuration)
    if person not in allowed:
        raise DeniedError(
            f"{person} cannot review {found.id}: a reviewer neither used nor approved it",
            way_out="ask one of: " + (", ".join(sorted(allowed)) or "(nobody)"),
        )


async def _enforce(services: Services, caller: Caller, rules: Rules, activation: str) -> Decided:
    found = await services.store.read(lambda view: view.get(Activation, activation))
    return await enforce_on(services, caller, rules, Action.REVIEW_RECORD, found)
