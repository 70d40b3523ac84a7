"""What stops the demo."""

from callpoint.domain.errors import CallpointError


class UnexpectedError(CallpointError):
    """Something went otherwise than the story says: Callpoint does not keep a promise."""


def expect(holds: object, promise: str) -> None:
    """Stop the demo unless the promise is kept."""
    if not holds:
        raise UnexpectedError(f"not so: {promise}")
