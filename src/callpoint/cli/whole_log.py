"""A server's whole log, read once from its first entry on: for an export, and for a replay."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from callpoint.cli.bundle_files import publication
from callpoint.domain.errors import ConflictError, TamperError

if TYPE_CHECKING:  # HTTP and all messages take a tenth of a second, which `--help` need not pay
    from callpoint.api.messages import LogEntry
    from callpoint.cli.client import Client
    from callpoint.domain.event import BundlePublished


class WholeLog:
    """All entries up to the size that the first answer names, and its checkpoint.

    The log grows meanwhile; later answers are cut at that size, so that entries and checkpoint
    belong together. Nothing of it is verified here.

    Attributes:
        size: How many entries it has.
        checkpoint: The signed note.
        published: The configurations that the entries read so far name.
    """

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._first = client.log_entries(0)
        self.size = self._first.size
        self.checkpoint = self._first.checkpoint.encode()
        self.published: list[BundlePublished] = []

    def entries(self) -> Iterator["LogEntry"]:
        """Each entry; to be read once.

        Raises:
            ConflictError: The server stopped in the middle.
            TamperError: It gave another entry than was to come.
        """
        page, read = self._first, 0
        while read < self.size:
            if not page.entries:
                raise ConflictError(
                    f"the server gave {read} of {self.size} entries and no more",
                    way_out="try again; if it stays so, look at the server's log",
                )
            for entry in page.entries[: self.size - read]:
                if entry.index != read:
                    raise TamperError(f"the server gave entry {entry.index} in place of {read}")
                if (event := publication(entry.leaf)) is not None:
                    self.published.append(event)
                yield entry
                read += 1
            if read < self.size:
                page = self._client.log_entries(read)
