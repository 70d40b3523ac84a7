"""Names of events, what closes a stream, and what of an event is personal."""

from typing import get_args

import pytest

from callpoint.domain import event as ev
from callpoint.domain.decision import Action
from callpoint.domain.eligibility import Severity
from callpoint.domain.event_form import Private

CLASSES = get_args(ev.AnyEvent)


def test_names_are_unique_and_stable():
    """Every event has one name; a renamed one could not be read from an old log."""
    tags = [kind.__struct_config__.tag for kind in CLASSES]
    assert len(set(tags)) == len(tags)
    assert set(tags) >= {
        "access:refused",
        "account:unknown",
        "action:decided",
        "action:finished",
        "activation:activated",
        "activation:approved",
        "activation:denied",
        "activation:ended",
        "activation:lapsed",
        "activation:requested",
        "activation:reviewed",
        "activation:withdrawn",
        "approval:recorded",
        "bundle:published",
        "bundle:refused",
        "connection:offered",
        "credential:revealed",
        "decision:made",
        "decision:searched",
        "epoch:began",
        "finding:raised",
        "incident:confirmed",
        "incident:declared",
        "incident:reported",
        "incident:resolved",
        "installation:created",
        "key:rotated",
        "kill:ordered",
        "lease:ended",
        "lease:ending",
        "lease:failed",
        "lease:issued",
        "lease:probed",
        "lease:stuck",
        "log:recovered",
        "request:refused",
        "review:triaged",
        "secret:changed",
        "secret:prepared",
        "secret:promoted",
        "session:closed",
        "session:ended",
        "session:opened",
        "session:paused",
        "session:resumed",
        "tombstone:merged",
        "tombstone:refused",
    }


def test_only_the_end_of_a_life_closes_a_stream():
    """What may still be followed by something never states the stream's length."""
    closing = {kind.__struct_config__.tag for kind in CLASSES if kind.CLOSES}
    assert closing == {
        "activation:denied",
        "activation:lapsed",
        "activation:reviewed",
        "activation:withdrawn",
        "session:closed",
    }


def test_what_is_personal_enters_the_log_as_a_commitment_only():
    """Data holds no personal value; the salted digest of it can be shown later."""
    words = Private(salt=bytes(16), value="carol says")
    event = ev.IncidentDeclared(
        actor="frank",
        incident="inc-7",
        severity=Severity.SEV1,
        targets=("orders-db",),
        person="frank",
        private={"title": words},
    )
    body = ev.data(event)
    assert "carol says" not in str(body)
    assert "private" not in body
    assert "type" not in body
    assert ev.private(event) == {"title": words}
    assert ev.private(ev.ActivationLapsed()) == {}
    assert len(words.commitment()) == 64
    assert words.commitment() != Private(bytes(15) + b"\1", "carol says").commitment()


def test_fields_that_a_newer_version_added_are_passed_over():
    """An old reader reads a new entry; a missing field without a default is an error."""
    assert ev.parse("activation:lapsed", {"actor": "", "added": 1}) == ev.ActivationLapsed()
    with pytest.raises(ValueError, match="incident:confirmed"):
        ev.parse("incident:confirmed", {"incident": "inc-7"})


def test_actions_are_sorted_and_say_of_what():
    """Permissions are ``resource:action``, in order, and none of them takes away (I11)."""
    names = [str(action) for action in Action]
    assert names == sorted(names)
    assert all(name.count(":") == 1 for name in names)
    verbs = {name.split(":")[1] for name in names}
    assert not verbs & {"deny", "withdraw", "return", "kill", "resolve", "revoke"}
