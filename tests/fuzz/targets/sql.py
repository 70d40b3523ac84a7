"""Texts of SQL, whole and broken, through the classification.

What must hold, whatever is sent:

* it is classified or refused with a reason, and within seconds: nothing else is raised, and the
  parser in C neither dies nor hangs;
* what is asked for does not depend on spaces and comments around it, on a statement before it, or
  on what was asked before;
* what may be recorded holds no value.

A case is the text.
"""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from postgast import pg_query_pb2 as pb

from callpoint.domain.errors import DeniedError, RequestError
from callpoint.gateways.postgres.sql import limits
from callpoint.gateways.postgres.sql.access import Classified
from callpoint.gateways.postgres.sql.classify import Classifier
from callpoint.gateways.postgres.sql.redact import redact
from callpoint.gateways.postgres.sql.session import Session
from tests.fakes.sql_catalogue import catalogue
from tests.fuzz.target import Check, FoundError
from tests.sql_hostile import HARMLESS, HOSTILE

SLOWEST = 5.0
"""Seconds for one text on a busy machine; half a second is what docs/gateways/postgres.md says."""

_VALUES = (pb.SCONST, pb.USCONST, pb.BCONST, pb.XCONST)

_WORDS = (
    "SELECT ", " FROM ", " WHERE ", "WITH a AS (", "INSERT INTO ", "UPDATE ", "DELETE FROM ",
    "items", "public.", "hr.people", "COPY ", " TO STDOUT", "PREPARE p AS ", "EXECUTE p",
    "EXPLAIN ANALYZE ",
    "CREATE TABLE t ", "CREATE VIEW w AS ", "ALTER TABLE ", "DROP TABLE ", "MERGE INTO ", "BEGIN;",
    "SET ", "search_path", "ROLE ", "bad()", ".bad", "::dom", "::int", "(", ")", "[", "]", ",", ";",
    "'", '"', "$$", "$a$", "E'\\'", "U&'", "--", "/*", "*/", "\n", "\r", "\v", "\u00a0", "\ufeff",
    " IN ", " BETWEEN ", " AND ", " OR ", " NOT ", " CASE ", " JOIN ", " USING (id)", " UNION ",
    "+", "->", "===", "1", "1e", "0x1F", "$1", "NULL", "JSON_TABLE(", "XMLTABLE(", " COLLATE ",
)  # fmt: skip


@dataclass
class _Site:
    """One classifier, which remembers, as in a long session."""

    one: Classifier

    def judge(self, case: bytes) -> str:
        """Send one text and judge what it is taken for."""
        try:
            text = case.decode()
        except UnicodeDecodeError:
            return "no text"
        began = time.monotonic()
        word, found = _classified(self.one, text)
        words = redact(text)
        _must(time.monotonic() - began < SLOWEST, "takes too long")
        _has_no_values(words)
        if found is None:
            return word
        self._is_the_same(text, found)
        for statement in found.statements:
            _has_no_values(statement.redacted)
            _must(set(statement.accesses) <= set(found.accesses), "an access is lost")
        kinds = sorted({statement.kind.value for statement in found.statements})
        return f"{min(len(found.statements), 2)} {kinds}"

    def _is_the_same(self, text: str, found: Classified) -> None:
        again = Classifier(self.one.catalogue)
        for other in (text, f" /* ; */\n{text}\n-- ", f"SELECT 1;\n{text}"):
            _, then = _classified(again, other)
            # A comment more, or a statement, may be one too many.
            _must(then is None or then.accesses == found.accesses, f"not the same as {other!r}")


def _classified(one: Classifier, text: str) -> tuple[str, Classified | None]:
    try:
        return "", one.classify(text, Session())
    except DeniedError as error:
        _must(bool(error.way_out), "no way out")
        return "refused", None
    except RequestError:
        return "no SQL", None


def _has_no_values(words: str) -> None:
    try:
        kinds = [kind for _, _, kind in limits.scanned(words)]
    except DeniedError:
        return  # it was cut within a name
    _must(not set(kinds) & set(_VALUES), f"a value in {words!r}")


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise FoundError(what)


@dataclass
class SqlTarget:
    """Implements ``tests.fuzz.target.Target``."""

    session: int = 2000

    @property
    def words(self) -> tuple[bytes, ...]:
        return tuple(word.encode() for word in _WORDS)

    def make(self, chance: random.Random) -> bytes:
        if chance.random() < 0.5:
            text = chance.choice((*HOSTILE, *HARMLESS))
        else:
            text = "".join(chance.choices(_WORDS, k=chance.randrange(1, 24)))
        if chance.random() < 0.1:
            text *= chance.choice((2, 40, 1000))
        return text.encode("utf-8", "surrogatepass")[: 2 * limits.MAX_BYTES]

    @contextmanager
    def open(self) -> Iterator[Check]:
        yield _Site(Classifier(catalogue())).judge


TARGET = SqlTarget()
