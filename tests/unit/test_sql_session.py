"""Names of a session: prepared statements, cursors, and what a change of the catalogue does."""

import time

import pytest

from callpoint.domain.errors import DeniedError
from callpoint.gateways.postgres.sql.access import Binding, BindingKind
from callpoint.gateways.postgres.sql.session import MAX_BYTES, MAX_NAMES, Session
from tests.fakes.sql_catalogue import asked, classifier


def after(*texts: str) -> Session:
    """A session to which these were sent."""
    one, session = classifier(), Session()
    for text in texts:
        session = session.after(one.classify(text, session))
    return session


def test_execute_asks_for_what_was_prepared() -> None:
    """EXECUTE needs the accesses of the statement behind the name, and of its own arguments."""
    session = after("PREPARE p AS DELETE FROM stock")
    expected = {"sql:delete public.stock", "sql:select public.stock"}
    assert asked("EXECUTE p", session=session) == expected
    assert asked("EXPLAIN EXECUTE p", session=session) == expected | {"sql:explain orders"}
    made = asked("CREATE TABLE t AS EXECUTE p", session=session)
    assert made == expected | {"ddl:create-table public.t"}
    assert "sql:execute public.bad" in asked("EXECUTE p(bad())", session=session)


def test_a_name_keeps_every_text_that_it_was_given() -> None:
    """Prepared, dropped and prepared again: which of them the server has is not guessed."""
    session = after(
        "PREPARE p AS TABLE items", "DEALLOCATE p", "PREPARE p AS DELETE FROM stock", "DEALLOCATE p"
    )
    assert {"sql:select public.items", "sql:delete public.stock"} <= asked(
        "EXECUTE p", session=session
    )


def test_prepare_and_execute_in_one_text() -> None:
    """A name counts from its statement on, also within a text, and as the server folds it."""
    text = "PREPARE P AS SELECT 'é'; PREPARE p AS DELETE FROM stock; EXECUTE p"
    assert "sql:delete public.stock" in asked(text)
    with pytest.raises(DeniedError):
        asked("EXECUTE p; PREPARE p AS SELECT 1")
    with pytest.raises(DeniedError):
        asked('PREPARE p AS SELECT 1; EXECUTE "P"')


def test_fetch_asks_for_the_query_of_its_cursor() -> None:
    """FETCH and MOVE run what DECLARE named; a prepared statement is no cursor."""
    session = after("DECLARE c CURSOR FOR TABLE hr.people")
    assert asked("FETCH ALL c", session=session) == {"sql:select hr.people"}
    assert asked("MOVE c", session=session) == {"sql:select hr.people"}
    with pytest.raises(DeniedError):
        asked("EXECUTE c", session=session)


def test_a_protocol_statement_can_be_run_by_name() -> None:
    """What Parse named is in the namespace of EXECUTE, also DDL, until the server closed it."""
    prepared = BindingKind.PREPARED
    session = Session().bound(Binding(prepared, "s", "DROP TABLE stock"))
    found = classifier().classify("EXECUTE s", session)
    assert [str(one) for one in found.accesses] == ["ddl:drop-table public.stock"]
    assert found.alters_catalogue
    with pytest.raises(DeniedError, match="after a change"):
        classifier().classify("EXECUTE s; TABLE items", session)
    with pytest.raises(DeniedError):
        classifier().classify("EXECUTE s", session.closed(prepared, "s"))


def test_a_name_that_the_protocol_uses_stands_for_all_its_texts() -> None:
    """Bind may name what PREPARE made, and Execute what DECLARE did."""
    session = after("PREPARE p AS TABLE items", "BEGIN", "DECLARE c CURSOR FOR TABLE hr.people")
    one, prepared = classifier(), BindingKind.PREPARED
    found = one.behind(prepared, "p", session)
    assert [str(access) for access in found.accesses] == ["sql:select public.items"]
    found = one.behind(BindingKind.CURSOR, "c", session)
    assert [str(access) for access in found.accesses] == ["sql:select hr.people"]
    session = session.bound(Binding(prepared, "p", "DROP TABLE stock"))
    found = one.behind(prepared, "p", session)
    assert [str(access) for access in found.accesses] == [
        "ddl:drop-table public.stock", "sql:select public.items",
    ]  # fmt: skip
    assert found.alters_catalogue
    with pytest.raises(DeniedError):
        one.behind(prepared, "c", session)


def test_names_that_run_each_other_end() -> None:
    """A circle of names is refused, not followed."""
    session = Session()
    for name, other in (("a", "b"), ("b", "a")):
        session = session.bound(Binding(BindingKind.PREPARED, name, f"EXECUTE {other}"))
    with pytest.raises(DeniedError, match="too deep"):
        asked("EXECUTE a", session=session)


def test_what_stands_behind_names_is_read_only_so_often() -> None:
    """Names that run each other in many ways cost no more than a bounded amount of reading."""
    session = Session()
    for name, other in (("a", "b"), ("b", "c"), ("c", "d")):
        for number in range(60):
            text = f"EXECUTE {other} /* {number} */"
            session = session.bound(Binding(BindingKind.PREPARED, name, text))
    session = session.bound(Binding(BindingKind.PREPARED, "d", "TABLE items"))
    began = time.perf_counter()
    with pytest.raises(DeniedError, match="too many stand behind"):
        asked("EXECUTE a", session=session)
    assert time.perf_counter() - began < 2  # on a busy machine; alone 0.05 s


def test_a_closed_name_makes_room_again() -> None:
    """Clients that close what they prepared can go on for ever; the same text is held once."""
    session = Session()
    one = Binding(BindingKind.PREPARED, "p", "SELECT 1")
    session = session.bound(one).bound(one)
    assert session.size == len("SELECT 1")
    assert session.closed(BindingKind.PREPARED, "p") == Session()
    for number in range(MAX_NAMES):
        session = session.bound(Binding(BindingKind.PREPARED, f"p{number % 10}", "SELECT 1"))
    for number in range(MAX_NAMES - 11):
        session = session.bound(Binding(BindingKind.PREPARED, f"q{number}", "SELECT 1"))
    with pytest.raises(DeniedError):
        session.bound(Binding(BindingKind.PREPARED, "last", "SELECT 1"))
    session = session.closed(BindingKind.PREPARED, "q1")
    assert session.bound(Binding(BindingKind.PREPARED, "last", "SELECT 1")).size == session.size + 8


def test_what_depends_on_the_session_is_not_remembered() -> None:
    """The same EXECUTE is another statement once the name has another text."""
    one = classifier()
    first = after("PREPARE p AS TABLE items")
    found = one.classify("EXECUTE p", first)
    assert found.of_the_session
    second = after("PREPARE p AS DELETE FROM stock")
    assert one.classify("EXECUTE p", second) != found


def test_the_end_of_a_transaction_with_ddl_changes_the_catalogue_again() -> None:
    """ROLLBACK brings back what DDL took: the facts are read anew before the next statement."""
    session = after("BEGIN", "DROP TABLE stock")
    assert session.ddl_open
    for ending in ("ROLLBACK", "COMMIT", "ROLLBACK TO a", "END"):
        assert classifier().classify(ending, session).alters_catalogue
        with pytest.raises(DeniedError):
            classifier().classify(f"{ending}; TABLE stock", session)
    assert not classifier().classify("ROLLBACK", session.idle()).alters_catalogue
    one = classifier()
    assert not one.classify("ROLLBACK", Session()).alters_catalogue
    assert one.classify("ROLLBACK", session).alters_catalogue, "an answer from before was kept"


def test_a_session_holds_a_bounded_amount_of_text() -> None:
    """A client cannot fill the gateway's memory with names."""
    session = Session()
    big = "SELECT '" + "x" * 60_000 + "'"
    for number in range(MAX_BYTES // 60_100):
        session = session.bound(Binding(BindingKind.PREPARED, f"p{number}", big))
    with pytest.raises(DeniedError, match="open a new session"):
        session.bound(Binding(BindingKind.PREPARED, "last", big))
