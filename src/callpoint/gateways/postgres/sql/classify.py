"""A text to what it asks for."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from postgast import PgQueryError, parse
from postgast import pg_query_pb2 as pb

from callpoint.domain.errors import DeniedError, RequestError
from callpoint.gateways.postgres.sql import limits
from callpoint.gateways.postgres.sql.access import (
    Access,
    BindingKind,
    Classified,
    Statement,
    StatementKind,
    Verb,
)
from callpoint.gateways.postgres.sql.facts import Catalogue, Pins
from callpoint.gateways.postgres.sql.names import Resolver
from callpoint.gateways.postgres.sql.redact import redact_statements
from callpoint.gateways.postgres.sql.rules import RULES
from callpoint.gateways.postgres.sql.session import Session
from callpoint.gateways.postgres.sql.walk import Walk

MAX_STATEMENTS = 256
MAX_DEPTH = 4
"""How often a name may stand for a text that runs a name."""

MAX_BYTES_BEHIND_NAMES = 262_144
LEAST_BYTES_BEHIND_A_NAME = 1_024
"""Of the texts that one text may run by name, each counted as often as it is reached; reading a
short one costs as much as so many bytes."""

CACHED = 1_024
CACHED_BYTES = 4_096
"""Longer texts are mostly values written into SQL, and come once."""

_WRITES = (
    Verb.INSERT, Verb.UPDATE, Verb.DELETE, Verb.MERGE, Verb.TRUNCATE, Verb.COPY_IN,
)  # fmt: skip
_KINDS = {
    "transaction_stmt": StatementKind.TRANSACTION,
    "constraints_set_stmt": StatementKind.TRANSACTION,
    "variable_show_stmt": StatementKind.SESSION,
    "discard_stmt": StatementKind.SESSION,
    "deallocate_stmt": StatementKind.SESSION,
    "close_portal_stmt": StatementKind.SESSION,
    "listen_stmt": StatementKind.SESSION,
    "unlisten_stmt": StatementKind.SESSION,
    "notify_stmt": StatementKind.SESSION,
}


@dataclass(slots=True)
class Classifier:
    """What texts ask for, by one state of the catalogue; another state needs another classifier.

    So nothing remembered can be stale, and sessions that see the same state may share one.
    Remembered are whole texts, byte for byte: a fingerprint takes statements for equal that differ
    in what they touch. Not for use by several threads.

    Attributes:
        catalogue: What the server has, as the session sees it.
        pins: How the session is held.
    """

    catalogue: Catalogue
    pins: Pins = field(default_factory=Pins)
    _known: "OrderedDict[str, Classified]" = field(default_factory=OrderedDict)

    def classify(self, text: str, session: Session) -> Classified:
        """Read a text, which may have several statements.

        Args:
            text: Exactly what would be sent on.
            session: What was sent before.

        Raises:
            RequestError: It is no SQL that PostgreSQL reads.
            DeniedError: What it does cannot be decided, or never may be done; the whole text is
                refused, also if only one statement is.
        """
        return self._remembered(text, session, Behind())

    def behind(self, kind: BindingKind, name: str, session: Session) -> Classified:
        """What a name of the session can stand for, all of it: for the protocol's Bind and Execute.

        The protocol and SQL share names: Bind may name what PREPARE made, Execute what DECLARE did.

        Args:
            kind: Prepared statement or cursor.
            name: As the protocol has it.
            session: What was sent before.

        Raises:
            DeniedError: Nothing was given that name, or what it stands for cannot be decided.
        """
        texts = sorted(session.called(kind, name))
        if len(texts) == 1:
            return self.classify(texts[0], session)
        behind = Behind()
        found = [self._remembered(text, session, behind.one_more(text)) for text in texts]
        return Classified(
            accesses=tuple(sorted(set().union(*(one.accesses for one in found)))),
            statements=tuple(statement for one in found for statement in one.statements),
            bindings=tuple(binding for one in found for binding in one.bindings),
            alters_catalogue=any(one.alters_catalogue for one in found),
            of_the_session=True,
        )

    def parameters(self, oids: Iterable[int]) -> tuple[Access, ...]:
        """What the parameter types of the protocol's Parse ask for: input of a domain runs code.

        Args:
            oids: As the client sent them; 0 leaves the type to the server.

        Raises:
            DeniedError: There is no such type.
        """
        used: set[Access] = set()
        for oid in oids:
            if oid:
                place = self.catalogue.type_oids.get(oid)
                if place is None:
                    raise DeniedError(
                        f"a parameter has the type {oid}, which is not known",
                        way_out="leave parameter types to the server",
                    )
                used.update(Resolver(self.catalogue, self.pins).type(place))
        return tuple(sorted(used))

    def _remembered(self, text: str, session: Session, behind: "Behind") -> Classified:
        known = self._known.get(text)
        if known is not None and not session.ddl_open:
            self._known.move_to_end(text)
            return known
        found = self._read(text, session, behind)
        if not found.of_the_session and not session.ddl_open and len(text) <= CACHED_BYTES:
            self._known[text] = found
            if len(self._known) > CACHED:
                self._known.popitem(last=False)
        return found

    def _read(self, text: str, session: Session, behind: "Behind") -> Classified:
        tokens = limits.check(text, utf8=self.catalogue.utf8)
        parsed = _parsed(text)
        if len(parsed) > MAX_STATEMENTS:
            raise DeniedError(
                f"a text has more than {MAX_STATEMENTS} statements", way_out="send it in parts"
            )
        places = [_place(text, statement) for statement in parsed]
        walks: list[Walk] = []
        for statement, (begin, end) in zip(parsed, places, strict=True):
            if any(walk.alters_catalogue for walk in walks):
                _only_an_ending(statement)
            own = text.encode()[begin:end].decode() if len(parsed) > 1 else text
            walks.append(self._walk(own, statement, session, behind))
            for binding in walks[-1].bindings:
                session = session.bound(binding)
        return Classified(
            accesses=tuple(sorted(set().union(*(walk.accesses for walk in walks)))),
            statements=tuple(
                Statement(_kind(statement, walk.accesses), tuple(sorted(walk.accesses)), redacted)
                for statement, walk, redacted in zip(
                    parsed, walks, redact_statements(text, places, tokens), strict=True
                )
            ),
            bindings=tuple(binding for walk in walks for binding in walk.bindings),
            alters_catalogue=any(walk.alters_catalogue for walk in walks),
            of_the_session=any(walk.of_the_session for walk in walks),
        )

    def _walk(self, text: str, statement: pb.RawStmt, session: Session, behind: "Behind") -> Walk:
        def again(of_a_name: str) -> Classified:
            return self._remembered(of_a_name, session, behind.one_more(of_a_name))

        walk = Walk(
            rules=RULES,
            resolver=Resolver(self.catalogue, self.pins),
            session=session,
            again=again,
            text=text,
        )
        walk.visit(statement)
        walk.finish()
        return walk


@dataclass(slots=True)
class Behind:
    """How much was read because names stand for it; one count for all of a text."""

    depth: int = 0
    read: list[int] = field(default_factory=lambda: [0])

    def one_more(self, text: str) -> "Behind":
        self.read[0] += max(len(text), LEAST_BYTES_BEHIND_A_NAME)
        if self.depth >= MAX_DEPTH or self.read[0] > MAX_BYTES_BEHIND_NAMES:
            raise DeniedError(
                "prepared statements run each other too deep, or too many stand behind one name",
                way_out="prepare it directly, under a new name",
            )
        return Behind(self.depth + 1, self.read)


def _parsed(text: str) -> list[pb.RawStmt]:
    try:
        return list(parse(text).stmts)
    except PgQueryError as error:
        raise RequestError(
            f"this is no SQL that is read here: {error}",
            way_out="correct it; statements are read as PostgreSQL 18 reads them",
        ) from error
    except Exception as error:  # whatever a parser of others raises is a refusal (too deep a tree)
        raise DeniedError(
            "this statement is not read: it is nested too deep",
            way_out="flatten it: about 40 operators or 15 subqueries deep are the most",
        ) from error


def _place(text: str, statement: pb.RawStmt) -> tuple[int, int]:
    """Where one statement of several is; positions are in bytes."""
    begin = statement.stmt_location
    length = statement.stmt_len or len(text.encode()) - begin
    return begin, begin + length


def _only_an_ending(statement: pb.RawStmt) -> None:
    if not statement.stmt.HasField("transaction_stmt"):
        raise DeniedError(
            "after a change of the catalogue a text may only end its transaction: what names mean "
            "has changed",
            way_out="send the statements one by one",
        )


def _kind(statement: pb.RawStmt, accesses: Iterable[Access]) -> StatementKind:
    which = statement.stmt.WhichOneof("node")
    if which in _KINDS:
        return _KINDS[which]
    verbs = {access.verb for access in accesses}
    if which == "variable_set_stmt":
        return StatementKind.TRANSACTION if Verb.TRANSACTION in verbs else StatementKind.SET
    if which == "copy_stmt":
        return StatementKind.COPY_IN if statement.stmt.copy_stmt.is_from else StatementKind.COPY_OUT
    if any(verb.startswith("ddl:") for verb in verbs):
        return StatementKind.DEFINE
    if verbs & set(_WRITES):
        return StatementKind.WRITE
    return StatementKind.SET if Verb.SET in verbs else StatementKind.READ
