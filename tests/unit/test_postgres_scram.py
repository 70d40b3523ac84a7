"""SCRAM-SHA-256 of the gateway: the RFC's example, both sides against each other, and liars."""

import pytest

from callpoint.domain import scram as verifiers
from callpoint.domain.errors import AuthenticationError, RequestError
from callpoint.gateways.postgres.scram import BOUND, PLAIN, ClientSide, ServerSide
from callpoint.ports.authority import Greeting

SALT = b"salt-of-sixteen!"


def greeting(secret: str = "the-secret") -> Greeting:
    made = verifiers.verifier(secret, SALT)
    return Greeting(made.salt, made.iterations, made.stored_key, made.server_key)


def exchange(client: ClientSide, server: ServerSide) -> None:
    client.check(server.final(client.final(server.first(client.first()))))


@pytest.mark.parametrize(
    "flag, mechanism, bound_to",
    [("n", PLAIN, b""), ("n", PLAIN, b"ours"), ("y", PLAIN, b""), ("p", BOUND, b"ours")],
)
def test_both_sides_agree(flag, mechanism, bound_to):
    """Who knows the secret gets in, with TLS and without, bound and not."""
    exchange(
        ClientSide("the-secret", "abc", flag, bound_to),
        ServerSide(greeting(), "def", mechanism, bound_to),
    )


@pytest.mark.parametrize(
    "secret, flag, mechanism, theirs, ours",
    [
        ("another", "n", PLAIN, b"", b""),
        ("the-secret", "y", PLAIN, b"", b"ours"),
        ("the-secret", "p", BOUND, b"another", b"ours"),
    ],
)
def test_the_server_refuses(secret, flag, mechanism, theirs, ours):
    """A wrong secret, an offer that was taken away, and another TLS connection."""
    with pytest.raises(AuthenticationError):
        exchange(
            ClientSide(secret, "abc", flag, theirs), ServerSide(greeting(), "def", mechanism, ours)
        )


def test_the_client_finds_out_who_is_not_the_server():
    """Who does not know the verifier, answers somebody else, or asks for too much, is found."""
    client = ClientSide("the-secret", "abc", "n")
    server = ServerSide(greeting("another"), "def", PLAIN, b"")
    final = client.final(server.first(client.first()))
    with pytest.raises(AuthenticationError):
        client.check(b"v=" + b"A" * 43 + b"=")
    with pytest.raises(AuthenticationError):
        server.final(final)
    for first in (b"r=xyz,s=c2FsdA==,i=4096", b"r=abc,s=c2FsdA==,i=4096", b"r=abcd,s=c2FsdA==,i=1",
                  b"r=abcd,s=c2FsdA==,i=9999999", b"e=other-error", b"\xff"):  # fmt: skip
        with pytest.raises((AuthenticationError, RequestError)):
            ClientSide("the-secret", "abc", "n").final(first)
    with pytest.raises(AuthenticationError):
        ClientSide("the-secret", "abc", "n").check(b"v=")


@pytest.mark.parametrize(
    "first", [b"", b"n,,n=,r=", b"n,,r=abc", b"x,,n=,r=abc", b"p=tls-unique,,n=,r=abc", b"\xff"]
)
def test_what_is_no_scram_is_refused(first):
    """A first message that is none, or of a binding that is not spoken."""
    with pytest.raises(RequestError):
        ServerSide(greeting(), "def", PLAIN, b"").first(first)


def test_the_example_of_rfc_7677():
    """The client's proof and the server's signature are those of the RFC's section 3."""
    salt = b"[m\x99h\x9d\x125\x8e\xec\xa0K\x14\x126\xfa\x81"
    made = verifiers.verifier("pencil", salt)
    server = ServerSide(
        Greeting(salt, 4096, made.stored_key, made.server_key),
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        PLAIN,
        b"",
    )
    answer = server.first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    assert answer == (
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    final = (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert server.final(final) == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
