"""A decision that went through the log is decided again as it was, whatever was asked."""

from hypothesis import given, settings
from hypothesis import strategies as st

from callpoint.audit.entry import Entry, encode_entry, parse_entry
from callpoint.domain import event as ev
from callpoint.domain.asked import asked_of
from callpoint.domain.event_form import data, name
from callpoint.policy.replay.anew import asked_under
from callpoint.policy.replay.recorded import recorded_in
from tests.property.test_pdp_properties import PDP, WORLD, nearly_right, requests

DIGEST = "c" * 64


@settings(max_examples=150)
@given(requests() | nearly_right(), st.booleans())
def test_the_same_policy_gives_the_same_answer(question, is_refusal):
    """Written as canonical JSON and read back, the question is the same, and so is the answer."""
    decision = PDP.evaluate(question)
    event: ev.AnyEvent = ev.CredentialRevealed(
        lease="l", decision=decision, asked=asked_of([question], DIGEST)
    )
    if is_refusal:
        event = ev.AccessRefused(question=question, decision=decision, configuration_digest=DIGEST)
    read = ev.parse(name(event), parse_entry(_leaf(event)).data)
    (recorded,) = recorded_in(read).decisions
    assert (recorded.question, recorded.decision) == (question, decision)
    assert PDP.evaluate(recorded.question) == decision


@settings(max_examples=150)
@given(requests() | nearly_right())
def test_describing_anew_is_done_once(question):
    """What was described anew by a configuration is not changed by describing it so again."""
    once = asked_under(question, WORLD, WORLD)
    assert asked_under(once, WORLD, WORLD) == once


def _leaf(event: ev.AnyEvent) -> bytes:
    return encode_entry(
        Entry(
            type=name(event),
            version=1,
            installation="i",
            stream="s",
            seq=0,
            prev=None,
            at="2026-11-24T04:09:13.000001Z",
            data={**data(event)},
            personal={},
        )
    )
