"""What broker and host say to each other: exact, bounded, and strict on both sides."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpoint.host import wire
from callpoint.host.wire import WireError

INSTALLATION, ACCOUNTS = "abc123", ("deploy",)


def read(raw: bytes) -> dict[str, object]:
    return wire.read_request(raw, INSTALLATION, ACCOUNTS)


def test_each_verb_goes_through():
    """What ``request`` writes, ``read_request`` takes, with exactly the verb's fields."""
    values = {
        "handle": "abc123x1",
        "account": "deploy",
        "serial": wire.serial_of("abc123x1"),
        "not_after": 1_900_000_000,
        "certificate": "ssh-ed25519-cert-v01@openssh.com " + "A" * 400,
    }
    for verb, fields in wire.FIELDS.items():
        given_fields = {name: values[name] for name in fields}
        asked = read(wire.request(verb, INSTALLATION, **given_fields))
        assert asked == {"version": 1, "installation": INSTALLATION, "verb": verb, **given_fields}


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(raw: bytes):
    """Whatever comes, it is a request or a refusal in the protocol's words."""
    assert outcome(raw) in {"request", "version", "foreign", "account", "ok"}


def outcome(raw: bytes) -> str:
    try:
        read(raw)
    except WireError as error:
        return error.code
    return "ok"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.sampled_from(sorted(wire.FIELDS)), st.data())
def test_no_value_of_another_form_gets_in(verb: str, data: st.DataObject):
    """A handle is this installation's, an account the owner's, or it is refused."""
    fields = {name: data.draw(json_values) for name in wire.FIELDS[verb]}
    raw = json.dumps({"version": 1, "installation": INSTALLATION, "verb": verb, **fields}).encode()
    try:
        asked = read(raw)
    except WireError:
        return
    if "handle" in fields:
        assert wire.is_own(str(asked["handle"]), INSTALLATION)
    if "account" in fields:
        assert asked["account"] in ACCOUNTS


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"bash: id: command not found\n",
        b"[]",
        b'{"version":1}',
        b'{"version":2,"ok":true}',
        b'{"version":1,"ok":"true"}',
        b"{" * 100_000,
    ],
)
def test_what_is_no_answer_is_garbled(raw: bytes):
    """An answer in another form is neither done nor refused."""
    with pytest.raises(WireError) as error:
        wire.read_answer(raw)
    assert error.value.code == "garbled"


def test_a_refusal_is_told_by_its_code():
    """The host's own code and words come through, cut."""
    with pytest.raises(WireError) as error:
        wire.read_answer(wire.refusal("lifetime", "x" * 1000))
    assert error.value.code == "lifetime"
    assert len(error.value.message) == 300
    assert wire.read_answer(wire.answer(1.5, left=0)) == {
        "version": 1,
        "ok": True,
        "clock": 1.5,
        "left": 0,
    }


def test_serials_are_positive_and_apart():
    """Derived from the handle alone, 63 bits, never the 0 that a list could not name."""
    serials = {wire.serial_of(f"abc123{n}") for n in range(1000)}
    assert len(serials) == 1000
    assert all(0 < serial < 1 << 63 for serial in serials)


@pytest.mark.parametrize(
    "handle", ["abc123", "abc123" + "x" * 19, "abc123X", "abc123-1", "xyz999a", "abc123\n1", ""]
)
def test_other_handles_are_not_own(handle: str):
    """Of the installation and 1 to 18 of a-z0-9 after it, or nothing."""
    assert not wire.is_own(handle, INSTALLATION)
