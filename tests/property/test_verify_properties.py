"""Properties of the verifier: no change goes unseen, and no bytes crash it."""

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from callpoint.audit.verify import verify_bundle, verify_log
from tests.fakes.sample_log import VKEY, item, packed, sample_log

LOG = sample_log()
HEAD = LOG.checkpoint()
BUNDLE = packed(LOG.bundle())


@st.composite
def tampered(draw: st.DrawFn) -> list[bytes]:
    """The log's leaves after one to three arbitrary changes: bits, cuts, moves, copies."""
    leaves = list(LOG.leaves)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(len(leaves) - 1, 0)))
        other = draw(st.integers(0, len(leaves)))
        match draw(st.sampled_from(["flip", "cut", "move", "copy", "noise"])):
            case "flip" if leaves and leaves[place]:
                bit = draw(st.integers(0, 8 * len(leaves[place]) - 1))
                changed = bytearray(leaves[place])
                changed[bit // 8] ^= 1 << bit % 8
                leaves[place] = bytes(changed)
            case "cut":
                del leaves[place : place + 1]
            case "move" if leaves:
                leaves.insert(other, leaves.pop(place))
            case "copy" if leaves:
                leaves.insert(other, leaves[place])
            case _:
                leaves.insert(other, draw(st.binary(max_size=50)))
    return leaves


@given(tampered())
def test_a_log_verifies_only_as_it_was_signed(leaves):
    """After arbitrary changes the report is ok exactly when nothing has changed after all."""
    assert verify_log(leaves, HEAD, VKEY).ok == (leaves == LOG.leaves)


@given(st.data())
def test_no_byte_of_a_bundle_can_be_changed_unseen(data):
    """Replacing any byte of a bundle is found, or leaves what the bundle says unchanged."""
    place = data.draw(st.integers(0, len(BUNDLE) - 1))
    byte = data.draw(st.integers(0, 255))
    changed = BUNDLE[:place] + bytes([byte]) + BUNDLE[place + 1 :]
    if verify_bundle(changed, VKEY).ok:
        assert said(changed) == said(BUNDLE)


def said(bundle: bytes) -> Any:
    """What a bundle says, with base64 decoded: spare bits of its last character say nothing."""
    value = json.loads(bundle)
    for entry in value["entries"] + value["related"]:
        entry["leaf"] = base64.b64decode(entry["leaf"])
        entry["proof"] = [base64.b64decode(text) for text in entry["proof"]]
    return value


@given(st.sets(st.integers(0, 8)), st.lists(st.integers(0, 16), max_size=2))
def test_a_bundle_verifies_only_with_all_of_its_events(left_out, added):
    """Leaving out any events but the last ones, or adding any entries of the log, is found."""
    bundle = LOG.bundle()
    kept = [entry for n, entry in enumerate(bundle["entries"]) if n not in left_out]
    bundle["entries"] = kept + [item(LOG.leaves, index) for index in added]
    report = verify_bundle(packed(bundle), VKEY, expect_closed=True)
    complete = [entry["index"] for entry in bundle["entries"]] == [
        entry["index"] for entry in LOG.bundle()["entries"]
    ]
    assert report.ok == complete


@given(st.binary(max_size=200), st.binary(max_size=200), st.lists(st.binary(max_size=50)))
def test_noise_is_reported_and_never_raised(bundle, checkpoint, leaves):
    """Arbitrary bytes in any place give a report with findings, and no exception."""
    assert not verify_bundle(bundle, VKEY).ok
    assert not verify_log(leaves, checkpoint, VKEY, earlier=bundle).ok
