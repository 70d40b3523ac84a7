"""Several notifiers as one."""

from collections.abc import Sequence

from callpoint.ports.notifiers import Notice, Notifier


class FanOut:
    """Implements ``ports.notifiers.Notifier``: hands each notice to all, in order."""

    def __init__(self, notifiers: Sequence[Notifier]) -> None:
        self._notifiers = tuple(notifiers)

    async def notify(self, notice: Notice) -> None:
        """See the port; none of them raises."""
        for notifier in self._notifiers:
            await notifier.notify(notice)
