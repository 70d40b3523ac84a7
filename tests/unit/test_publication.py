"""Whose signatures carry a bundle: distinct governors in force, counted as persons."""

import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from callpoint.domain.errors import DeniedError
from callpoint.domain.event import SignatureRecord
from callpoint.domain.governance import Bundle
from callpoint.domain.publication import verify_signatures
from tests.fakes import orders


def is_valid(key: str, message: bytes, signature: str) -> bool:
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key))
        public.verify(base64.b64decode(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def public(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


KEYS = {name: Ed25519PrivateKey.generate() for name in ("dave", "erin", "frank", "mallory")}
GOVERNORS = {name: public(key) for name, key in KEYS.items() if name != "mallory"}
BUNDLE = Bundle(
    installation="a1b2c3",
    number=2,
    previous="0" * 64,
    configuration=orders.configuration(),
    policies={"a.cedar": "permit(principal, action, resource);"},
)
OTHER = Bundle(
    installation="a1b2c3",
    number=3,
    previous="0" * 64,
    configuration=orders.configuration(),
    policies={},
)


def signed(governor: str, *, by: str = "", bundle: Bundle = BUNDLE) -> SignatureRecord:
    key = KEYS[by or governor]
    signature = base64.b64encode(key.sign(bundle.message())).decode()
    return SignatureRecord(governor=governor, key=public(key), signature=signature)


def verify(*signatures: SignatureRecord, need: int = 2) -> tuple[str, ...]:
    return verify_signatures(BUNDLE, signatures, GOVERNORS, need, is_valid)


def refused(*signatures: SignatureRecord, need: int = 2) -> DeniedError:
    with pytest.raises(DeniedError) as told:
        verify(*signatures, need=need)
    return told.value


def test_two_governors_carry_it():
    """Two distinct governors are enough where two are needed; more do no harm."""
    assert verify(signed("erin"), signed("dave")) == ("dave", "erin")
    assert verify(signed("erin"), signed("dave"), signed("frank")) == ("dave", "erin", "frank")


def test_one_governor_does_not_widen():
    """The refusal says how many are missing and who may still sign."""
    error = refused(signed("dave"))
    assert "1 of 2 needed governors signed" in error.message
    assert "get 1 more from: erin, frank" in error.way_out


def test_one_person_counts_once():
    """The same governor twice is one governor."""
    assert "1 of 2" in refused(signed("dave"), signed("dave")).message


def test_one_key_under_two_names_counts_once():
    """Should a key stand under two names, its holder is still one person."""
    governors = {**GOVERNORS, "davy": GOVERNORS["dave"]}
    twice = (signed("dave"), signed("davy", by="dave"))
    with pytest.raises(DeniedError) as told:
        verify_signatures(BUNDLE, twice, governors, 2, is_valid)
    assert told.value.reasons == ("davy has the key of a governor who signed already",)
    assert "from: erin, frank" in told.value.way_out


@pytest.mark.parametrize(
    "record,reason",
    [
        (signed("mallory"), "'mallory' is not a governor in force"),
        (signed("dave", by="mallory"), "is not this governor's key in force"),
        (signed("dave", bundle=OTHER), "does not fit this change"),
        (SignatureRecord(governor="dave", key=GOVERNORS["dave"], signature="AAAA"), "does not fit"),
        (SignatureRecord(governor="dave", key=GOVERNORS["dave"], signature="é"), "does not fit"),
    ],
)
def test_what_does_not_count(record: SignatureRecord, reason: str):
    """A stranger, another key, another bundle or a broken signature is told and not counted."""
    error = refused(record, signed("erin"))
    assert "1 of 2" in error.message
    assert reason in error.reasons[0]
    assert "dave, frank" in error.way_out


def test_a_bad_signature_beside_enough_good_ones_does_no_harm():
    """Nobody can block a bundle by adding a signature that does not count."""
    assert verify(signed("mallory"), signed("dave"), signed("erin")) == ("dave", "erin")


def test_a_quorum_that_cannot_be_met_is_told():
    """When too few governors exist, nobody is sent to collect signatures in vain."""
    assert "cannot be met" in refused(need=4).way_out


def test_nothing_is_published_without_a_signature():
    """Even a need of zero asks for one governor."""
    assert "0 of 1" in refused(need=0).message
