"""Rules for DDL: tables, views, indexes and sequences of the application, one at a time.

Refused is what hands out power (owners, grants, functions, triggers, rules, policies), what
reaches further than it says (CASCADE, inheritance), and what other code comes with (access
methods, extensions, operator classes).
"""

from collections.abc import Collection

from postgast import pg_query_pb2 as pb

from callpoint.gateways.postgres.sql.access import Verb
from callpoint.gateways.postgres.sql.names import check_name
from callpoint.gateways.postgres.sql.queries import new_table
from callpoint.gateways.postgres.sql.walk import (
    NOTHING,
    Walk,
    only,
    options,
    refused,
    refused_node,
    strings,
)

_SERIAL = ("serial", "bigserial", "smallserial", "serial2", "serial4", "serial8")
_SEQUENCE_OPTIONS = (
    "start",
    "increment",
    "minvalue",
    "maxvalue",
    "cache",
    "cycle",
    "restart",
    "as",
)
_IDENTITY_OPTIONS = ("start", "increment", "minvalue", "maxvalue", "cache", "cycle")
_INDEX_METHODS = ("", "btree", "hash", "gin", "gist", "brin", "spgist")
_INDEX_OPTIONS = (
    "fillfactor",
    "deduplicate_items",
    "fastupdate",
    "pages_per_range",
    "autosummarize",
)
_VIEW_OPTIONS = ("security_barrier", "security_invoker", "check_option")
_CONSTRAINTS = (
    pb.CONSTR_NULL, pb.CONSTR_NOTNULL, pb.CONSTR_DEFAULT, pb.CONSTR_IDENTITY, pb.CONSTR_GENERATED,
    pb.CONSTR_CHECK, pb.CONSTR_PRIMARY, pb.CONSTR_UNIQUE, pb.CONSTR_FOREIGN,
    pb.CONSTR_ATTR_DEFERRABLE, pb.CONSTR_ATTR_NOT_DEFERRABLE, pb.CONSTR_ATTR_DEFERRED,
    pb.CONSTR_ATTR_IMMEDIATE,
)  # fmt: skip
_ALTERATIONS = (
    pb.AT_AddColumn, pb.AT_ColumnDefault, pb.AT_DropNotNull, pb.AT_SetNotNull, pb.AT_SetStatistics,
    pb.AT_DropColumn, pb.AT_AddConstraint, pb.AT_ValidateConstraint, pb.AT_DropConstraint,
    pb.AT_AlterColumnType, pb.AT_DropIdentity, pb.AT_DropExpression,
)  # fmt: skip
_DROPS = {
    pb.OBJECT_TABLE: Verb.DROP_TABLE,
    pb.OBJECT_VIEW: Verb.DROP_VIEW,
    pb.OBJECT_MATVIEW: Verb.DROP_VIEW,
    pb.OBJECT_INDEX: Verb.DROP_INDEX,
    pb.OBJECT_SEQUENCE: Verb.DROP_SEQUENCE,
}
_RENAMES = (
    pb.OBJECT_TABLE, pb.OBJECT_VIEW, pb.OBJECT_MATVIEW, pb.OBJECT_INDEX, pb.OBJECT_SEQUENCE,
)  # fmt: skip
_COMMENTS = (*_RENAMES, pb.OBJECT_COLUMN)


def create_table(walk: Walk, node: pb.CreateStmt) -> Collection[str]:
    """CREATE TABLE."""
    if node.inh_relations or node.HasField("partbound") or node.HasField("partspec"):
        raise refused("inheritance and partitions")
    if node.HasField("of_typename") or node.options or node.tablespacename:
        raise refused("a storage option of a new table")
    only(node.access_method, ("", "heap"), "the access method")
    only(pb.OnCommitAction.Name(node.oncommit), ("ONCOMMIT_NOOP",), "for a new table")
    walk.created(Verb.CREATE_TABLE, node.relation)
    return ("relation",)


def create_table_as(walk: Walk, node: pb.CreateTableAsStmt) -> Collection[str]:
    """CREATE TABLE AS and CREATE MATERIALIZED VIEW."""
    is_table = node.objtype == pb.OBJECT_TABLE
    if not is_table and node.objtype != pb.OBJECT_MATVIEW:
        raise refused_node(node)
    new_table(walk, node.into, Verb.CREATE_TABLE if is_table else Verb.CREATE_VIEW)
    return ("into",)


def column_definition(_walk: Walk, node: pb.ColumnDef) -> Collection[str]:
    """A column; `serial` is no type but a sequence and a default."""
    check_name(node.colname)
    if node.fdwoptions or node.HasField("identity_sequence") or node.storage_name:
        raise refused("a storage option of a column")
    names = strings(node.type_name.names)
    is_serial = len(names) == 1 and names[0] in _SERIAL
    return ("type_name",) if is_serial else NOTHING


def constraint(walk: Walk, node: pb.Constraint) -> Collection[str]:
    """A constraint; a foreign key reads another table and is told of its changes."""
    if node.contype not in _CONSTRAINTS:
        raise refused("EXCLUDE and what newer servers have")
    if node.access_method or node.indexspace or node.indexname:
        raise refused("a storage option of a constraint")
    is_identity = node.contype == pb.CONSTR_IDENTITY
    options(walk, node.options, _IDENTITY_OPTIONS if is_identity else (), "a constraint")
    if node.HasField("pktable"):
        walk.target(Verb.REFERENCES, node.pktable)
    return ("options", "pktable")


def like(walk: Walk, node: pb.TableLikeClause) -> Collection[str]:
    """LIKE: the columns of another table; its defaults would bring functions along."""
    if node.options:
        raise refused("LIKE … INCLUDING", "name the columns")
    walk.target(Verb.SELECT, node.relation)
    return ("relation",)


def create_view(walk: Walk, node: pb.ViewStmt) -> Collection[str]:
    """CREATE VIEW: needs what its query needs, when it is made; later only the view is asked."""
    options(walk, node.options, _VIEW_OPTIONS, "a view")
    walk.created(Verb.CREATE_VIEW, node.view)
    return ("view", "options")


def create_index(walk: Walk, node: pb.IndexStmt) -> Collection[str]:
    """CREATE INDEX."""
    only(node.access_method, _INDEX_METHODS, "the index method")
    options(walk, node.options, _INDEX_OPTIONS, "an index")
    if node.table_space or node.exclude_op_names:
        raise refused("a storage option of an index")
    check_name(node.idxname)
    walk.alters_catalogue = True
    walk.target(Verb.CREATE_INDEX, node.relation)
    return ("relation", "options")


def create_sequence(walk: Walk, node: pb.CreateSeqStmt) -> Collection[str]:
    """CREATE SEQUENCE."""
    if node.owner_id:
        raise refused("an owner of a sequence")
    options(walk, node.options, _SEQUENCE_OPTIONS, "a sequence")
    walk.created(Verb.CREATE_SEQUENCE, node.sequence)
    return ("sequence", "options")


def alter_sequence(walk: Walk, node: pb.AlterSeqStmt) -> Collection[str]:
    """ALTER SEQUENCE."""
    options(walk, node.options, _SEQUENCE_OPTIONS, "a sequence")
    walk.alters_catalogue = True
    walk.target(Verb.ALTER_SEQUENCE, node.sequence)
    return ("sequence", "options")


def alter_table(walk: Walk, node: pb.AlterTableStmt) -> Collection[str]:
    """ALTER TABLE, by list."""
    if node.objtype != pb.OBJECT_TABLE:
        raise refused("ALTER of anything but a table")
    walk.alters_catalogue = True
    walk.target(Verb.ALTER_TABLE, node.relation)
    if any(one.alter_table_cmd.subtype == pb.AT_AlterColumnType for one in node.cmds):
        # The server also makes the foreign keys anew that refer to it.
        walk.target(Verb.REWRITE, node.relation)
    return ("relation",)


def alteration(_walk: Walk, node: pb.AlterTableCmd) -> Collection[str]:
    """One part of ALTER TABLE."""
    if node.subtype not in _ALTERATIONS:
        kind = pb.AlterTableType.Name(node.subtype).removeprefix("AT_")
        raise refused(f"ALTER TABLE ({kind})")
    if node.behavior == pb.DROP_CASCADE:
        raise refused("DROP … CASCADE", "drop what depends on it first, by name")
    return NOTHING


def drop(walk: Walk, node: pb.DropStmt) -> Collection[str]:
    """DROP of what is named, and no more."""
    verb = _DROPS.get(node.remove_type)
    if verb is None:
        raise refused("DROP " + pb.ObjectType.Name(node.remove_type).removeprefix("OBJECT_"))
    if node.behavior == pb.DROP_CASCADE:
        raise refused("DROP … CASCADE", "drop what depends on it first, by name")
    walk.alters_catalogue = True
    for named in node.objects:
        parts = _without_database(walk, strings(named.list.items))
        walk.use(verb, walk.resolver.relation(parts, or_new=node.missing_ok))
    return ("objects",)


def rename(walk: Walk, node: pb.RenameStmt) -> Collection[str]:
    """RENAME: the old name and the new one, because a policy may speak of either."""
    check_name(node.newname)
    of_column = node.rename_type == pb.OBJECT_COLUMN and node.relation_type == pb.OBJECT_TABLE
    if not of_column and node.rename_type not in _RENAMES:
        raise refused("RENAME " + pb.ObjectType.Name(node.rename_type).removeprefix("OBJECT_"))
    if node.behavior == pb.DROP_CASCADE:
        raise refused("RENAME … CASCADE")
    walk.alters_catalogue = True
    schema, name = walk.resolver.relation(walk.relation_parts(node.relation))
    walk.use(Verb.RENAME, (schema, name))
    if not of_column:
        walk.use(Verb.RENAME, walk.resolver.created([schema, node.newname]))
    return ("relation",)


def comment(walk: Walk, node: pb.CommentStmt) -> Collection[str]:
    """COMMENT ON a relation or a column."""
    if node.objtype not in _COMMENTS:
        raise refused("COMMENT ON " + pb.ObjectType.Name(node.objtype).removeprefix("OBJECT_"))
    parts = strings(node.object.list.items)
    of_column = node.objtype == pb.OBJECT_COLUMN
    named = _without_database(walk, parts[:-1] if of_column else parts)
    walk.use(Verb.COMMENT, walk.resolver.relation(named))
    return ("object",)


def refresh(walk: Walk, node: pb.RefreshMatViewStmt) -> Collection[str]:
    """REFRESH MATERIALIZED VIEW."""
    walk.target(Verb.REFRESH, node.relation)
    return ("relation",)


def reindex(walk: Walk, node: pb.ReindexStmt) -> Collection[str]:
    """REINDEX of one table or index."""
    if node.kind not in (pb.REINDEX_OBJECT_INDEX, pb.REINDEX_OBJECT_TABLE):
        raise refused("REINDEX of more than a table", "name the table")
    options(walk, node.params, ("verbose", "concurrently"), "REINDEX")
    walk.target(Verb.REINDEX, node.relation)
    return ("relation", "params")


def _without_database(walk: Walk, parts: list[str]) -> list[str]:
    most = 3
    if len(parts) == most and parts[0] == walk.resolver.catalogue.database:
        return parts[1:]
    return parts
