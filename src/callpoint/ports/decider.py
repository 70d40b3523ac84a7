"""Who answers the PEP: the PDP over Cedar, or in tests one that denies or is broken."""

from typing import Protocol

from callpoint.domain.decision import Decision, DecisionRequest


class Decider(Protocol):
    """Decides one request. It is pure: the same request gets the same answer."""

    def evaluate(self, request: DecisionRequest) -> Decision:
        """The answer, which is never an exception.

        Whatever goes wrong inside is a deny with ``errors`` filled (I11). The caller treats an
        exception as a deny all the same.
        """
        ...
