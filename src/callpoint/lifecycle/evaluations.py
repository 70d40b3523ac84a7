"""Answers to enforcement points: what the life cycle and policy would say now, on record.

Read and decided in one view; then one transaction compares what was read with what is stored, and
appends the record. What moved in between is decided anew. There is no answer that is not in the
log, and nothing else is changed.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from callpoint.domain.access_request import ApprovalReason, NotApprovedError
from callpoint.domain.decision import Action, Decision, DecisionRequest
from callpoint.domain.errors import (
    CallpointError,
    ConflictError,
    LogUnavailableError,
    StoreUnavailableError,
    TamperError,
    UnavailableError,
)
from callpoint.domain.evaluation import (
    Answer,
    Entity,
    Evaluation,
    NextAction,
    Owed,
    Page,
    Requestable,
    Search,
    Semantic,
    Sought,
)
from callpoint.domain.event_decision import DecisionMade, DecisionsSearched, asked_of
from callpoint.domain.ids import DECISIONS_STREAM
from callpoint.domain.untrusted import bounded
from callpoint.lifecycle import approval_reference, facts, obligations
from callpoint.lifecycle.asker import Asker
from callpoint.lifecycle.inquiry import Desk, Inquiry
from callpoint.lifecycle.refusal import on_record
from callpoint.lifecycle.requestable import requestable
from callpoint.lifecycle.rules import Rules, must_be_in_force
from callpoint.lifecycle.search_candidates import candidates
from callpoint.lifecycle.services import Services
from callpoint.ports.identity import Caller, PendingNonce
from callpoint.ports.stores import Transaction, View

CANDIDATES = 200
"""Most names that are looked at for one page of a search: it bounds how long the view is held."""

APPROVAL_REQUIRED = "approval_required"
"""What a machine is told of a denial that an approval would change."""

TRIES = 3
"""So often is decided anew what moved while it was decided."""

T = TypeVar("T")

_ID_SIZE = 16
_REASON_SIZE = 500
_FINAL = (
    ApprovalReason.GRANT_PENDING,
    ApprovalReason.POLICY_DENIED,
    ApprovalReason.UNVERIFIABLE,
)
"""After these a new request would not help: wait, or nothing does."""


class _Finding(msgspec.Struct, frozen=True):
    """One evaluation, decided but not yet on record.

    Attributes:
        made: None when the life cycle refused before policy was asked; ``reason`` says why.
        decisions: One for each question of ``made``.
        not_approved: Why an approval that was presented does not help.
        requestable: What would have to be asked for.
    """

    evaluation: Evaluation
    id: str
    at: datetime
    made: Inquiry | None = None
    decisions: tuple[Decision, ...] = ()
    reason: str = ""
    not_approved: ApprovalReason | None = None
    requestable: Requestable | None = None

    @property
    def allowed(self) -> bool:
        is_yes = bool(self.decisions) and all(decision.allowed for decision in self.decisions)
        return is_yes and not self.reason

    def answer(self) -> Answer:
        refusals = [decision for decision in self.decisions if not decision.allowed]
        told = [text for decision in refusals for text in (*decision.reasons, *decision.errors)]
        if self.reason:
            told = [self.reason]
        policies = {policy for decision in self.decisions for policy in decision.policies}
        is_by_approval = self.allowed and approval_reference.is_presented(self.evaluation)
        held = self.made.activation if self.made is not None and is_by_approval else None
        return Answer(
            allowed=self.allowed,
            id=self.id,
            at=self.at,
            reasons=tuple(dict.fromkeys(told)),
            policies=tuple(sorted(policies)),
            policy_digest=self.decisions[0].policy_digest if self.decisions else "",
            code=self._code(),
            requestable=self.requestable,
            next_action=self._next(),
            approval=held.id if held is not None else "",
            until=held.not_after if held is not None else None,
            obligations=self._owed(),
        )

    def _owed(self) -> tuple[Owed, ...]:
        if self.made is None or not self.allowed:
            return ()
        return obligations.owed(self.made.questions, self.decisions)

    def _code(self) -> str:
        if self.not_approved is not None:
            return self.not_approved
        return APPROVAL_REQUIRED if self.requestable is not None else ""

    def _next(self) -> NextAction | None:
        match self.not_approved:
            case None:
                return None
            case ApprovalReason.GRANT_PENDING:
                return NextAction.RETRY
            case _:
                return NextAction.NONE if self.requestable is None else NextAction.REQUEST


class _Page(msgspec.Struct, frozen=True):
    """What a page holds, and how many were looked at for it."""

    page: Page
    considered: int


class Evaluations:
    """Implements ``ports.evaluator.Evaluator`` over the life cycle."""

    def __init__(self, services: Services) -> None:
        self._services = services
        # By asker: the newest question whether it may ask about others that policy said yes to.
        self._trusted: dict[str, tuple[Rules, DecisionRequest]] = {}

    async def evaluate(
        self,
        caller: Caller,
        asked: Sequence[Evaluation],
        semantic: Semantic,
        nonce: PendingNonce | None = None,
    ) -> tuple[Answer, ...]:
        """See the port.

        Raises:
            AuthenticationError: It was accepted before, or the caller is no longer configured.
            DeniedError: The caller may not ask about somebody else.
            UnavailableError: No answer can be given, or none can be put on record.
            TamperError: What is stored does not agree with the log; nothing is answered.
        """
        rules = self._services.rules.loaded  # looked at again in the view, and at the record

        async def attempt() -> tuple[_Finding, ...]:
            nonlocal rules
            known, rules = rules, None
            known = known or await self._services.rules.current()
            return await self._attempt(Asker(caller, nonce), known, asked, semantic)

        found = await _settled(attempt)
        return tuple(finding.answer() for finding in found)

    async def search(self, caller: Caller, search: Search) -> Page:
        """A page of names; each of them would be answered yes at this moment.

        Raises:
            DeniedError: The caller may not ask about somebody else.
            UnavailableError: No answer can be given, or none can be put on record.
            TamperError: What is stored does not agree with the log; nothing is answered.
        """
        return await _settled(lambda: self._look(caller, search))

    async def _attempt(
        self, asker: Asker, rules: Rules, asked: Sequence[Evaluation], semantic: Semantic
    ) -> tuple[_Finding, ...]:
        """Decide all and put it on record; ConflictError if something moved in between."""
        services, caller = self._services, asker.caller
        is_own = all(_is_of(evaluation.subject, caller) for evaluation in asked)
        ids = [services.random.token(_ID_SIZE).hex() for _ in asked]

        def decide(view: View) -> tuple[_Finding, ...]:
            asker.must_be_known(view, rules)
            desk = self._desk(view, rules, caller, is_own=is_own)
            made: list[_Finding] = []
            for evaluation, ident in zip(asked, ids, strict=True):
                found = self._one(desk, rules, evaluation, ident, view.now())
                made.append(self._with_way_out(desk, rules, view, found))
                if semantic.ends_with(allowed=made[-1].allowed):
                    break
            return tuple(made)

        about = ", ".join(sorted({evaluation.resource.id for evaluation in asked}))
        found = await self._looked(rules, asker, about, decide)
        await asker.record(services, lambda tx: _record(tx, caller, rules, found))
        return found

    async def _look(self, caller: Caller, search: Search) -> Page:
        """One page, on record; ConflictError if the rules changed in between."""
        services = self._services
        rules = await services.rules.current()
        # Who can do it is always a question about others.
        is_own = search.sought is not Sought.SUBJECT and _is_of(search.question.subject, caller)

        def look(view: View) -> _Page:
            desk = self._desk(view, rules, caller, is_own=is_own)
            names = candidates(view, rules.configuration, services.installation.id, search)
            return self._page(desk, rules, search, names, view.now())

        found = await self._looked(rules, Asker(caller), search.question.resource.id, look)
        event = DecisionsSearched(
            actor=caller.principal.id,
            sought=search.sought,
            asked=asked_of(search.question),
            considered=found.considered,
            found=found.page.names,
        )

        def record(tx: Transaction) -> None:
            must_be_in_force(tx, rules)
            tx.append(DECISIONS_STREAM, event)

        await services.store.transact(record)
        return found.page

    def _desk(self, view: View, rules: Rules, caller: Caller, *, is_own: bool) -> Desk:
        """For who asks about itself, or may ask about everybody; else _NotTrustedError."""
        if not is_own and not self._is_trusted(view, rules, caller):
            raise _NotTrustedError
        return Desk(view, self._services, rules, caller, is_trusted=not is_own)

    def _is_trusted(self, view: View, rules: Rules, caller: Caller) -> bool:
        """Whether it may ask about everybody.

        Policy knows whole seconds and always answers the same question alike, so of one second and
        the same rules it is asked once. A no is asked again, for the record.
        """
        question = _of_others(view, rules, caller)
        known, asked = self._trusted.get(caller.principal.id, (None, None))
        if known is rules and asked == question:
            return True
        is_trusted = self._services.pep.may(rules, [question])
        if is_trusted:
            self._trusted[caller.principal.id] = (rules, question)
        return is_trusted

    async def _looked(self, rules: Rules, asker: Asker, about: str, look: Callable[[View], T]) -> T:
        """What is found in one view. Who may not ask about others is refused, on record."""
        services, caller = self._services, asker.caller
        try:
            async with on_record(services, caller, Action.DECISION_EVALUATE, about):
                return await asker.read(services, look)
        except _NotTrustedError:
            question = await services.store.read(lambda view: _of_others(view, rules, caller))
            await services.pep.enforce(rules, [question])
            raise ConflictError("it may ask since this moment", way_out="ask again") from None

    def _one(
        self, desk: Desk, rules: Rules, evaluation: Evaluation, ident: str, now: datetime
    ) -> _Finding:
        try:
            made = desk.inquire(evaluation)
        except (StoreUnavailableError, LogUnavailableError, TamperError):
            # Nothing was found out, so this is no answer, not even a no.
            raise
        except CallpointError as error:
            code = _not_approved(evaluation, error)
            return _Finding(evaluation, ident, now, reason=error.message, not_approved=code)
        decisions = self._services.pep.decisions(rules, made.questions)
        unmet = obligations.unmet_by(evaluation, obligations.union(decisions))
        found = _Finding(evaluation, ident, now, made, decisions, unmet)
        if found.allowed:
            return found
        return msgspec.structs.replace(found, not_approved=_not_approved(evaluation, None))

    def _with_way_out(self, desk: Desk, rules: Rules, view: View, found: _Finding) -> _Finding:
        """The same, and what can be asked for where another approval would help."""
        if found.allowed or found.not_approved in _FINAL:
            return found
        out = requestable(desk, self._services.pep, rules, view, found.evaluation)
        return msgspec.structs.replace(found, requestable=out)

    def _page(
        self, desk: Desk, rules: Rules, search: Search, names: Sequence[str], now: datetime
    ) -> _Page:
        found: list[str] = []
        considered = 0
        for name in names[:CANDIDATES]:
            considered += 1
            if self._one(desk, rules, search.with_name(name), "", now).allowed:
                found.append(name)
            if len(found) == search.limit:
                break
        after = names[considered - 1] if considered < len(names) else None
        return _Page(Page(tuple(found), after), considered)


class _NotTrustedError(Exception):
    """It asks about somebody else and may not; only seen between a view and what follows it."""


def _is_of(subject: Entity, caller: Caller) -> bool:
    """Whether the caller asks about itself."""
    return (subject.type, subject.id) == (caller.principal.kind, caller.principal.id)


def _of_others(view: View, rules: Rules, caller: Caller) -> DecisionRequest:
    """May the caller ask about others now?"""
    who = facts.actor(caller, rules.configuration)
    at = view.now().replace(microsecond=0)  # policy knows whole seconds
    return facts.plain_question(Action.DECISION_EVALUATE, who, at)


async def _settled(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try again while what is asked about moves; UnavailableError if it never stands still."""
    for _ in range(TRIES):
        try:
            return await attempt()
        except ConflictError:
            continue
    raise UnavailableError(
        "what is asked about moves faster than it can be decided", way_out="ask again"
    )


def _not_approved(asked: Evaluation, error: CallpointError | None) -> ApprovalReason | None:
    """Why the approval that was presented did not help; None when none was."""
    if not approval_reference.is_presented(asked):
        return None
    return error.reason if isinstance(error, NotApprovedError) else ApprovalReason.POLICY_DENIED


def _record(tx: Transaction, caller: Caller, rules: Rules, found: Sequence[_Finding]) -> None:
    """Everything that was answered, if it still is the answer.

    A no of the life cycle is not compared with anything: it gives nothing.

    Raises:
        ConflictError: Something moved; nothing is recorded.
    """
    must_be_in_force(tx, rules)
    for finding in found:
        if finding.made is not None:
            finding.made.must_hold(tx)
        for event in _events(caller, rules, finding):
            tx.append(DECISIONS_STREAM, event)


def _events(caller: Caller, rules: Rules, finding: _Finding) -> list[DecisionMade]:
    """One for each question to policy, under one id; one without a question if none was asked."""
    event = DecisionMade(
        actor=caller.principal.id,
        evaluation=finding.id,
        asked=asked_of(finding.evaluation),
        allowed=finding.allowed,
        reason=bounded(finding.reason, _REASON_SIZE),
        requestable=finding.requestable.eligibility if finding.requestable is not None else "",
    )
    if finding.made is None:
        return [event]
    pairs = zip(finding.made.questions, finding.decisions, strict=True)
    event = msgspec.structs.replace(event, configuration_digest=rules.configuration_digest)
    return [msgspec.structs.replace(event, question=q, decision=d) for q, d in pairs]
