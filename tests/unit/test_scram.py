"""The SCRAM verifier agrees with the RFC and refuses what could be normalised."""

import base64
import hashlib
import hmac

import pytest

from callpoint.adapters.targets.postgresql import scram

# RFC 7677, section 3: user "user", password "pencil", and the proofs of one exchange.
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
MESSAGE = (
    b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
)
CLIENT_PROOF = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
SERVER_SIGNATURE = base64.b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


def _parts(text):
    scheme, parameters, keys = text.split("$")
    assert scheme == "SCRAM-SHA-256"
    count, salt = parameters.split(":")
    stored, server = (base64.b64decode(key) for key in keys.split(":"))
    return int(count), base64.b64decode(salt), stored, server


def test_the_keys_accept_the_exchange_of_the_rfc():
    """Its StoredKey verifies the RFC's client proof, its ServerKey makes the RFC's signature."""
    count, salt, stored, server = _parts(scram.verifier("pencil", SALT))
    assert (count, salt) == (4096, SALT)
    assert hmac.digest(server, MESSAGE, "sha256") == SERVER_SIGNATURE
    signature = hmac.digest(stored, MESSAGE, "sha256")
    client_key = bytes(a ^ b for a, b in zip(CLIENT_PROOF, signature, strict=True))
    assert hashlib.sha256(client_key).digest() == stored


def test_another_password_or_salt_gives_another_verifier():
    """Nothing of the input is ignored."""
    assert len({scram.verifier(p, s) for p in "ab" for s in (b"0" * 16, b"1" * 16)}) == 4


@pytest.mark.parametrize("password", ["", "pässword", "tab\there", "new\nline"])
def test_passwords_that_could_be_normalised_are_refused(password):
    """Anything but printable ASCII could differ after SASLprep, so it is refused."""
    with pytest.raises(ValueError, match="printable ASCII"):
        scram.verifier(password, SALT)


@pytest.mark.parametrize("salt,iterations", [(b"short", 4096), (SALT, 4095), (SALT * 2, 4096)])
def test_weak_parameters_are_refused(salt, iterations):
    """A salt of another size or fewer rounds than the RFC's is refused."""
    with pytest.raises(ValueError, match="RFC 7677"):
        scram.verifier("pencil", salt, iterations)
