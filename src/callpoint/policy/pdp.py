"""The policy decision point: one request in, one decision out, and never an exception (I11).

Default deny, ``forbid`` wins, an error denies. Cedar itself does not do the last: a ``forbid``
whose condition fails to evaluate is skipped, and the answer is Allow with a diagnostic. So the
schema goes along on each call, and any diagnostic, any answer but a plain Allow or Deny, and any
exception is a deny here.
"""

from collections.abc import Callable
from typing import Any

import cedarpy
import msgspec

from callpoint.domain.configuration import Configuration
from callpoint.domain.decision import Actor, Decision, DecisionRequest, Effect, Resource
from callpoint.domain.principal import Principal
from callpoint.policy import entities, reason, schema
from callpoint.policy.policy_set import PERMIT, Policy, PolicySet

Authorize = Callable[..., cedarpy.AuthzResult]
"""``cedarpy.is_authorized``, or in tests one that misbehaves."""

_encode = msgspec.json.Encoder().encode


class Pdp:
    """Decides with one policy set under one configuration; implements ``ports.decider.Decider``.

    Args:
        policy_set: The validated policies.
        configuration: Who and what exists; becomes entities here, once.
        authorize: Cedar's evaluation.
    """

    def __init__(
        self,
        policy_set: PolicySet,
        configuration: Configuration,
        *,
        authorize: Authorize = cedarpy.is_authorized,
    ) -> None:
        self.policy_set = policy_set
        self.configuration = configuration
        self._authorize = authorize
        self._entities = entities.parsed(configuration, policy_set.schema)
        self._groups = {
            name: configuration.groups_of(principal)
            for name, principal in configuration.principals.items()
        }

    def evaluate(self, request: DecisionRequest) -> Decision:
        """Decide; see ``Decider.evaluate``."""
        try:
            return self._decided(request)
        except BaseException as error:
            if not _is_failure(error):
                raise
            return self._failed(_described(error))

    def _decided(self, request: DecisionRequest) -> Decision:
        result = self.ask(self.policy_set.cedar, request)
        errors, matched = tuple(result.diagnostics.errors), tuple(result.diagnostics.reasons)
        answer = result.decision
        if errors or answer is cedarpy.Decision.NoDecision:
            return self._failed(*(errors or ("no decision",)), policies=matched)
        if answer is not cedarpy.Decision.Allow:
            return self._denied(request, matched)
        if not matched:
            return self._failed("allowed by no policy")
        if not self.policy_set.policies.keys() >= set(matched):
            # Nobody could tell what it obliges to.
            return self._failed("allowed by a policy that is none of these", policies=matched)
        ids = tuple(sorted(matched))
        owed = (one for name in ids for one in self.policy_set.policies[name].obligations)
        return Decision(
            Effect.ALLOW,
            ids,
            (),
            self.policy_set.digest,
            obligations=tuple(dict.fromkeys(owed)),
        )

    def ask(self, policies: cedarpy.PolicySet, request: DecisionRequest) -> cedarpy.AuthzResult:
        """Cedar's own answer for some of the policies; ``explain`` asks about each of them.

        Raises:
            ValueError: The request does not agree with the configuration or with the schema.
        """
        return self._authorize(
            self._question(request), policies, self._entities, self.policy_set.schema
        )

    def _question(self, request: DecisionRequest) -> dict[str, Any]:
        principal = self._principal(request.actor)
        self._check_resource(request.resource)
        return {
            "principal": entities.principal_uid(principal),
            "action": {"type": "Action", "id": request.verb},
            "resource": entities.resource_uid(request.resource),
            "context": _encode(schema.context(request)).decode(),
        }

    def _principal(self, actor: Actor) -> Principal:
        """The configured principal, if the request describes it as the configuration does.

        Cedar treats an unknown entity as one without groups: a ``forbid`` on a group would not
        fire for it. So what is not configured, or is described otherwise, is refused.
        """
        principal = self.configuration.principals.get(actor.principal)
        if principal is None:
            raise ValueError(f"no principal is called {reason.clean(actor.principal)}")
        if (
            actor.kind is not principal.kind
            or set(actor.persons) != set(principal.persons)
            or set(actor.groups) != self._groups[principal.id]
        ):
            raise ValueError(f"{principal.id} is described otherwise than it is configured")
        return principal

    def _check_resource(self, resource: Resource) -> None:
        """Likewise for the target role."""
        if resource.opening is None:
            return
        if not self.configuration.has_opening(resource.opening):
            raise ValueError(f"{reason.clean(str(resource.opening))} is not configured")
        if resource.environment != self.configuration.targets[resource.opening.target].environment:
            raise ValueError(f"{resource.opening} is described otherwise than it is configured")

    def _denied(self, request: DecisionRequest, matched: tuple[str, ...]) -> Decision:
        """A deny that worked as it should: by forbids, or because no permit held."""
        listed = self.policy_set.policies
        ids = tuple(sorted(matched))
        reasons = tuple(reason.refusal(name, listed[name].reason, request) for name in ids)
        return Decision(
            Effect.DENY, ids, reasons or (self._unpermitted(request),), self.policy_set.digest
        )

    def _unpermitted(self, request: DecisionRequest) -> str:
        """Say which permits could have held for such a request, and what they need."""
        where = request.resource.opening or "this installation"
        who = reason.clean(request.actor.principal)
        near = [policy for policy in self.in_scope(request) if policy.effect == PERMIT]
        would = [
            f"`{policy.id}` would, if {reason.words(policy.needs, request)}"
            if policy.needs
            else f"`{policy.id}` could"
            for policy in near
        ]
        return "; ".join([f"no policy permits {who} {request.verb} on {where}", *would])

    def in_scope(self, request: DecisionRequest) -> list[Policy]:
        """The policies whose scope covers the request, whatever their conditions say."""
        matched = self.ask(self.policy_set.scopes, request).diagnostics.reasons
        return [policy for name, policy in self.policy_set.policies.items() if name in matched]

    def _failed(self, *errors: str, policies: tuple[str, ...] = ()) -> Decision:
        shown = tuple(reason.clean_error(error) for error in errors)
        return Decision(
            effect=Effect.DENY,
            policies=tuple(sorted(policies)),
            reasons=(f"denied, because it could not be decided: {shown[0]}",),
            policy_digest=self.policy_set.digest,
            errors=shown,
        )


def _is_failure(error: BaseException) -> bool:
    """Whether it means that evaluation failed, not that the process is being stopped.

    A panic inside Cedar arrives as a BaseException that has no importable type.
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _described(error: BaseException) -> str:
    """A ValueError is about the question and speaks for itself; anything else is unexpected."""
    return str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
