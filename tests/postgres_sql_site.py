"""An actor's session on a real server, held as the gateway holds it, and how everything looks.

``Gate`` does with a text what docs/gateways/postgres.md asks of whoever uses the classification.
The session is a superuser's: what is refused is refused here, and never by the server's grants.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus

from callpoint.domain.errors import CallpointError, TargetError
from callpoint.gateways.postgres.sql.access import Access
from callpoint.gateways.postgres.sql.catalogue_query import CATALOGUE_QUERY, catalogue_of
from callpoint.gateways.postgres.sql.classify import Classifier
from callpoint.gateways.postgres.sql.facts import Catalogue, Pins
from callpoint.gateways.postgres.sql.session import Session
from tests.servers import FreshDatabase

Connection = psycopg.Connection[Any]
Policy = Callable[[Access], bool]


def read_catalogue(session: Connection) -> Catalogue:
    """The facts as this session sees them."""
    return catalogue_of(session.execute(CATALOGUE_QUERY).fetchall())


def classifier_of(session: Connection, *path: str) -> Classifier:
    """Over what this session sees now."""
    return Classifier(read_catalogue(session), Pins(path or ("public",)))


@contextmanager
def pinned(database: FreshDatabase, *path: str) -> Iterator[Connection]:
    """A superuser's session with the pinned path, in autocommit."""
    with psycopg.connect(database.owner_url, autocommit=True) as session:
        session.prepare_threshold = None  # names of prepared statements are the actor's
        session.execute(f"SET search_path = {Pins(path or ('public',)).setting}")
        yield session


@dataclass
class Gate:
    """What stands before a session.

    Attributes:
        connection: The session.
        allows: The policy.
        path: Its search path.
        sent: What was sent on, in order.
        received: Every value that came back, as text.
    """

    connection: Connection
    allows: Policy
    path: tuple[str, ...] = ("public",)
    sent: list[str] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    _session: Session = field(default_factory=Session)
    _one: Classifier | None = None
    _stale: bool = False

    def send(self, text: str) -> str:
        """`refused` (by the classification), `denied` (by the policy), `failed` (there), `done`."""
        try:
            found = self._classifier().classify(text, self._session)
        except TargetError:
            raise
        except CallpointError:
            return "refused"
        if not all(self.allows(access) for access in found.accesses):
            return "denied"
        self._session = self._session.after(found)
        self.sent.append(text)
        done = self._executed(text)
        self._stale |= found.alters_catalogue
        if self._session.ddl_open and self._status is TransactionStatus.IDLE:
            self._stale = True
            self._session = self._session.idle()
        return "done" if done else "failed"

    @property
    def _status(self) -> TransactionStatus:
        return TransactionStatus(self.connection.pgconn.transaction_status)

    def _classifier(self) -> Classifier:
        # In a failed transaction nothing can be read, and no text but its end is run.
        is_readable = self._status is not TransactionStatus.INERROR
        if self._one is None or (self._stale and is_readable):
            self._one = classifier_of(self.connection, *self.path)
            self._stale = False
        return self._one

    def _executed(self, text: str) -> bool:
        """Send one Query message and take what comes; rows for COPY are none."""
        link = self.connection.pgconn
        link.send_query(text.encode())
        good = True
        while (result := link.get_result()) is not None:
            match result.status:
                case ExecStatus.COPY_IN:
                    link.put_copy_end()
                case ExecStatus.COPY_OUT:
                    while (got := link.get_copy_data(0))[0] > 0:
                        self.received.append(bytes(got[1]))
                case ExecStatus.TUPLES_OK:
                    rows, columns = range(result.ntuples), range(result.nfields)
                    self.received += [result.get_value(r, c) or b"" for r in rows for c in columns]
                case ExecStatus.FATAL_ERROR:
                    good = False
                case _:
                    pass
        return good


_STATISTICS = ("pg_statistic", "pg_statistic_ext_data")
_NAMES = """
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
  c.relkind::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'S') AND c.relpersistence <> 't' AND c.relname <> ALL (%s)
  AND (n.nspname = 'pg_catalog' OR n.nspname !~ '^pg_|^information_schema$')
"""

_OF_A_SESSION = """
SELECT pg_catalog.concat_ws(' / ', current_user, session_user,
  pg_catalog.current_setting('search_path'), pg_catalog.current_setting('role'),
  pg_catalog.current_setting('client_encoding'),
  pg_catalog.current_setting('standard_conforming_strings'),
  pg_catalog.current_setting('session_replication_role'),
  pg_catalog.current_setting('row_security'), pg_catalog.pg_my_temp_schema())
"""


def everything(observer: Connection) -> dict[str, str]:
    """Each table of the database, and each catalogue with those of the cluster, as one text.

    A row that is written has a new place and a new xmin; upkeep changes neither.

    Args:
        observer: Another session than the one that is tried.
    """
    named = observer.execute(_NAMES, [list(_STATISTICS)]).fetchall()
    parts = [
        f"SELECT '{name}', concat_ws(' ', last_value, is_called) FROM {name}"
        if kind == "S"
        else f"SELECT '{name}', concat_ws(' ', count(*),"
        f" sum(hashtextextended(concat_ws(' ', ctid, xmin), 0))) FROM {name}"
        for name, kind in named
    ]
    parts.append("SELECT 'prepared', count(*)::text FROM pg_prepared_xacts")
    return {name: str(state) for name, state in observer.execute(" UNION ALL ".join(parts))}


def of_the_session(session: Connection) -> str:
    """Who the session is, and what names and texts mean in it."""
    row = session.execute(_OF_A_SESSION).fetchone()
    assert row is not None
    return str(row[0])
