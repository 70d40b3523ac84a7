"""Answers of the life cycle in the words of AuthZEN, with the way out where there is one."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from callpoint.api.access_request_messages import AccessRequestHint, ApprovalView
from callpoint.api.evaluation_body import Batch, Item, Malformed
from callpoint.api.evaluation_messages import AnswerContext, DecisionView, ObligationView, Refusal
from callpoint.api.evaluation_places import PREFIX, SCHEMA, served_at
from callpoint.api.surface import Surface
from callpoint.domain.access_request import Denial, bound
from callpoint.domain.evaluation import Answer, Evaluation, NextAction, Owed
from callpoint.domain.obligation import ObligationKind
from callpoint.lifecycle.approval_reference import RETRY_AFTER
from callpoint.lifecycle.obligations import TYPES

Hint: TypeAlias = Callable[[Evaluation, Answer], AccessRequestHint | None]

MAX_BOUND = 4096
"""Longest question that a denial binds, bytes: its token comes back with the submission."""

_BAD_REQUEST = 400


def hinting(surface: Surface, host: str) -> Hint:
    """How denials of this server say how to ask for what was denied.

    They do not where the server has no key to bind them with or does not know its address, nor for
    a question too long to be bound: then nothing could prove what was denied.
    """

    def hint(asked: Evaluation, answer: Answer) -> AccessRequestHint | None:
        out, tokens = answer.requestable, surface.denials
        if out is None or answer.at is None or tokens is None or not surface.origins:
            return None
        question = bound(asked)
        if len(msgspec.json.encode(question)) > MAX_BOUND:
            return None
        base = served_at(surface.origins, host)
        denial = Denial(
            iss=base,
            aud=base,
            jti=answer.id,
            iat=int(answer.at.timestamp()),
            exp=int(out.expires_at.timestamp()),
            evaluation_id=answer.id,
            denial_expires_at=out.expires_at,
            binding_context_members=tuple(question["context"]),
            subject=question["subject"],
            action=question["action"],
            resource=question["resource"],
            context=question["context"],
            template=out.eligibility,
            configuration_digest=out.configuration_digest,
            policy_digest=out.policy_digest,
        )
        return AccessRequestHint(
            template=out.eligibility,
            expires_at=out.expires_at,
            binding_token=tokens.sign(denial),
            request_schema_url=base + PREFIX + SCHEMA,
        )

    return hint


def shown(asked: Evaluation, answer: Answer, hint: Hint) -> DecisionView:
    """One answer."""
    way_out = hint(asked, answer)
    following = answer.next_action
    if following is NextAction.REQUEST and way_out is None:
        following = NextAction.NONE  # a client must not ask without the hint
    approval = None
    if answer.approval and answer.until is not None:
        approval = ApprovalView(id=answer.approval, approved_until=answer.until)
    is_retry = following is NextAction.RETRY
    # Without a hint "approval required" would send somebody where nothing can be asked for.
    is_told = way_out is not None or answer.next_action is not None
    return DecisionView(
        decision=answer.allowed,
        context=AnswerContext(
            evaluation_id=answer.id,
            evaluated_at=answer.at,
            reason=answer.code if is_told else "",
            reasons=answer.reasons,
            policies=answer.policies,
            policy_digest=answer.policy_digest,
            access_request=way_out,
            approval=approval,
            next_action=following or "",
            retry_after=int(RETRY_AFTER.total_seconds()) if is_retry else None,
            obligations=tuple(_obligation(owed) for owed in answer.obligations),
        ),
    )


def _obligation(owed: Owed) -> ObligationView:
    kind, about = owed.obligation.kind, owed.obligation.about
    properties = {
        ObligationKind.RECORD: {"vendor": "callpoint", "action": "record"},
        ObligationKind.NOTIFY: {"to": about, "topic": "access:allowed", "body": owed.text},
        ObligationKind.STEP_UP: {"acr_value": about},
    }
    return ObligationView(id=str(owed.obligation), type=TYPES[kind], properties=properties[kind])


def decidable(batch: Batch) -> list[Evaluation]:
    """What can be decided; a malformed one counts as denied, so the batch may end before it."""
    found: list[Evaluation] = []
    for item in batch.items:
        if isinstance(item, Evaluation):
            found.append(item)
        elif batch.semantic.ends_with(allowed=False):
            break
    return found


def merged(batch: Batch, answers: Sequence[Answer], hint: Hint) -> list[DecisionView]:
    """Answers and refusals in the order of the batch, as far as its semantic lets it go."""
    waiting = iter(answers)
    views: list[DecisionView] = []
    for item in batch.items:
        views.append(_of_item(item, waiting, hint))
        if batch.semantic.ends_with(allowed=views[-1].decision):
            break
    return views


def _of_item(item: Item, waiting: Iterator[Answer], hint: Hint) -> DecisionView:
    if isinstance(item, Malformed):
        refused = Refusal(status=_BAD_REQUEST, message=item.message)
        return DecisionView(decision=False, context=AnswerContext(error=refused))
    return shown(item, next(waiting), hint)
