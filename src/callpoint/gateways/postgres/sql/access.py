"""What a statement asks for: verbs on objects."""

import re
from dataclasses import dataclass
from enum import StrEnum

from callpoint.domain.operation import DESTRUCTIVE

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")


class Verb(StrEnum):
    """What is done; docs/gateways/postgres.md says on what, and a test compares the two."""

    SELECT = "sql:select"
    INSERT = "sql:insert"
    UPDATE = "sql:update"
    DELETE = "sql:delete"
    MERGE = "sql:merge"
    TRUNCATE = "sql:truncate"
    LOCK = "sql:lock"
    REFERENCES = "sql:references"
    COPY_IN = "sql:copy-in"
    COPY_OUT = "sql:copy-out"
    EXECUTE = "sql:execute"
    INSPECT = "sql:inspect"
    USAGE = "sql:usage"
    EXPLAIN = "sql:explain"
    TRANSACTION = "sql:transaction"
    SET = "sql:set"
    SHOW = "sql:show"
    SESSION = "sql:session"
    LISTEN = "sql:listen"
    NOTIFY = "sql:notify"
    ANALYZE = "sql:analyze"
    VACUUM = "sql:vacuum"
    CREATE_TABLE = "ddl:create-table"
    CREATE_VIEW = "ddl:create-view"
    CREATE_INDEX = "ddl:create-index"
    CREATE_SEQUENCE = "ddl:create-sequence"
    ALTER_TABLE = "ddl:alter-table"
    REWRITE = "ddl:rewrite"
    ALTER_SEQUENCE = "ddl:alter-sequence"
    RENAME = "ddl:rename"
    COMMENT = "ddl:comment"
    REFRESH = "ddl:refresh"
    REINDEX = "ddl:reindex"
    DROP_TABLE = "ddl:drop-table"
    DROP_VIEW = "ddl:drop-view"
    DROP_INDEX = "ddl:drop-index"
    DROP_SEQUENCE = "ddl:drop-sequence"


@dataclass(frozen=True, slots=True, order=True)
class Access:
    """One verb on one object.

    Attributes:
        verb: What is done.
        schema: Where the object is; empty for what is in none (settings, channels, the database).
        name: The object's own name, as the catalogue has it.
    """

    verb: Verb
    schema: str
    name: str

    def resource(self, target: str) -> str:
        """The object as a policy and the log name it: `orders-db/public.items`."""
        return f"{target}/{self.object}"

    @property
    def destructive(self) -> bool:
        """Whether rows or definitions are gone afterwards; budgets count these apart."""
        return self.verb in DESTRUCTIVE

    @property
    def object(self) -> str:
        """The object for a policy and a log: `public.items`, and `public."Odd.name"` if it must.

        Two objects never give one text: what is no plain name is quoted as SQL quotes it.
        """
        return ".".join(_quoted(part) for part in (self.schema, self.name) if part)

    def __str__(self) -> str:
        return f"{self.verb} {self.object}"


class StatementKind(StrEnum):
    """What a statement is to whoever forwards it."""

    READ = "read"
    WRITE = "write"
    DEFINE = "define"
    COPY_IN = "copy-in"
    COPY_OUT = "copy-out"
    TRANSACTION = "transaction"
    SET = "set"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a text.

    Attributes:
        kind: What it is: `COPY_IN` makes the server wait for rows of the client, `TRANSACTION` and
            `SET` change how later statements run. A `READ` may call functions that write.
        accesses: Everything that it asks for, sorted, each once.
        redacted: For the record: its words without values and comments, cut where it is long.
    """

    kind: StatementKind
    accesses: tuple[Access, ...]
    redacted: str


class BindingKind(StrEnum):
    """What a name of the session stands for."""

    PREPARED = "prepared statement"
    CURSOR = "cursor"


@dataclass(frozen=True, slots=True)
class Binding:
    """A name of the session that gets a statement: PREPARE, DECLARE, the protocol's Parse.

    Attributes:
        kind: Its namespace.
        name: As the server keeps it.
        text: The statement, in SQL.
    """

    kind: BindingKind
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Classified:
    """What a text asks for, if all of it may be decided.

    Attributes:
        accesses: Every access, sorted, each once. More than is true where the text alone cannot
            tell; never fewer, but for what docs/gateways/postgres.md lists as invisible.
        statements: One by one, in order; none for an empty text.
        bindings: Names that get a statement, in order.
        alters_catalogue: The facts must be read anew, in this session, before the next text.
        of_the_session: It depends on what was prepared or opened before.
    """

    accesses: tuple[Access, ...]
    statements: tuple[Statement, ...]
    bindings: tuple[Binding, ...] = ()
    alters_catalogue: bool = False
    of_the_session: bool = False


def _quoted(part: str) -> str:
    return part if _PLAIN.match(part) else '"' + part.replace('"', '""') + '"'
