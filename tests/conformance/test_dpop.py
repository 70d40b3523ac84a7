"""RFC 9449's own examples: every proof verifies, and only at its time, place and token."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from callpoint.adapters.tokens.jose import JoseProofs
from callpoint.domain.dpop import Expected, check_proof
from callpoint.domain.token import OAuthError
from tests.conformance.vectors import vectors_or_skip


def test_the_examples_of_the_rfc():
    """Signature, thumbprint, address, time and access token of each proof are read as stated."""
    told = json.loads((vectors_or_skip("dpop") / "vectors.json").read_text())
    proofs = [v for v in told["vectors"] if v["header"].get("typ") == "dpop+jwt"]
    assert len(proofs) == 3
    for vector in proofs:
        claims = vector["payload"]
        proof = JoseProofs().read(vector["jwt"])
        assert proof.jkt == vector["jkt"]
        token = told["access_token"] if "ath" in claims else None
        expected = Expected(claims["htm"], (claims["htu"],), token)
        at = datetime.fromtimestamp(claims["iat"], UTC)
        check_proof(proof, expected, at + timedelta(seconds=30))
        with pytest.raises(OAuthError, match="within 60 s"):
            check_proof(proof, expected, at + timedelta(seconds=61))
        with pytest.raises(OAuthError, match="access token"):
            check_proof(proof, Expected(claims["htm"], (claims["htu"],), "another"), at)


def test_an_access_token_is_no_proof():
    """The RFC's access token, a good JWT of another type, is refused where a proof is expected."""
    told = json.loads((vectors_or_skip("dpop") / "vectors.json").read_text())
    (token,) = [v["jwt"] for v in told["vectors"] if "typ" not in v["header"]]
    with pytest.raises(OAuthError):
        JoseProofs().read(token)
