"""What an enforcement point asks, and what it is answered: the OpenID AuthZEN information model.

Names and members are those of AuthZEN Authorization API 1.0, section 5. ``properties`` and
``context`` are the asker's claims: whoever answers may look things up by them, and believes none.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from callpoint.domain.obligation import Obligation

Claims = Mapping[str, object]
"""JSON values by name, as somebody else wrote them."""


class Entity(msgspec.Struct, frozen=True):
    """A subject or a resource. In a search the one that is sought has no ``id``."""

    type: str
    id: str = ""
    properties: Claims = {}


class Verb(msgspec.Struct, frozen=True):
    """An action; in a search for actions it has no ``name``."""

    name: str = ""
    properties: Claims = {}


class Evaluation(msgspec.Struct, frozen=True):
    """May this subject do this to that?"""

    subject: Entity
    action: Verb
    resource: Entity
    context: Claims = {}


class Requestable(msgspec.Struct, frozen=True):
    """What would have to be asked for: the denial is one that an approval would change.

    Attributes:
        expires_at: Until when it can be asked for by this denial.
        configuration_digest: The rules under which it was found; the request is judged by those
            that are in force then.
    """

    eligibility: str
    expires_at: datetime
    configuration_digest: str
    policy_digest: str


class Owed(msgspec.Struct, frozen=True):
    """What an enforcement point must do for a yes to count, and what people are told then."""

    obligation: Obligation
    text: str


class NextAction(StrEnum):
    """What helps after a no to somebody who presented an approval."""

    REQUEST = "request"
    RETRY = "retry"
    NONE = "none"


class Answer(msgspec.Struct, frozen=True):
    """Yes or no, and why.

    Attributes:
        id: Of the evaluation, under which its entries stand in the log; empty if there are none.
        at: When it was decided, by the store's clock.
        reasons: Sentences, one for each rule that refused.
        policies: Ids of the policies that decided it, sorted.
        policy_digest: SHA-256 hex of the policy set that was asked; empty if none was.
        code: Why not, for a machine; empty where there is no word for it.
        requestable: What would have to be asked for; None where that would not help.
        next_action: Where an approval was presented.
        approval: Of a yes by a presented approval: its id.
        until: Likewise: until when it holds at most.
        obligations: What must be done for a yes to count.
    """

    allowed: bool
    id: str = ""
    at: datetime | None = None
    reasons: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    policy_digest: str = ""
    code: str = ""
    requestable: Requestable | None = None
    next_action: NextAction | None = None
    approval: str = ""
    until: datetime | None = None
    obligations: tuple[Owed, ...] = ()


class Semantic(StrEnum):
    """When a batch of evaluations ends (``options.evaluations_semantic``)."""

    EXECUTE_ALL = "execute_all"
    DENY_ON_FIRST_DENY = "deny_on_first_deny"
    PERMIT_ON_FIRST_PERMIT = "permit_on_first_permit"

    def ends_with(self, *, allowed: bool) -> bool:
        """Whether a batch is over after such an answer."""
        match self:
            case Semantic.EXECUTE_ALL:
                return False
            case Semantic.DENY_ON_FIRST_DENY:
                return not allowed
            case Semantic.PERMIT_ON_FIRST_PERMIT:
                return allowed


class Sought(StrEnum):
    """Which of the three a search leaves open."""

    SUBJECT = "subject"
    RESOURCE = "resource"
    ACTION = "action"


class Search(msgspec.Struct, frozen=True):
    """Which subjects, resources or actions would be answered yes?

    Attributes:
        question: All but the name of what is sought.
        after: Only names after this one, in their order; empty for the first page.
        limit: At most so many.
    """

    sought: Sought
    question: Evaluation
    after: str = ""
    limit: int = 50

    def with_name(self, name: str) -> Evaluation:
        """The evaluation that ``name`` would have to pass."""
        replace, question = msgspec.structs.replace, self.question
        match self.sought:
            case Sought.SUBJECT:
                return replace(question, subject=replace(question.subject, id=name))
            case Sought.RESOURCE:
                return replace(question, resource=replace(question.resource, id=name))
            case Sought.ACTION:
                return replace(question, action=replace(question.action, name=name))


class Page(msgspec.Struct, frozen=True):
    """A part of what a search found.

    Attributes:
        names: In order; may be fewer than the limit, or none, although more follows.
        after: Where the next page goes on; None when there is no more.
    """

    names: tuple[str, ...]
    after: str | None = None
