"""What whoever forwards a text learns of each statement, and what may be recorded of it."""

import pytest

from callpoint.gateways.postgres.sql.access import Access, StatementKind, Verb
from callpoint.gateways.postgres.sql.redact import LONGEST, redact
from callpoint.gateways.postgres.sql.session import Session
from tests.fakes.sql_catalogue import classifier

KINDS = {
    "TABLE items": "read",
    "SELECT bad()": "read",
    "EXPLAIN TABLE items": "read",
    "WITH a AS (DELETE FROM items RETURNING 1) TABLE a": "write",
    "TRUNCATE items": "write",
    "CREATE TABLE t ()": "define",
    "SELECT 1 INTO t": "define",
    "COPY items FROM STDIN": "copy-in",
    "COPY items TO STDOUT": "copy-out",
    "COPY (DELETE FROM items RETURNING 1) TO STDOUT": "copy-out",
    "BEGIN": "transaction",
    "SET TRANSACTION READ ONLY": "transaction",
    "SET CONSTRAINTS ALL DEFERRED": "transaction",
    "SET statement_timeout = 5": "set",
    "RESET statement_timeout": "set",
    "SHOW search_path": "session",
    "LISTEN a": "session",
    "DEALLOCATE a": "session",
}


@pytest.mark.parametrize("text,kind", KINDS.items(), ids=list(KINDS))
def test_each_statement_is_of_a_kind(text: str, kind: str) -> None:
    """The kind says what the wire has to expect."""
    (statement,) = classifier().classify(text, Session()).statements
    assert statement.kind == StatementKind(kind)


def test_statements_of_one_text_are_told_apart() -> None:
    """Each statement has its own accesses and words, also behind characters of several bytes."""
    text = "SELECT 'é'; DELETE FROM items WHERE n = 5 -- secret\n; /* é */ COPY items FROM STDIN;"
    found = classifier().classify(text, Session())
    assert [one.redacted for one in found.statements] == [
        "SELECT ?", "DELETE FROM items WHERE n = ?", "COPY items FROM STDIN",
    ]  # fmt: skip
    assert [[str(access) for access in one.accesses] for one in found.statements] == [
        [],
        ["sql:delete public.items", "sql:select public.items"],
        ["sql:copy-in public.items", "sql:insert public.items"],
    ]
    assert set(found.accesses) == {a for one in found.statements for a in one.accesses}


REDACTED = {
    "SELECT 'a', $1, 5, 5.5, b'1', x'f', U&'x', E'y', $$z$$, $q$z$q$":
        "SELECT ?, $1, ?, ?, ?, ?, ?, ?, ?, ?",
    "SELECT 'it''s'\n'c'": "SELECT ?",
    "SELECT /* it */ 1 -- was\n+ -2": "SELECT ? + -?",
    'SELECT "Odd.name".x, a.b[1]': 'SELECT "Odd.name".x, a.b[?]',
    "SET app.tenant = geheim, geheim": "SET app.tenant = ?",
    "BEGIN; SET a.b = geheim; SET a.c TO geheim; END": "BEGIN; SET a.b = ? ; SET a.c TO ? ; END",
    "SET LOCAL app.tenant TO geheim": "SET LOCAL app.tenant TO ?",
    "ALTER ROLE me PASSWORD 'geheim'": "ALTER ROLE me PASSWORD ?",
    "DO $$ geheim $$": "DO ?",
    "geheim geheim": "",
    "SELECT 'geheim": "",
    "SELECT 'a\0b'": "",
    "SELECT '\ud800'": "",
    "": "",
}  # fmt: skip


@pytest.mark.parametrize("text,expected", REDACTED.items(), ids=[repr(one) for one in REDACTED])
def test_values_and_comments_are_left_out_of_the_record(text: str, expected: str) -> None:
    """Words stay, values are question marks; a text that is no SQL leaves nothing."""
    assert redact(text) == expected


def test_the_record_of_a_statement_is_bounded() -> None:
    """Thousands of values are cut."""
    text = "SELECT 1 FROM items WHERE id IN (" + ",".join(["5"] * 9_000) + ")"
    assert LONGEST < len(redact(text)) <= LONGEST + 2


def test_an_access_names_its_object_as_a_policy_does() -> None:
    """The target, a slash, schema and name, quoted where SQL quotes."""
    assert Access(Verb.SELECT, "public", "items").resource("orders-db") == "orders-db/public.items"
    odd = Access(Verb.SELECT, "public", 'a"/b').resource("orders-db")
    assert odd == 'orders-db/public."a""/b"'


def test_destructive_actions_are_those_that_lose_rows_or_definitions() -> None:
    """Budgets count DELETE, TRUNCATE, DROP and ALTER TABLE apart."""
    lossy = {verb for verb in Verb if Access(verb, "", "x").destructive}
    assert {verb.value for verb in lossy} == {
        "sql:delete", "sql:truncate", "ddl:alter-table", "ddl:drop-table", "ddl:drop-view",
        "ddl:drop-index", "ddl:drop-sequence",
    }  # fmt: skip
