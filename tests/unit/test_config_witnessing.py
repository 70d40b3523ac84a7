"""``[witnessing]``: what a file may say, and what no set of witnesses could ever meet."""

import tomllib

import msgspec
import pytest

from callpoint.audit.cosignature import Cosigner, WitnessKey
from callpoint.audit.note import Signer
from callpoint.config.document import Document
from callpoint.config.positions import Lines
from callpoint.config.reader import read_configuration
from callpoint.config.soundness import as_document, verify_sound
from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import ConfigErrors
from tests.fakes import orders

NORTH = Cosigner("north.example/w", b"n" * 32)
LOG = Signer("callpoint/theirs", b"t" * 32).verifier.format()
SAID = f"""
[witnessing]
quorum = 1
within = "15m"
[witnessing.witnesses.north]
url = "https://north.example/witness"
key = "{NORTH.public.format()}"
[witnessing.logs.theirs]
origin = "callpoint/theirs/2"
keys = ["{LOG}"]
"""


def read(text: str) -> Configuration:
    """The usual configuration, and this beside it."""
    data = {**as_document(orders.configuration()), **tomllib.loads(text)}
    return read_configuration([Document("callpoint.toml", data, Lines(), without_lines=True)])


def problems(text: str) -> str:
    """What is wrong."""
    with pytest.raises(ConfigErrors) as error:
        read(text)
    return str(error.value)


def test_a_whole_table_is_read_and_is_sound():
    """What a file says arrives, and survives being checked as a bundle."""
    found = read(SAID)
    assert found.watched.quorum == 1
    assert found.watched.witnesses["north"].key_name == "north.example/w"
    assert found.watched.logs["theirs"].keys == (LOG,)
    verify_sound(found)
    sparse = read(SAID.partition("[witnessing.logs")[0].replace("quorum = 1\n", ""))
    assert (sparse.watched.quorum, sparse.watched.logs) == (0, {})
    verify_sound(sparse)


def test_without_witnesses_the_digest_is_as_before():
    """A bundle of before, which has no such member, keeps the bytes that its governors signed."""
    assert "witnessing" not in msgspec.to_builtins(orders.configuration())
    assert read("").watched.quorum == 0


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("quorum = 1", "quorum = 2", "2 witnesses must have cosigned, and there is 1"),
        (NORTH.public.format(), LOG, "is not a witness's key"),
        (LOG, NORTH.public.format(), "is not a log's verifier key"),
        ("https://north.example/witness", "https://north.example/", "has another form"),
        ("https://north.example/witness", "ftp://north.example", "has another form"),
        ("callpoint/theirs/2", "their log", "has another form"),
        (f'["{LOG}"]', "[]", "is empty"),
        ("within", "withn", "unknown key"),
    ],
)
def test_what_cannot_be_is_told(old: str, new: str, words: str):
    """Each mistake is named with its place."""
    assert words in problems(SAID.replace(old, new))


def test_a_key_counts_once():
    """One witness under two names would make up a quorum of two by itself."""
    again = Cosigner("other.example/w", b"n" * 32).public.format()
    twice = SAID + f'[witnessing.witnesses.south]\nurl = "https://s.example"\nkey = "{again}"\n'
    assert "of 'north' too" in problems(twice)


def test_a_weak_key_is_refused():
    """With a point of small order as its key, anybody could cosign."""
    identity = WitnessKey("north.example/w", bytes([1]) + bytes(31)).format()
    assert "no key that binds" in problems(SAID.replace(NORTH.public.format(), identity))
