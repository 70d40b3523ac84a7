"""What is done through a gateway: a verb on an object, and how much such a verb can do.

Each protocol brings its verbs, ``sql:select`` for instance. The list is closed: a policy names them
as Cedar actions, and a verb that is not here is denied before anybody is asked.
"""

from enum import StrEnum

import msgspec


class Impact(StrEnum):
    """What a verb does to what it is used on; a Cedar action group for each."""

    READING = "reading"
    WRITING = "writing"
    DEFINING = "defining"
    STEERING = "steering"


class Operation(msgspec.Struct, frozen=True, order=True):
    """One verb on one object.

    Attributes:
        verb: A key of ``VERBS``.
        object: Inside the target, in its protocol's own writing: ``public.items``.
    """

    verb: str
    object: str

    def __str__(self) -> str:
        return f"{self.verb} {self.object}"


_READ = ("select", "copy-out", "explain", "inspect", "show")
_WRITE = ("insert", "update", "delete", "merge", "truncate", "copy-in", "execute", "lock", "notify")
_STEER = ("transaction", "set", "session", "listen", "usage")
_CARE = ("vacuum", "analyze", "references")
_DEFINE = (
    *("create-table", "create-view", "create-index", "create-sequence"),
    *("alter-table", "rewrite", "alter-sequence", "rename", "comment", "refresh", "reindex"),
    *("drop-table", "drop-view", "drop-index", "drop-sequence"),
)

VERBS: dict[str, Impact] = {
    **{f"sql:{name}": Impact.READING for name in _READ},
    **{f"sql:{name}": Impact.WRITING for name in _WRITE},
    **{f"sql:{name}": Impact.STEERING for name in _STEER},
    **{f"sql:{name}": Impact.DEFINING for name in _CARE},
    **{f"ddl:{name}": Impact.DEFINING for name in _DEFINE},
}
"""Every verb of every protocol; what can change definitions for others counts as defining."""

DESTRUCTIVE: frozenset[str] = frozenset(
    {"sql:delete", "sql:truncate", "ddl:alter-table", *(v for v in VERBS if "drop-" in v)}
)
"""Verbs after which something is gone; a budget of their own counts them."""
