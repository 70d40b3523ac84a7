"""A kill of a principal reaches what others let it do: the activation is theirs and goes on.

A mark beside the rows says until when nothing counts that was handed to that principal. It is kept
for longer than a token lives, and is no evidence: the log has the order.
"""

from datetime import datetime, timedelta

from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import RequestError
from callpoint.domain.ids import parse_name
from callpoint.domain.nonce import Nonce
from callpoint.domain.token import LIFE
from callpoint.ports.stores import Transaction, View, Where

_SUBJECT = "token:killed:"  # no principal is named like it: names have no colon
_KEPT = LIFE + timedelta(hours=1)


def mark_killed(tx: Transaction, about: str) -> None:
    """From now on nothing counts that was handed to that principal, or to a machine of it.

    It only adds, looks at nothing that somebody with the database could have spoilt, and leaves
    out what is no name: a kill never fails for it.
    """
    try:
        parse_name(about, "principal")
    except RequestError:
        return
    at = tx.now()
    mark = Nonce(key_id=_SUBJECT + about, nonce=at.isoformat(), due_at=at + _KEPT)
    mine = Where(subject=mark.key_id, skip_spoilt=True)
    if mark.key() not in {known.key() for known in tx.select(Nonce, mine)}:
        tx.put(mark)


def is_killed(view: View, configuration: Configuration, who: str, since: datetime) -> bool:
    """Whether somebody killed ``who``, or a person behind it, at ``since`` or later."""
    principal = configuration.principals.get(who)
    names = {who, *(principal.persons if principal else ())}
    marks = (m for n in sorted(names) for m in view.select(Nonce, Where(subject=_SUBJECT + n)))
    return any(mark.due_at - _KEPT >= since for mark in marks)
