"""What an eligibility may say about sessions whose gateway lost the authority (I13)."""

from collections.abc import Iterator
from datetime import timedelta

import msgspec

from callpoint.config.document import Problems
from callpoint.config.kinds import choice, integer, span
from callpoint.config.positions import Path
from callpoint.config.shape import Key, Shape, Values, table
from callpoint.domain.configuration import Configuration
from callpoint.domain.eligibility import Eligibility, Mode
from callpoint.domain.offline import LONGEST, USUAL, OfflineAllowance, OnLoss
from callpoint.domain.span import format_span

_MANY = 10_000
_SHORTEST = timedelta(minutes=1)
_FIELDS = ("offline_for", "offline_allowance")

OFFLINE_ALLOWANCE: Shape = (
    Key("actions", integer(1, _MANY), "Statements, commands, calls.", default=20),
    Key("rows", integer(0, _MANY), "Rows that reach the actor or are taken in.", default=200),
    Key(
        "bytes",
        integer(0, 1 << 30),
        "Bytes of what reaches the actor or is taken in.",
        default=1 << 20,
    ),
    Key(
        "destructive",
        integer(0, _MANY),
        "Actions after which something is gone: delete, truncate, drop, alter table.",
        default=0,
    ),
)

OFFLINE: Shape = (
    Key(
        "on_loss",
        choice(OnLoss),
        "What becomes of a session whose gateway gets no answer for 15 s. cut, also when it is "
        "left out; offline: it goes on with what was allowed in it before, within the two bounds "
        "below. No kill reaches it then.",
        default=None,
    ),
    Key(
        "offline_for",
        span(_SHORTEST, LONGEST),
        "How long it goes on after the last answer, with `offline`; "
        f"`{format_span(USUAL)}` when it is left out.",
        default=None,
    ),
    Key(
        "offline_allowance",
        table(OFFLINE_ALLOWANCE),
        "How much an activation may do so, in all losses together, with `offline`.",
        default=None,
    ),
)


def read_offline(values: Values) -> None:
    """Put the inner table in the place of its plain values."""
    if (said := values.pop("offline_allowance", None)) is not None:
        values["offline_allowance"] = OfflineAllowance(**said)


def check_offline(found: Configuration, rule: Eligibility, problems: Problems) -> None:
    """Note bounds without what they bound, and what nobody could keep."""
    path: Path = ("eligibilities", rule.id)
    if rule.on_loss is not OnLoss.OFFLINE:
        for field in _FIELDS:
            if getattr(rule, field) is not msgspec.UNSET:
                problems.add(
                    (*path, field),
                    "bounds nothing, because sessions are cut",
                    'write on_loss = "offline" beside it, or leave the key out',
                )
        return
    for message, way_out in _unkept(found, rule):
        problems.add((*path, "on_loss"), message, way_out)
    offline = rule.offline
    if offline is not None and offline.span > rule.ttl:
        problems.add(
            (*path, "offline_for"),
            f"is longer than for = {format_span(rule.ttl)!r}, which it can never be",
            "shorten it",
        )


def _unkept(found: Configuration, rule: Eligibility) -> Iterator[tuple[str, str]]:
    if rule.mode is Mode.AUTOMATED:
        yield (
            "lets a machine go on that nobody can stop meanwhile",
            'write on_loss = "cut", or mode = "human"',
        )
    for opening in rule.opens:
        target = found.targets.get(opening.target)
        if target is not None and not target.behind:
            yield (
                f"means nothing on {target.id}, which is behind no gateway",
                f"put {target.id} behind a gateway, or open it with an eligibility of its own",
            )
