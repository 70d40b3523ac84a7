"""Binding tokens: what a denial was about, so that a request answers that one."""

from typing import Protocol

from callpoint.domain.access_request import Denial


class DenialTokens(Protocol):
    """Writes and reads them, with the installation's token key."""

    def sign(self, denial: Denial) -> str:
        """The token; printable, without spaces."""
        ...

    def read(self, token: str) -> Denial:
        """What a token says that we signed. Whom it is for, and until when, is the caller's to see.

        Raises:
            AccessRequestError: ``invalid_denial_binding``.
        """
        ...
