"""Rules for what changes or shows the session: settings, transactions, channels, upkeep."""

from collections.abc import Collection

from postgast import pg_query_pb2 as pb

from callpoint.gateways.postgres.sql.access import Verb
from callpoint.gateways.postgres.sql.walk import NOTHING, Walk, only, options, refused, strings

_SETTABLE = frozenset({
    "application_name", "bytea_output", "client_min_messages", "datestyle", "extra_float_digits",
    "intervalstyle", "timezone", "xmloption", "statement_timeout", "lock_timeout",
    "idle_in_transaction_session_timeout", "transaction_timeout", "work_mem",
    "maintenance_work_mem", "constraint_exclusion", "random_page_cost", "seq_page_cost",
    "effective_cache_size", "jit", "geqo", "plan_cache_mode", "max_parallel_workers_per_gather",
    "default_statistics_target", "synchronous_commit", "parallel_setup_cost",
    "parallel_tuple_cost", "from_collapse_limit", "join_collapse_limit",
    "transaction_isolation", "transaction_read_only", "transaction_deferrable",
    "default_transaction_isolation", "default_transaction_read_only",
    "default_transaction_deferrable",
    "enable_bitmapscan", "enable_hashagg", "enable_hashjoin", "enable_indexonlyscan",
    "enable_indexscan", "enable_material", "enable_memoize", "enable_mergejoin",
    "enable_nestloop", "enable_parallel_append", "enable_parallel_hash",
    "enable_partition_pruning", "enable_seqscan", "enable_sort",
})  # fmt: skip
"""Settings that change no meaning of a later statement and open no door; each is an object."""

_FIXED = {
    "client_encoding": ("utf8", "utf-8", "unicode"),
    "standard_conforming_strings": ("on", "true", "1", "yes"),
}
"""Settings with one value that keeps the texts readable here as the server reads them."""

_TRANSACTION_OPTIONS = ("transaction_isolation", "transaction_read_only", "transaction_deferrable")
_PLAIN_TRANSACTIONS = (
    pb.TRANS_STMT_BEGIN, pb.TRANS_STMT_START, pb.TRANS_STMT_COMMIT, pb.TRANS_STMT_ROLLBACK,
    pb.TRANS_STMT_SAVEPOINT, pb.TRANS_STMT_RELEASE, pb.TRANS_STMT_ROLLBACK_TO,
)  # fmt: skip
_ENDINGS = (pb.TRANS_STMT_COMMIT, pb.TRANS_STMT_ROLLBACK, pb.TRANS_STMT_ROLLBACK_TO)
_VACUUM_OPTIONS = (
    "analyze", "verbose", "skip_locked", "buffer_usage_limit", "freeze", "truncate", "full",
    "index_cleanup", "disable_page_skipping", "process_main", "process_toast", "parallel",
)  # fmt: skip


def transaction(walk: Walk, node: pb.TransactionStmt) -> Collection[str]:
    """BEGIN to ROLLBACK TO; two-phase commit outlives the session."""
    if node.kind not in _PLAIN_TRANSACTIONS:
        raise refused("two-phase commit", "use BEGIN and COMMIT")
    options(walk, node.options, _TRANSACTION_OPTIONS, "a transaction")
    walk.use_database(Verb.TRANSACTION)
    if walk.session.ddl_open and node.kind in _ENDINGS:
        walk.alters_catalogue = True
    return ("options",)


def set_variable(walk: Walk, node: pb.VariableSetStmt) -> Collection[str]:
    """SET and RESET, by list: what pins the meaning of names stays as it is."""
    name = node.name.lower()
    match node.kind:
        case pb.VAR_SET_MULTI:
            only(node.name, ("TRANSACTION", "SESSION CHARACTERISTICS"), "SET")
            options(walk, node.args, _TRANSACTION_OPTIONS, "a transaction")
            walk.use_database(Verb.TRANSACTION)
            return ("args",)
        case pb.VAR_SET_VALUE:
            if name in _FIXED:
                _check_fixed(name, node)
        case pb.VAR_SET_DEFAULT | pb.VAR_RESET:
            pass
        case _:
            raise refused("RESET ALL", "reset the settings one by one")
    if name not in _SETTABLE and not (name in _FIXED and node.kind == pb.VAR_SET_VALUE):
        _check_own(name)
    walk.use(Verb.SET, ("", name))
    return NOTHING


def set_by_call(walk: Walk, node: pb.FuncCall) -> None:
    """`set_config('jit', …)`: a SET whose value may be computed, so not of what has one value.

    asyncpg sends it before it asks for types that it does not know, applications to give a value as
    a parameter.
    """
    first = node.args[0].a_const if node.args else pb.A_Const()
    if first.isnull or first.WhichOneof("val") != "sval":
        raise refused("set_config of a computed name", "write the name as a plain string")
    name = first.sval.sval.lower()
    if name not in _SETTABLE:
        _check_own(name)
    walk.use(Verb.SET, ("", name))


def _check_fixed(name: str, node: pb.VariableSetStmt) -> None:
    values = [arg.a_const.sval.sval.lower() for arg in node.args]
    if len(values) != 1 or values[0] not in _FIXED[name]:
        raise refused(f"{name} other than {_FIXED[name][0]}")


def _check_own(name: str) -> None:
    """An application's own settings have a dot and often steer row security: policy decides."""
    if "." not in name or not name.isascii():
        raise refused(f"SET {name}", "docs/gateways/postgres.md lists the settings")


def show(walk: Walk, node: pb.VariableShowStmt) -> Collection[str]:
    """SHOW."""
    walk.use(Verb.SHOW, ("", node.name.lower()))
    return NOTHING


def discard(walk: Walk, node: pb.DiscardStmt) -> Collection[str]:
    """DISCARD PLANS and SEQUENCES; ALL resets what is pinned."""
    if node.target not in (pb.DISCARD_PLANS, pb.DISCARD_SEQUENCES):
        raise refused("DISCARD ALL or TEMP", "open a new session")
    walk.use_database(Verb.SESSION)
    return NOTHING


def session_only(walk: Walk, _node: object) -> Collection[str]:
    """What only gives up something of the session: DEALLOCATE, CLOSE, UNLISTEN."""
    walk.use_database(Verb.SESSION)
    return NOTHING


def constraints(walk: Walk, _node: pb.ConstraintsSetStmt) -> Collection[str]:
    """SET CONSTRAINTS: when checks run that run anyway."""
    walk.use_database(Verb.TRANSACTION)
    return ("constraints",)


def listen(walk: Walk, node: pb.ListenStmt) -> Collection[str]:
    """LISTEN."""
    walk.use(Verb.LISTEN, ("", node.conditionname))
    return NOTHING


def notify(walk: Walk, node: pb.NotifyStmt) -> Collection[str]:
    """NOTIFY: a word to every listener."""
    walk.use(Verb.NOTIFY, ("", node.conditionname))
    return NOTHING


def vacuum(walk: Walk, node: pb.VacuumStmt) -> Collection[str]:
    """VACUUM and ANALYZE, of tables or of the whole database."""
    options(walk, node.options, _VACUUM_OPTIONS, "VACUUM")
    verb = Verb.VACUUM if node.is_vacuumcmd else Verb.ANALYZE
    for relation in node.rels:
        strings(relation.vacuum_relation.va_cols)
        walk.target(verb, relation.vacuum_relation.relation)
    if not node.rels:
        walk.use_database(verb)
    return ("options", "rels")
