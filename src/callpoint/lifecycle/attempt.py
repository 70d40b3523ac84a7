"""A transaction of which who asked for it can say for certain that it will not happen.

Who gives up a call of the store, or gets no answer, cannot know by that alone whether its work
runs all the same: on the store's thread it may just begin.
"""

from callpoint.domain.errors import ConflictError


class Attempt:
    """One call of ``transact``: its work begins with ``begin``, which the store may repeat."""

    def __init__(self) -> None:
        self._claims = [True]
        self._has_begun = False
        self._is_taken_back = False

    def begin(self) -> None:
        """On the store's thread.

        Raises:
            ConflictError: It was taken back; nothing is to be written.
        """
        if not self._has_begun:
            self._has_begun = self._claim()
        if not self._has_begun:
            raise ConflictError("who asked for it has gone")

    def take_back(self) -> bool:
        """Whether it has not begun; then it never will. For who has no answer."""
        if not self._is_taken_back:
            self._is_taken_back = self._claim()
        return self._is_taken_back

    def _claim(self) -> bool:
        """Whoever comes first."""
        try:
            return self._claims.pop()  # one step, whatever other threads do
        except IndexError:
            return False
