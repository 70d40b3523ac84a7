"""Tests of the verifier on evidence bundles: left out, changed, foreign, or approved by nobody."""

import base64
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callpoint.audit.entry import canonical_json, commit, parse_entry
from callpoint.audit.note import MalformedNoteError, Signer
from callpoint.audit.verify import Code, Report, verify_bundle
from callpoint.audit.verify.bundle import MAX_BUNDLE_SIZE
from tests.fakes.sample_log import (
    ACTIVATION,
    REQUEST,
    SALT,
    SIGNER,
    STREAM,
    VKEY,
    SampleLog,
    digest_of,
    item,
    packed,
    sample_log,
    sealed,
    vote,
)

LOG = sample_log()
OWN = LOG.streams[STREAM]
COUNT = len(OWN)
CLOSED_AT = OWN[-1] + 1

Bundle = dict[str, Any]


def check(bundle: Bundle, *, expect_closed: bool = False) -> Report:
    """The report on this bundle."""
    return verify_bundle(packed(bundle), VKEY, expect_closed=expect_closed)


def codes(report: Report) -> set[Code]:
    """The names of what was found."""
    return {finding.code for finding in report.findings}


def at(report: Report, code: Code) -> list[int | None]:
    """Where something of this name was found."""
    return [finding.index for finding in report.findings if finding.code is code]


def of_log(log: SampleLog) -> Report:
    """The report on the activation's bundle out of this log."""
    return check(log.bundle())


def test_an_honest_bundle_verifies():
    """The bundle of a whole activation has no finding, closed as it is."""
    report = check(LOG.bundle(), expect_closed=True)
    assert report.findings == ()
    assert report.size == COUNT + 6
    assert any("compare them with the configuration" in note for note in report.notes)


def test_a_left_out_event_is_named():
    """Each event that is left out of the bundle is missed, by number or by the stated length."""
    for position in range(COUNT):
        bundle = LOG.bundle()
        del bundle["entries"][position]
        report = check(bundle)
        if position == COUNT - 1:
            assert report.notes[-2] == f"open: completeness is shown only up to seq {COUNT - 2}"
            assert codes(check(bundle, expect_closed=True)) == {Code.STREAM_OPEN}
            continue
        assert OWN[position + 1] in at(report, Code.ENTRY_REMOVED)
        assert None in at(report, Code.ENTRY_REMOVED)


def test_a_left_out_related_entry_is_named():
    """Genesis, the configuration's publication and the incident cannot be left out."""
    for position in (0, 1, 3):
        bundle = LOG.bundle()
        del bundle["related"][position]
        assert codes(check(bundle)) & {Code.RELATED_MISSING, Code.ENTRY_REMOVED}
    bundle = LOG.bundle()
    bundle["related"] = []
    assert len(at(check(bundle), Code.RELATED_MISSING)) == 3


@pytest.mark.parametrize(
    "lane, incident, found",
    [("elevation", "", 0), ("elevation", "inc-9", 1), ("break-glass", "", 1)],
)
def test_only_planned_work_may_rest_on_no_incident(lane, incident, found):
    """An emergency without its incident's events, or with another one's, is a finding."""
    request = REQUEST | {"lane": lane, "incident": incident}
    digest = digest_of(request)
    votes = [vote("bob", 1, request_digest=digest), vote("cleo", 2, request_digest=digest)]
    report = of_log(sample_log(votes=votes, request=request))
    assert len(report.findings) == len(at(report, Code.RELATED_MISSING)) == found


@pytest.mark.parametrize(
    "part, position", [("entries", n) for n in range(COUNT)] + [("related", 2)]
)
def test_any_flipped_bit_is_named(part, position):
    """Whatever bit of a leaf or proof is flipped, its entry is named as not included."""
    index = LOG.bundle()[part][position]["index"]
    leaf = base64.b64decode(LOG.bundle()[part][position]["leaf"])
    for bit in range(0, 8 * len(leaf), 41):
        bundle = LOG.bundle()
        changed = bytearray(leaf)
        changed[bit // 8] ^= 1 << bit % 8
        bundle[part][position]["leaf"] = base64.b64encode(changed).decode()
        assert at(check(bundle), Code.NOT_INCLUDED) == [index]
    bundle = LOG.bundle()
    proof = bytearray(base64.b64decode(bundle[part][position]["proof"][0]))
    proof[0] ^= 1
    bundle[part][position]["proof"][0] = base64.b64encode(proof).decode()
    assert at(check(bundle), Code.NOT_INCLUDED) == [index]


@pytest.mark.parametrize("first, second", list(pairwise(range(COUNT))))
def test_exchanged_entries_are_named(first, second):
    """Two exchanged events are named, each of them still being included."""
    bundle = LOG.bundle()
    entries = bundle["entries"]
    entries[first], entries[second] = entries[second], entries[first]
    assert codes(check(bundle)) == {Code.ENTRY_REORDERED}
    assert at(check(bundle), Code.ENTRY_REORDERED) == [OWN[first]]


def test_a_doubled_entry_is_named():
    """An event that occurs twice in the bundle is one too many."""
    bundle = LOG.bundle()
    bundle["entries"].insert(3, bundle["entries"][2])
    assert OWN[2] in at(check(bundle), Code.ENTRY_INSERTED)


def test_a_foreign_entry_is_named():
    """An honest entry of another activation is foreign among the activation's own."""
    other = next(s for s in LOG.streams if s != STREAM and s.startswith("activation:"))
    index = LOG.streams[other][0]
    bundle = LOG.bundle()
    bundle["entries"].insert(1, item(LOG.leaves, index))
    report = check(bundle)
    assert at(report, Code.ENTRY_FOREIGN) == [index]
    assert at(report, Code.ENTRY_INSERTED) == [None]


def test_an_own_event_among_the_related_is_named():
    """An event of the activation that is moved to the related entries is missed and found there."""
    bundle = LOG.bundle()
    bundle["related"].append(bundle["entries"].pop(2))
    report = check(bundle)
    assert at(report, Code.ENTRY_FOREIGN) == [OWN[2]]
    assert OWN[3] in at(report, Code.ENTRY_REMOVED)


@pytest.mark.parametrize("field", ["installation", "activation"])
def test_a_bundle_that_claims_another_subject_is_refused(field):
    """A bundle relabelled for another installation or activation finds all its entries foreign."""
    bundle = LOG.bundle() | {field: "other1"}
    assert len(at(check(bundle), Code.ENTRY_FOREIGN)) >= COUNT


def test_an_unreadable_entry_is_named():
    """A leaf that is no entry is named, and is not missed as well."""
    bundle = LOG.bundle()
    bundle["entries"][2]["leaf"] = base64.b64encode(b"{}").decode()
    report = check(bundle)
    assert at(report, Code.ENTRY_MALFORMED) == [OWN[2]]
    assert Code.ENTRY_REMOVED not in codes(report)


def test_an_empty_bundle_is_refused():
    """A bundle without events of its activation shows nothing, and says so."""
    assert codes(check(LOG.bundle() | {"entries": []})) == {Code.ENTRY_REMOVED}


def test_an_open_activation_is_a_note_unless_closed_is_expected():
    """While the activation is open the report says up to where the bundle is complete."""
    bundle = LOG.bundle(CLOSED_AT - 1)
    report = check(bundle)
    assert report.ok
    assert any("only up to seq 7" in note for note in report.notes)
    assert codes(check(bundle, expect_closed=True)) == {Code.STREAM_OPEN}


def test_personal_values_are_compared_with_their_commitments():
    """A revealed value must open its commitment; one that was erased is only noted."""
    assert any("does not show: justification" in note for note in check(LOG.bundle()).notes)
    salt = base64.b64encode(SALT).decode()
    for name, value, expected in [
        ("justification", "orders are stuck", set()),
        ("justification", "something else", {Code.COMMITMENT_MISMATCH}),
        ("nickname", "orders are stuck", {Code.COMMITMENT_MISMATCH}),
    ]:
        bundle = LOG.bundle()
        bundle["entries"][0]["personal"] = {name: {"salt": salt, "value": value}}
        assert codes(check(bundle)) == expected
    assert commit(SALT, "orders are stuck") in LOG.leaves[OWN[0]].decode()


ZEROS = base64.b64encode(bytes(64)).decode()
CLEO = vote("cleo", 2)


@pytest.mark.parametrize(
    "second, code",
    [
        (CLEO | {"signature": ZEROS}, Code.VOTE_INVALID),
        (CLEO | {"signature": 7}, Code.VOTE_INVALID),
        (CLEO | {"statement": "*"}, Code.VOTE_INVALID),
        (CLEO | {"key": vote("bob", 1)["key"]}, Code.VOTE_INVALID),
        (CLEO | {"person": "eve"}, Code.VOTE_INVALID),
        (vote("cleo", 2, verdict="deny") | {"verdict": "approve"}, Code.VOTE_INVALID),
        (vote("cleo", 2, request_digest="00" * 32), Code.VOTE_OTHER_REQUEST),
        (vote("cleo", 2, policy_digest="00" * 32), Code.VOTE_OTHER_REQUEST),
        (vote("cleo", 2, configuration_digest=None), Code.VOTE_OTHER_REQUEST),
        (vote("cleo", 2, activation="act000000002"), Code.VOTE_OTHER_REQUEST),
        (vote("cleo", 2, installation="other1"), Code.VOTE_OTHER_REQUEST),
        (vote("cleo", 2, domain="callpoint/other/v1"), Code.VOTE_OTHER_REQUEST),
        (vote("bob", 2), Code.VOTE_NOT_INDEPENDENT),
        (vote("bob", 1), Code.VOTE_NOT_INDEPENDENT),
        (vote("cleo", 1), Code.VOTE_NOT_INDEPENDENT),
        (vote("ada", 2), Code.VOTE_NOT_INDEPENDENT),
        (vote("dora", 2), Code.VOTE_NOT_INDEPENDENT),
    ],
)
def test_a_vote_that_does_not_count_is_named(second, code):
    """A forged, moved, doubled or dependent vote in a well-formed log is named, and not counted."""
    log = sample_log(votes=[vote("bob", 1), second])
    report = of_log(log)
    assert codes(report) == {code, Code.QUORUM_NOT_MET}
    assert at(report, code) == [log.streams[STREAM][2]]
    assert at(report, Code.QUORUM_NOT_MET) == [log.streams[STREAM][3]]


@pytest.mark.parametrize(
    "votes", [[], [vote("bob", 1)], [vote("bob", 1), vote("cleo", 2, verdict="deny")]]
)
def test_too_few_approvals_are_named(votes):
    """An activation that went on with fewer approvals than its request asks for is named."""
    assert codes(of_log(sample_log(votes=votes))) == {Code.QUORUM_NOT_MET}


def test_a_changed_request_voids_its_votes():
    """A request that was changed after the votes is found by digest, in every one of them."""
    wider = REQUEST | {"opens": ["orders-db:owner"]}
    report = of_log(sample_log(request=wider))
    assert codes(report) == {Code.VOTE_OTHER_REQUEST, Code.QUORUM_NOT_MET}
    assert len(at(report, Code.VOTE_OTHER_REQUEST)) == 2


@pytest.mark.parametrize(
    "request_changes, requested, code",
    [
        ({}, {"digest": "00" * 32}, Code.REQUEST_MISMATCH),
        ({}, {"request": "none"}, Code.REQUEST_MISMATCH),
        ({"persons": []}, {}, Code.REQUEST_MISMATCH),
        ({"persons": "ada"}, {}, Code.REQUEST_MISMATCH),
        ({"quorum": 2}, {}, Code.REQUEST_MISMATCH),
        ({"quorum": {"need": "2"}}, {}, Code.REQUEST_MISMATCH),
        ({"activation": "act000000002"}, {}, Code.REQUEST_MISMATCH),
        ({"quorum": {"need": 2, "extra": 1}}, {}, Code.QUORUM_NOT_MET),
        ({"quorum": {"need": 0}}, {}, None),
    ],
)
def test_a_request_that_does_not_hold_is_named(request_changes, requested, code):
    """A request that is not what its digest, persons, quorum or subject say is named."""
    request = REQUEST | request_changes
    changes = {
        "request_digest": digest_of(request),
        "activation": request["activation"],
    }
    votes = [vote("bob", 1, **changes), vote("cleo", 2, **changes)]
    found = codes(of_log(sample_log(votes=votes, request=request, requested=requested)))
    assert code in found if code else not found


def test_the_configuration_must_be_the_one_that_the_request_names():
    """The publication of another configuration does not stand for the request's."""
    request = REQUEST | {"configuration_digest": "0c" * 32}
    changes = {"request_digest": digest_of(request), "configuration_digest": "0c" * 32}
    votes = [vote("bob", 1, **changes), vote("cleo", 2, **changes)]
    assert codes(of_log(sample_log(votes=votes, request=request))) == {Code.RELATED_MISSING}


def test_who_confirmed_another_incident_may_vote():
    """Only who confirmed the request's own incident has no vote."""
    request = REQUEST | {"incident": "inc-8"}
    digest = digest_of(request)
    votes = [vote("bob", 1, request_digest=digest), vote("dora", 2, request_digest=digest)]
    assert codes(of_log(sample_log(votes=votes, request=request))) == {Code.RELATED_MISSING}


def test_a_signed_statement_has_one_form_only():
    """A vote over a statement with a space in it does not count, although it is well signed."""
    body = base64.b64decode(CLEO["statement"]).replace(b"{", b"{ ", 1)
    key = Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32)
    signature = key.sign(b"callpoint/approval/v1\n" + body)
    loose = CLEO | {
        "statement": base64.b64encode(body).decode(),
        "signature": base64.b64encode(signature).decode(),
    }
    report = of_log(sample_log(votes=[vote("bob", 1), loose]))
    assert codes(report) == {Code.VOTE_INVALID, Code.QUORUM_NOT_MET}


def test_a_quorum_of_nobody_does_not_exist():
    """Even a request that asks for no approval needs one."""
    request = REQUEST | {"quorum": {"need": 0}}
    assert codes(of_log(sample_log(votes=[], request=request))) == {Code.QUORUM_NOT_MET}


@pytest.mark.parametrize(
    "statement", [b"{}x", b"[]", b'{ "a":1}', b'{"a":1.5}', b"[" * 40_000, b"\xff", b"null"]
)
def test_a_signed_statement_that_is_none_is_invalid(statement):
    """A good signature over something that is no canonical statement makes no vote."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32)
    signature = key.sign(b"callpoint/approval/v1\n" + statement)
    data = CLEO | {
        "statement": base64.b64encode(statement).decode(),
        "signature": base64.b64encode(signature).decode(),
    }
    report = of_log(sample_log(votes=[vote("bob", 1), data]))
    assert codes(report) == {Code.VOTE_INVALID, Code.QUORUM_NOT_MET}


@pytest.mark.parametrize(
    "change, code",
    [
        (lambda text: text.replace("\n17\n", "\n18\n"), Code.BAD_SIGNATURE),
        (lambda _: sealed(LOG.leaves, Signer(SIGNER.name, bytes(32))).decode(), Code.WRONG_KEY),
        (lambda _: sealed(LOG.leaves, origin="other.example").decode(), Code.WRONG_ORIGIN),
        (lambda _: "", Code.MALFORMED_CHECKPOINT),
    ],
)
def test_a_checkpoint_that_cannot_be_believed_is_named(change: Callable[[str], str], code):
    """A bundle under a forged, foreign or damaged checkpoint is named as such."""
    bundle = LOG.bundle()
    assert "\n17\n" in bundle["checkpoint"]
    bundle["checkpoint"] = change(bundle["checkpoint"])
    assert code in codes(check(bundle))


def test_a_log_that_signs_a_wrong_length_is_named():
    """A closing event that states no number is named under a good signature."""
    index = OWN[-1]
    entry = parse_entry(LOG.leaves[index])
    fields = msgspec.structs.asdict(entry) | {"data": entry.data | {"stream_length": "nine"}}
    leaves = [*LOG.leaves[:index], canonical_json(fields), *LOG.leaves[index + 1 :]]
    log = SampleLog(leaves, LOG.heads, LOG.streams)
    assert codes(of_log(log)) == {Code.STREAM_LENGTH_WRONG}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        packed(LOG.bundle())[:-1] + b',"x":' + b"[" * 5000,
        packed(LOG.bundle() | {"format": "callpoint-bundle/v2"}),
        packed(LOG.bundle() | {"extra": 1}),
        packed(LOG.bundle() | {"entries": [{"index": -1}]}),
        packed(LOG.bundle())[:-1],
        b" " * (MAX_BUNDLE_SIZE + 1),
    ],
)
def test_bytes_that_are_no_bundle_are_named(data):
    """Bytes that are no bundle give one finding and no crash."""
    assert codes(verify_bundle(data, VKEY)) == {Code.MALFORMED_BUNDLE}


def test_a_bad_key_is_the_readers_mistake():
    """A verifier key that is none is an error, not a finding about the bundle."""
    with pytest.raises(MalformedNoteError):
        verify_bundle(packed(LOG.bundle()), "no key")


def test_the_sample_is_what_the_format_says():
    """The sample bundle has the documented members and names the sample's activation."""
    bundle = json.loads(packed(LOG.bundle()))
    assert set(bundle) == {
        "format",
        "installation",
        "activation",
        "checkpoint",
        "entries",
        "related",
    }
    assert f"activation:{ACTIVATION}" == STREAM
