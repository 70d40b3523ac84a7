"""Who answers enforcement points: the life cycle with its policies, or in tests another world."""

from collections.abc import Sequence
from typing import Protocol

from callpoint.domain.evaluation import Answer, Evaluation, Page, Search, Semantic
from callpoint.ports.identity import Caller, PendingNonce


class Evaluator(Protocol):
    """Answers for an authenticated caller, who need not be the subject.

    What cannot be decided is denied, with a reason. Errors are for what concerns the caller or the
    whole call: DeniedError (it may not ask this), UnavailableError (nothing can be answered now).
    """

    async def evaluate(
        self,
        caller: Caller,
        asked: Sequence[Evaluation],
        semantic: Semantic,
        nonce: PendingNonce | None = None,
    ) -> tuple[Answer, ...]:
        """One answer for each, in order; fewer where the semantic ends the batch before.

        Args:
            caller: Who asks.
            asked: What.
            semantic: When a batch ends.
            nonce: Spent with the record, or before a refusal is put on record. The caller was
                recognised by the rules as this process knew them, which may be old ones.
        """
        ...

    async def search(self, caller: Caller, search: Search) -> Page:
        """A page of names; each of them would be answered yes at this moment."""
        ...
