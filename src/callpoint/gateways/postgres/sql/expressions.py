"""Rules for expressions: what is called, cast and compared."""

from collections.abc import Callable, Collection

from postgast import pg_query_pb2 as pb

from callpoint.gateways.postgres.sql.names import check_name
from callpoint.gateways.postgres.sql.settings import set_by_call
from callpoint.gateways.postgres.sql.walk import (
    NOTHING,
    Node,
    Walk,
    only,
    refused,
    refused_node,
    strings,
)

_BETWEEN = {
    pb.AEXPR_BETWEEN: (">=", "<="),
    pb.AEXPR_NOT_BETWEEN: ("<", ">"),
    pb.AEXPR_BETWEEN_SYM: (">=", "<="),
    pb.AEXPR_NOT_BETWEEN_SYM: ("<", ">"),
}
_SET = "set_config"
_OPERATOR_CLASSES = (
    "text_pattern_ops", "varchar_pattern_ops", "bpchar_pattern_ops", "jsonb_path_ops", "jsonb_ops",
    "inet_ops", "text_ops",
)  # fmt: skip
"""Of pg_catalog, which is always looked into first. Classes of extensions run their functions."""


def column(walk: Walk, node: pb.ColumnRef) -> Collection[str]:
    """`x.f` is a column, or `f(x)`, or a cast of `x`: columns are not known, so it may be all."""
    if len(node.fields) > 1:
        last = node.fields[-1]
        match last.WhichOneof("node"):
            case "string":
                walk.use_all(walk.resolver.perhaps_call(last.string.sval))
            case "a_star":
                pass
            case _:
                raise refused_node(node)
    return ("fields",)


def indirection(walk: Walk, node: pb.A_Indirection) -> Collection[str]:
    """`(x).f`: as `x.f`."""
    for step in node.indirection:
        if step.WhichOneof("node") == "string":
            walk.use_all(walk.resolver.perhaps_call(step.string.sval))
    return NOTHING


def call(walk: Walk, node: pb.FuncCall) -> Collection[str]:
    """A call, or a cast written as one.

    `json_object(…)` is the server's own for the parser here; PostgreSQL 15 looks for it everywhere.
    """
    names = strings(node.funcname)
    if names[-1] == _SET and walk.resolver.is_the_servers_alone(names):
        set_by_call(walk, node)
    else:
        walk.use_all(walk.resolver.call(names))
    if names[-1] == "json_object":
        walk.use_all(walk.resolver.perhaps_call("json_object"))
    return ("funcname",)


def operator(walk: Walk, node: pb.A_Expr) -> Collection[str]:
    """An operator, also where SQL hides it in a word."""
    for name in _BETWEEN.get(node.kind, ()):
        walk.use_all(walk.resolver.operator([name]))
    if node.kind not in _BETWEEN:
        walk.use_all(walk.resolver.operator(strings(node.name)))
    return ("name",)


def sublink(walk: Walk, node: pb.SubLink) -> Collection[str]:
    """`x IN (SELECT …)` compares with `=` and does not say so."""
    if node.sub_link_type in (pb.ANY_SUBLINK, pb.ALL_SUBLINK, pb.ROWCOMPARE_SUBLINK):
        walk.use_all(walk.resolver.operator(strings(node.oper_name) or ["="]))
    return ("oper_name",)


def case(walk: Walk, node: pb.CaseExpr) -> Collection[str]:
    """`CASE x WHEN y` compares with `=`."""
    if node.HasField("arg"):
        walk.use_all(walk.resolver.operator(["="]))
    return NOTHING


def join(walk: Walk, node: pb.JoinExpr) -> Collection[str]:
    """`USING` and `NATURAL` compare with `=`."""
    if node.is_natural or node.using_clause:
        walk.use_all(walk.resolver.operator(["="]))
    return NOTHING


def sort(walk: Walk, node: pb.SortBy) -> Collection[str]:
    """`ORDER BY x USING >`."""
    if node.use_op:
        walk.use_all(walk.resolver.operator(strings(node.use_op)))
    return ("use_op",)


def type_name(walk: Walk, node: pb.TypeName) -> Collection[str]:
    """A type by name; `%TYPE` belongs to functions."""
    if node.pct_type or node.type_oid or node.setof:
        raise refused("a type by reference")
    walk.use_all(walk.resolver.type(strings(node.names)))
    return ("names",)


def sample(_walk: Walk, node: pb.RangeTableSample) -> Collection[str]:
    """`TABLESAMPLE`: a method is a function that reads the table as it likes."""
    only(".".join(strings(node.method)), ("system", "bernoulli"), "the sampling method")
    return ("method",)


def index_element(_walk: Walk, node: pb.IndexElem) -> Collection[str]:
    """A column of an index; an operator class brings functions along."""
    if node.opclass:
        only(".".join(strings(node.opclass)), _OPERATOR_CLASSES, "the operator class")
    if node.opclassopts:
        raise refused("an option of an operator class")
    return ("opclass",)


def cte(walk: Walk, node: pb.CommonTableExpr) -> Collection[str]:
    """The name of a CTE; a cycle clause compares with `=`, by the type's own operator class."""
    check_name(node.ctename)
    walk.cte(node.ctename)
    return NOTHING


def keyword_call(name: str) -> "Callable[[Walk, Node], Collection[str]]":
    """The rule of what PostgreSQL 18 reads as syntax and an older server as a call.

    `JSON_SCALAR(x)` runs a user's function of that name on PostgreSQL 15.
    """

    def rule(walk: Walk, _node: Node) -> Collection[str]:
        walk.use_all(walk.resolver.perhaps_call(name))
        return NOTHING

    return rule


def json_function(walk: Walk, _node: pb.JsonFuncExpr) -> Collection[str]:
    """JSON_EXISTS, JSON_QUERY, JSON_VALUE: likewise calls for an older server."""
    for name in ("json_exists", "json_query", "json_value"):
        walk.use_all(walk.resolver.perhaps_call(name))
    return NOTHING
