"""How a credential comes to be, and so how it dies."""

from enum import StrEnum


class LeaseKind(StrEnum):
    """``minted``: made for one activation, and removed. ``checked_out``: it was there and stays.

    A checked-out account has one secret, so it serves one activation at a time (I12) and its
    access ends by rotation.
    """

    MINTED = "minted"
    CHECKED_OUT = "checked_out"
