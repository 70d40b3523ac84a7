"""Witnesses of logs (C2SP tlog-witness): asking one, and what one must remember to be one."""

from typing import Protocol

import msgspec


class Reply(msgspec.Struct, frozen=True):
    """What a witness answered to a submission.

    Attributes:
        status: HTTP status.
        body: At most a few kilobytes; what was longer is cut.
    """

    status: int
    body: bytes


class Witnesses(Protocol):
    """The way to witnesses."""

    async def add_checkpoint(self, url: str, submission: bytes) -> Reply:
        """Post a submission (``audit.submission``) to a witness, by its submission prefix.

        Raises:
            UnavailableError: It did not answer in time.
        """
        ...


class Remembered(msgspec.Struct, frozen=True):
    """The largest tree of a log that a witness has cosigned: entries, and the root over them."""

    size: int
    root: bytes


class WitnessMemory(Protocol):
    """A witness's memory outside the database, which may be restored from a backup.

    A witness that forgets would cosign a fork, so a memory that is lost says so and never begins
    anew by itself.
    """

    def latest(self, origin: str) -> Remembered | None:
        """What was cosigned last of that log, None for a log that never was.

        Raises:
            UnavailableError: The memory is lost, damaged, or another witness's.
        """
        ...

    def remember(self, origin: str, tree: Remembered) -> None:
        """Keep it, on the disk when this returns; a smaller tree than is known changes nothing.

        Raises:
            UnavailableError: It cannot be written: then nothing may be signed.
        """
        ...


class CosigningKey(Protocol):
    """Holds a witness's private key."""

    @property
    def public(self) -> str:
        """C2SP vkey text, type 0x04."""
        ...

    def cosign(self, text: str, time: int) -> str:
        """The signature line over a checkpoint's text at that POSIX time, without its newline."""
        ...
