"""What a step asked of policy, as its event keeps it: enough to ask the same again, later.

The target roles of one step share everything but the resource. Written once for all of them, a
step that opens 32 still fits into one entry (docs/audit-log-format.md, section 2).
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from callpoint.domain.decision import (
    Action,
    ActivationFacts,
    Actor,
    Decision,
    DecisionRequest,
    IncidentFacts,
    Resource,
)
from callpoint.domain.operation import Operation


class Asked(msgspec.Struct, frozen=True):
    """The questions of one step.

    Attributes:
        at: The moment that they were asked about, by the store's clock.
        resources: In the order of the decisions.
        configuration_digest: Of the configuration that described who and what; with the decision's
            policy digest it names the bundle that was in force.
        operations: What was to be done through a gateway; else none.
    """

    actor: Actor
    action: Action
    at: datetime
    resources: tuple[Resource, ...]
    configuration_digest: str
    incident: IncidentFacts | None = None
    activation: ActivationFacts | None = None
    operations: tuple[Operation, ...] = ()

    def questions(self) -> tuple[DecisionRequest, ...]:
        """One for each resource and operation, exactly as they were asked."""
        return tuple(
            DecisionRequest(
                actor=self.actor,
                action=self.action,
                resource=resource,
                at=self.at,
                incident=self.incident,
                activation=self.activation,
                operation=operation,
            )
            for resource in self.resources
            for operation in self.operations or (None,)
        )


class Decided(msgspec.Struct, frozen=True):
    """A step's questions and the answers to them, one for each resource."""

    asked: Asked
    decisions: tuple[Decision, ...]


def asked_of(questions: Sequence[DecisionRequest], configuration_digest: str) -> Asked:
    """The questions of one step, written once.

    Raises:
        ValueError: There is none, or they differ in more than the resource or the operation:
            written like this they would be other questions when they are read back.
    """
    if not questions:
        raise ValueError("a step that asks nothing has no questions to keep")
    first = questions[0]
    made = Asked(
        actor=first.actor,
        action=first.action,
        at=first.at,
        resources=(
            (first.resource,) if first.operation else tuple(asked.resource for asked in questions)
        ),
        configuration_digest=configuration_digest,
        incident=first.incident,
        activation=first.activation,
        operations=tuple(asked.operation for asked in questions if asked.operation is not None),
    )
    if made.questions() != tuple(questions):
        raise ValueError("the questions of one step differ in more than resource or operation")
    return made
