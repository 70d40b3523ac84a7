"""What the public side of the log answers. ``bytes`` are standard base64, as in ``messages``."""

from datetime import datetime

import msgspec


class InclusionView(msgspec.Struct, frozen=True):
    """``GET /v1/log/proof?index=|leaf=``: that an entry is in the log.

    Attributes:
        index: The entry's place.
        leaf_hash: Its leaf hash.
        proof: Inclusion proof in the tree of ``checkpoint``, lowest level first.
        checkpoint: Signed, and cosigned where witnesses have seen it.
    """

    index: int
    leaf_hash: bytes
    proof: tuple[bytes, ...]
    checkpoint: str


class ConsistencyView(msgspec.Struct, frozen=True):
    """``GET /v1/log/consistency?old=&new=``: that the log of ``new`` entries extends ``old``.

    Attributes:
        proof: Consistency proof, lowest level first.
        checkpoint: The newest, signed; of at least ``new`` entries.
    """

    old: int
    new: int
    proof: tuple[bytes, ...]
    checkpoint: str


class WitnessView(msgspec.Struct, frozen=True):
    """What is known of one configured witness.

    Attributes:
        name: Configured name.
        url: Its submission prefix.
        size: The largest checkpoint that it cosigned; 0 for none.
        seen_at: When it did so the last time, by its own clock.
        counts: Whether that is new enough to count for the quorum.
        answer: Its last one: ``cosigned``, ``silent``, ``refused``, ``contradicted``, or empty.
        detail: What was wrong.
    """

    name: str
    url: str
    size: int
    seen_at: datetime | None
    counts: bool
    answer: str
    detail: str


class LogView(msgspec.Struct, frozen=True):
    """``GET /v1/log/status``: the log as its operator must know it.

    Attributes:
        origin: Its name.
        size: Entries under the newest checkpoint.
        root: The root of that tree.
        logged_at: When the newest entry was written.
        now: The store's clock.
        works: Whether something could be numbered and signed now.
        waiting: Events that wait for a number.
        kept: Size of the checkpoint that is kept outside the database; None when there is none.
        published: Size of the checkpoint that outsiders are shown.
        cosigned_by: Witnesses on that one.
        quorum: Witnesses that must have seen the log before anything is issued.
        within: How old their cosignatures may be, in seconds.
        witnesses: The configured ones.
        witness_key: The key with which this installation cosigns other logs; empty for none.
        logs: Origins that it cosigns, and the size that it knows of each.
    """

    origin: str
    size: int
    root: bytes
    logged_at: datetime | None
    now: datetime
    works: bool
    waiting: int
    kept: int | None
    published: int
    cosigned_by: tuple[str, ...]
    quorum: int
    within: int
    witnesses: tuple[WitnessView, ...]
    witness_key: str
    logs: dict[str, int]


class AskedView(msgspec.Struct, frozen=True):
    """``POST /v1/log/witness``: what each witness answered just now, by its configured name."""

    size: int
    answers: dict[str, str]
