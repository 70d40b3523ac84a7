"""Rules for statements that read and write rows."""

from collections.abc import Collection

from postgast import pg_query_pb2 as pb

from callpoint.gateways.postgres.sql.access import BindingKind, Verb
from callpoint.gateways.postgres.sql.walk import NOTHING, Walk, only, options, refused

_COPY_OPTIONS = (
    "format", "delimiter", "null", "default", "header", "quote", "escape", "force_quote",
    "force_not_null", "force_null", "freeze", "encoding", "on_error", "log_verbosity",
    "reject_limit",
)  # fmt: skip
_EXPLAIN_OPTIONS = (
    "analyze", "verbose", "costs", "settings", "generic_plan", "buffers", "serialize", "wal",
    "timing", "summary", "memory", "format",
)  # fmt: skip
_HOLD = 0x0020  # CURSOR_OPT_HOLD of parsenodes.h
_MERGES = {pb.CMD_UPDATE: Verb.UPDATE, pb.CMD_INSERT: Verb.INSERT, pb.CMD_DELETE: Verb.DELETE}


def source(walk: Walk, node: pb.RangeVar) -> Collection[str]:
    """A relation in a place that no rule has dealt with is read."""
    walk.source(node)
    return NOTHING


def into(walk: Walk, node: pb.IntoClause) -> Collection[str]:
    """`SELECT … INTO`: a new table."""
    new_table(walk, node, Verb.CREATE_TABLE)
    return ("rel",)


def new_table(walk: Walk, node: pb.IntoClause, verb: Verb) -> None:
    """The target of `SELECT INTO` and `CREATE TABLE AS`."""
    if node.options or node.table_space_name or node.HasField("view_query"):
        raise refused("a storage option of a new table")
    only(node.access_method, ("", "heap"), "the access method")
    only(pb.OnCommitAction.Name(node.on_commit), ("ONCOMMIT_NOOP",), "for a new table")
    walk.created(verb, node.rel)


def insert(walk: Walk, node: pb.InsertStmt) -> Collection[str]:
    """INSERT; with ON CONFLICT it reads, and may update."""
    walk.target(Verb.INSERT, node.relation)
    if node.HasField("on_conflict_clause"):
        walk.target(Verb.SELECT, node.relation)
        if node.on_conflict_clause.action != pb.ONCONFLICT_NOTHING:
            walk.target(Verb.UPDATE, node.relation)
    if node.HasField("returning_clause"):
        walk.target(Verb.SELECT, node.relation)
    return ("relation",)


def update(walk: Walk, node: pb.UpdateStmt) -> Collection[str]:
    """UPDATE: its conditions and RETURNING read what it writes."""
    walk.target(Verb.UPDATE, node.relation)
    walk.target(Verb.SELECT, node.relation)
    return ("relation",)


def delete(walk: Walk, node: pb.DeleteStmt) -> Collection[str]:
    """DELETE: likewise."""
    walk.target(Verb.DELETE, node.relation)
    walk.target(Verb.SELECT, node.relation)
    return ("relation",)


def merge(walk: Walk, node: pb.MergeStmt) -> Collection[str]:
    """MERGE: what each of its clauses may do."""
    walk.target(Verb.MERGE, node.relation)
    walk.target(Verb.SELECT, node.relation)
    for clause in node.merge_when_clauses:
        command = clause.merge_when_clause.command_type
        if command in _MERGES:
            walk.target(_MERGES[command], node.relation)
        elif command != pb.CMD_NOTHING:
            raise refused("this clause of MERGE")
    walk.use_all(walk.resolver.perhaps_call("merge_action"))
    return ("relation",)


def locking(walk: Walk, _node: pb.LockingClause) -> Collection[str]:
    """FOR UPDATE and its like; which of the tables is not followed, so it is all."""
    walk.locks()
    return ("locked_rels",)


def copy(walk: Walk, node: pb.CopyStmt) -> Collection[str]:
    """COPY over the connection; files and programs of the server are refused."""
    if node.is_program:
        raise refused("COPY … PROGRAM", "use COPY … FROM STDIN or TO STDOUT")
    if node.filename:
        raise refused("COPY with a file of the server", "use COPY … FROM STDIN or TO STDOUT")
    chosen = options(walk, node.options, _COPY_OPTIONS, "COPY")
    if "encoding" in chosen:
        only(chosen["encoding"].string.sval.lower().replace("-", ""), ("utf8",), "the encoding")
    if not node.HasField("relation"):
        walk.use_database(Verb.COPY_OUT)
    elif node.is_from:
        walk.target(Verb.INSERT, node.relation)
        walk.target(Verb.COPY_IN, node.relation)
    else:
        walk.target(Verb.SELECT, node.relation)
        walk.target(Verb.COPY_OUT, node.relation)
    return ("relation", "options")


def truncate(walk: Walk, node: pb.TruncateStmt) -> Collection[str]:
    """TRUNCATE of what is named, and no more."""
    if node.behavior == pb.DROP_CASCADE:
        raise refused("TRUNCATE … CASCADE", "name every table")
    for relation in node.relations:
        walk.target(Verb.TRUNCATE, relation.range_var)
    return ("relations",)


def lock_table(walk: Walk, node: pb.LockStmt) -> Collection[str]:
    """LOCK TABLE."""
    for relation in node.relations:
        walk.target(Verb.LOCK, relation.range_var)
    return ("relations",)


def explain(walk: Walk, node: pb.ExplainStmt) -> Collection[str]:
    """EXPLAIN needs what its statement needs, whether it runs it (ANALYZE) or not."""
    options(walk, node.options, _EXPLAIN_OPTIONS, "EXPLAIN")
    walk.use_database(Verb.EXPLAIN)
    return ("options",)


def prepare(walk: Walk, node: pb.PrepareStmt) -> Collection[str]:
    """PREPARE needs what its statement needs, and EXECUTE needs it again."""
    walk.bound(BindingKind.PREPARED, node.name)
    return NOTHING


def execute(walk: Walk, node: pb.ExecuteStmt) -> Collection[str]:
    """EXECUTE: whatever the name was ever prepared as."""
    walk.run(BindingKind.PREPARED, node.name)
    return NOTHING


def declare(walk: Walk, node: pb.DeclareCursorStmt) -> Collection[str]:
    """DECLARE CURSOR; with hold, its query runs when the transaction ends."""
    if node.options & _HOLD:
        raise refused("a cursor that outlives its transaction", "leave WITH HOLD out")
    walk.bound(BindingKind.CURSOR, node.portalname)
    return NOTHING


def fetch(walk: Walk, node: pb.FetchStmt) -> Collection[str]:
    """FETCH and MOVE run the query of the cursor."""
    walk.run(BindingKind.CURSOR, node.portalname)
    return NOTHING


def procedure(_walk: Walk, _node: pb.CallStmt) -> Collection[str]:
    """CALL: the call below it is what counts."""
    return NOTHING
