"""Texts that hurt the parser are refused before it sees them, quickly."""

import time

import pytest

from callpoint.domain.errors import CallpointError, DeniedError
from callpoint.gateways.postgres.sql import limits
from callpoint.gateways.postgres.sql.classify import Classifier
from callpoint.gateways.postgres.sql.session import Session
from tests.fakes.sql_catalogue import catalogue, classifier

HURTS = {
    "chain of operators": "SELECT 1" + "+1" * 30_000,
    "chain of casts": "SELECT 1" + "::int" * 12_000,
    "chain of joins": "SELECT 1 FROM a" + " JOIN a ON true" * 4_000,
    "chain of unions": "SELECT 1" + " UNION SELECT 1" * 4_000,
    "chain of calls": "SELECT f(1, 2)" + "+f(1, 2)" * 8_000,
    "nested brackets": "SELECT " + "(" * 30_000 + "1" + ")" * 30_000,
    "nested queries": "SELECT " + "(SELECT " * 5_000 + "1" + ")" * 5_000,
    "nested arrays": "SELECT " + "ARRAY[" * 9_000 + "1" + "]" * 9_000,
    "nested with commas": "SELECT " + "f(1, " * 12_000 + "1" + ")" * 12_000,
    "negations": "SELECT " + "NOT " * 16_000 + "true",
    "nested comments": "/*" * 16_000 + "*/" * 16_000 + "SELECT 1",
    "open comments": "SELECT " + "/*" * 30_000,
    "operator characters": "SELECT 1 " + "+" * 60_000,
    "just under a run": ("+" * 128 + " ") * 500,
    "brackets that close nothing": "SELECT 1 " + ")" * 60_000,
    "statements": "SELECT 1;" * 7_000,
    "too long": "SELECT '" + "x" * 70_000 + "'",
    "NUL": "SELECT 1\0; DROP TABLE items",
    "lone surrogate": "SELECT '\ud800'",
    "deep but short": "SELECT " + "NOT " * 120 + "true",
}


@pytest.mark.parametrize("name", HURTS)
def test_what_hurts_the_parser_is_refused_quickly(name: str) -> None:
    """No text crashes the process, and none takes half a second."""
    began = time.perf_counter()
    with pytest.raises(CallpointError):
        classifier().classify(HURTS[name], Session())
    assert time.perf_counter() - began < 1.5  # on a busy machine; alone 0.1 s


def test_large_but_flat_statements_pass() -> None:
    """Rows and lists of values are large, and are read; many times nothing is nothing."""
    one = classifier()
    assert len(one.classify(";" * 60_000, Session()).statements) == 0
    rows = ",".join(["(1, 'some words')"] * 3_000)
    assert len(one.classify(f"INSERT INTO items VALUES {rows}", Session()).statements) == 1
    numbers = ",".join(["5"] * 10_000)
    assert (
        len(one.classify(f"SELECT 1 FROM items WHERE id IN ({numbers})", Session()).statements) == 1
    )
    many = " OR ".join(f"id = {number}" for number in range(400))
    assert len(one.classify(f"SELECT 1 FROM items WHERE {many}", Session()).statements) == 1


def test_characters_beyond_ascii_need_a_server_in_utf8() -> None:
    """Another encoding folds and cuts names by its own rules."""
    assert len(classifier().classify("SELECT 'é'", Session()).statements) == 1
    other = Classifier(catalogue(encoding="LATIN1"))
    assert len(other.classify("SELECT 'e'", Session()).statements) == 1
    with pytest.raises(DeniedError):
        other.classify("SELECT 'é'", Session())


def test_a_long_text_with_an_unclosed_quote_is_refused() -> None:
    """What the scanner cannot read is refused before parsing."""
    with pytest.raises(DeniedError):
        limits.check("SELECT '" + "x" * 600, utf8=True)
