"""How much a target role can do: what is more privileged is taken away first (I7)."""

from enum import StrEnum
from typing import assert_never


class Privilege(StrEnum):
    """The owner's word for a role. It orders revocation and decides nothing else."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    TOTAL = "total"

    @property
    def priority(self) -> int:
        """Higher is more urgent; 0 is what plans have that were frozen before there was a word."""
        match self:
            case Privilege.LOW:
                return -1
            case Privilege.NORMAL:
                return 0
            case Privilege.HIGH:
                return 1
            case Privilege.TOTAL:
                return 2
            case _:
                assert_never(self)
