"""Which of PostgreSQL's own functions may be used undecided: the rule, as data and queries.

A statement may use a *pure* function without an access of its own. Pure is: immutable or stable
by the catalogue, of ordinary argument types (``internal`` and ``cstring`` make the server trust
its caller), and neither reading the catalogue nor running what its caller chose. Names count, not
signatures: which overload a call means depends on types that the text does not show.
"""

from collections.abc import Iterable

ALSO_PURE = frozenset({
    # Volatile by the catalogue; they read a clock, a random source or the session.
    "clock_timestamp", "timeofday", "random", "random_normal", "gen_random_uuid",
    "uuidv4", "uuidv7", "lastval",
    # Of the prefix that is kept back below: these look at their arguments and the session only.
    "pg_typeof", "pg_column_size", "pg_size_pretty", "pg_size_bytes", "pg_backend_pid",
    "pg_client_encoding", "pg_collation_for", "pg_is_in_recovery", "pg_postmaster_start_time",
})  # fmt: skip

KEPT_BACK = (
    "pg_",  # reads catalogues, files or other sessions; by name, as an access
    "binary_upgrade_",
    "fmgr_",  # validators load the libraries of functions
    "lo",  # large objects; `log`, `lower` and the like are named in `_NOT_KEPT`
)
"""Prefixes that are no pure function, whatever the catalogue says."""

_NOT_KEPT = frozenset(
    {"ln", "log", "log10", "lower", "lower_inc", "lower_inf", "lpad", "localtime"}
)

_SUFFIXES_KEPT_BACK = (
    "_to_xml", "_to_xmlschema", "_to_xml_and_xmlschema",  # run SQL or read tables by name
    "_description",  # reads the catalogue
)  # fmt: skip

INSPECTING = frozenset({
    # What psql's \\d and its like ask the catalogue through. They change nothing, read no file and
    # no other session, and show what a SELECT on pg_catalog shows.
    "col_description", "obj_description", "shobj_description",
    "pg_get_constraintdef", "pg_get_expr", "pg_get_functiondef", "pg_get_function_arg_default",
    "pg_get_function_arguments", "pg_get_function_identity_arguments", "pg_get_function_result",
    "pg_get_function_sqlbody", "pg_get_indexdef", "pg_get_partition_constraintdef",
    "pg_get_partition_ancestors", "pg_get_partkeydef", "pg_get_ruledef", "pg_get_serial_sequence",
    "pg_get_statisticsobjdef", "pg_get_statisticsobjdef_columns", "pg_get_triggerdef",
    "pg_get_userbyid", "pg_get_viewdef",
    "pg_collation_is_visible", "pg_conversion_is_visible", "pg_function_is_visible",
    "pg_opclass_is_visible", "pg_operator_is_visible", "pg_opfamily_is_visible",
    "pg_statistics_obj_is_visible", "pg_table_is_visible", "pg_ts_config_is_visible",
    "pg_ts_dict_is_visible", "pg_ts_parser_is_visible", "pg_ts_template_is_visible",
    "pg_type_is_visible", "pg_encoding_to_char", "pg_relation_is_publishable",
    "pg_database_size", "pg_indexes_size", "pg_relation_size", "pg_table_size",
    "pg_tablespace_size", "pg_total_relation_size",
})  # fmt: skip
"""Functions of the server that read the catalogue and nothing else: a verb of their own."""

OPAQUE: dict[str, str] = {
    "set_config": "changes settings by a name that is computed",
    "ts_stat": "runs SQL that it is given as text",
    "ts_rewrite": "runs SQL that it is given as text",
    "lo_import": "reads files of the server",
    "lo_export": "writes files of the server",
    "pg_stat_file": "reads files of the server",
}
"""Functions that no policy can allow, because what they touch cannot be named as an object."""

_OPAQUE_FORMS = (
    ("dblink", "", "runs SQL on another server"),
    ("crosstab", "", "runs SQL that it is given as text"),
    ("connectby", "", "reads the table that it is given as text"),
    ("xpath_table", "", "reads the table that it is given as text"),
    ("pg_read_", "file", "reads files of the server"),
    ("pg_ls_", "", "lists files of the server"),
    ("pg_file_", "", "changes files of the server"),
    ("", "_to_xml", "reads what its argument says as text"),
    ("", "_to_xmlschema", "reads what its argument says as text"),
    ("", "_to_xml_and_xmlschema", "reads what its argument says as text"),
)

_STRANGE_TYPES = (
    "internal", "cstring", "trigger", "event_trigger", "language_handler", "fdw_handler",
    "index_am_handler", "table_am_handler", "tsm_handler",
)  # fmt: skip

FUNCTION_QUERY = f"""
SELECT p.proname, bool_and(
         p.provolatile IN ('i', 's') AND NOT EXISTS (
           SELECT FROM unnest(p.proargtypes::oid[] || p.prorettype) AS used (type)
           JOIN pg_catalog.pg_type t ON t.oid = used.type
           WHERE t.typname IN ({", ".join(f"'{name}'" for name in _STRANGE_TYPES)})))
FROM pg_catalog.pg_proc p
WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND p.oid < 16384
GROUP BY p.proname
"""  # noqa: S608 -- of constants
"""Every function that came with the server, by name, and whether the catalogue calls it pure."""


def opaque(name: str) -> str:
    """Why no policy can allow a function of this name in whatever schema; empty when one can."""
    if name in OPAQUE:
        return OPAQUE[name]
    for begins, ends, reason in _OPAQUE_FORMS:
        if name.startswith(begins) and name.endswith(ends):
            return reason
    return ""


def pure_names(servers: Iterable[Iterable[tuple[str, bool]]]) -> frozenset[str]:
    """The pure names of all these servers together: one doubt on one server is enough.

    Args:
        servers: What `FUNCTION_QUERY` answered on each.
    """
    good: set[str] = set()
    bad: set[str] = set()
    for functions in servers:
        for name, pure in functions:
            (good if _is_pure(name, pure) else bad).add(name)
    return frozenset(good - bad)


def _is_pure(name: str, by_catalogue: bool) -> bool:  # noqa: FBT001 -- a row of the query
    if name in ALSO_PURE:
        return True
    kept = name.startswith(KEPT_BACK) and name not in _NOT_KEPT
    return by_catalogue and not kept and not name.endswith(_SUFFIXES_KEPT_BACK) and not opaque(name)
