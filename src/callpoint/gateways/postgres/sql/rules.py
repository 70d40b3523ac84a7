"""Every message of libpg_query's protobuf: with a rule, harmless by itself, or refused.

What is not here is refused. A test (test_sql_rules.py) names every message that is refused, so that
a new version of the parser which knows more is looked at before it is used.
"""

from collections.abc import Mapping

from postgast import pg_query_pb2 as pb

from callpoint.gateways.postgres.sql import definitions, expressions, queries, settings
from callpoint.gateways.postgres.sql.walk import Node, Rule, walk_on

HARMLESS: tuple[type[Node], ...] = (
    # Leaves and containers.
    pb.Node, pb.RawStmt, pb.Integer, pb.Float, pb.Boolean, pb.String, pb.BitString, pb.List,
    pb.A_Const, pb.A_Star, pb.Alias, pb.ParamRef,
    # Expressions whose parts are everything that they do.
    pb.A_Indices, pb.A_ArrayExpr, pb.BoolExpr, pb.BooleanTest, pb.CaseWhen, pb.CoalesceExpr,
    pb.CollateClause, pb.CurrentOfExpr, pb.GroupingFunc, pb.GroupingSet, pb.MinMaxExpr,
    pb.MultiAssignRef, pb.NamedArgExpr, pb.NullTest, pb.ResTarget, pb.RowExpr,
    pb.SQLValueFunction, pb.SetToDefault, pb.TypeCast, pb.WindowDef, pb.XmlExpr, pb.XmlSerialize,
    # Clauses.
    pb.RangeFunction, pb.RangeSubselect, pb.RangeTableFunc, pb.RangeTableFuncCol, pb.WithClause,
    pb.CTECycleClause, pb.CTESearchClause, pb.InferClause, pb.OnConflictClause,
    pb.MergeWhenClause, pb.ReturningClause, pb.ReturningOption,
    # JSON: parts of what has a rule below.
    pb.JsonArgument, pb.JsonBehavior, pb.JsonFormat, pb.JsonIsPredicate, pb.JsonKeyValue,
    pb.JsonOutput, pb.JsonReturning, pb.JsonTableColumn, pb.JsonTablePathSpec, pb.JsonValueExpr,
    pb.JsonAggConstructor,
    # Statements that are their clauses.
    pb.SelectStmt, pb.CallStmt,
)  # fmt: skip

_RULES: Mapping[type[Node], Rule] = {
    pb.ColumnRef: expressions.column,
    pb.A_Indirection: expressions.indirection,
    pb.FuncCall: expressions.call,
    pb.A_Expr: expressions.operator,
    pb.SubLink: expressions.sublink,
    pb.CaseExpr: expressions.case,
    pb.JoinExpr: expressions.join,
    pb.SortBy: expressions.sort,
    pb.TypeName: expressions.type_name,
    pb.RangeTableSample: expressions.sample,
    pb.IndexElem: expressions.index_element,
    pb.CommonTableExpr: expressions.cte,
    pb.JsonFuncExpr: expressions.json_function,
    pb.JsonParseExpr: expressions.keyword_call("json"),
    pb.JsonScalarExpr: expressions.keyword_call("json_scalar"),
    pb.JsonSerializeExpr: expressions.keyword_call("json_serialize"),
    pb.JsonObjectConstructor: expressions.keyword_call("json_object"),
    pb.JsonArrayConstructor: expressions.keyword_call("json_array"),
    pb.JsonArrayQueryConstructor: expressions.keyword_call("json_array"),
    pb.JsonObjectAgg: expressions.keyword_call("json_objectagg"),
    pb.JsonArrayAgg: expressions.keyword_call("json_arrayagg"),
    pb.JsonTable: expressions.keyword_call("json_table"),
    pb.MergeSupportFunc: expressions.keyword_call("merge_action"),
    pb.RangeVar: queries.source,
    pb.IntoClause: queries.into,
    pb.InsertStmt: queries.insert,
    pb.UpdateStmt: queries.update,
    pb.DeleteStmt: queries.delete,
    pb.MergeStmt: queries.merge,
    pb.LockingClause: queries.locking,
    pb.CopyStmt: queries.copy,
    pb.TruncateStmt: queries.truncate,
    pb.LockStmt: queries.lock_table,
    pb.ExplainStmt: queries.explain,
    pb.PrepareStmt: queries.prepare,
    pb.ExecuteStmt: queries.execute,
    pb.DeclareCursorStmt: queries.declare,
    pb.FetchStmt: queries.fetch,
    pb.TransactionStmt: settings.transaction,
    pb.VariableSetStmt: settings.set_variable,
    pb.VariableShowStmt: settings.show,
    pb.DiscardStmt: settings.discard,
    pb.DeallocateStmt: settings.session_only,
    pb.ClosePortalStmt: settings.session_only,
    pb.UnlistenStmt: settings.session_only,
    pb.ConstraintsSetStmt: settings.constraints,
    pb.ListenStmt: settings.listen,
    pb.NotifyStmt: settings.notify,
    pb.VacuumStmt: settings.vacuum,
    pb.CreateStmt: definitions.create_table,
    pb.CreateTableAsStmt: definitions.create_table_as,
    pb.ColumnDef: definitions.column_definition,
    pb.Constraint: definitions.constraint,
    pb.TableLikeClause: definitions.like,
    pb.ViewStmt: definitions.create_view,
    pb.IndexStmt: definitions.create_index,
    pb.CreateSeqStmt: definitions.create_sequence,
    pb.AlterSeqStmt: definitions.alter_sequence,
    pb.AlterTableStmt: definitions.alter_table,
    pb.AlterTableCmd: definitions.alteration,
    pb.DropStmt: definitions.drop,
    pb.RenameStmt: definitions.rename,
    pb.CommentStmt: definitions.comment,
    pb.RefreshMatViewStmt: definitions.refresh,
    pb.ReindexStmt: definitions.reindex,
}

RULES: Mapping[type[Node], Rule] = {**dict.fromkeys(HARMLESS, walk_on), **_RULES}
