"""A catalogue without a server: what PostgreSQL 15 has, as far as the tests of SQL speak of it."""

from callpoint.gateways.postgres.sql.classify import Classifier
from callpoint.gateways.postgres.sql.facts import Catalogue, Pins
from callpoint.gateways.postgres.sql.own_names import PURE_FUNCTIONS
from callpoint.gateways.postgres.sql.session import Session

DATABASE = "orders"

_RELATIONS = (
    *(("public", name) for name in ("items", "orders", "stock", "v", "items_id_seq", "items_key")),
    *(("hr", name) for name in ("salaries", "people")),
    *(("pg_catalog", name) for name in ("pg_class", "pg_authid", "pg_stat_activity")),
    ("public", "Odd.name"),
    ("public", "pg_stat_activity"),
)
_IMPURE = (
    "pg_get_viewdef", "pg_table_is_visible",
    "pg_sleep", "nextval", "setval", "currval", "pg_terminate_backend", "pg_read_file",
    "pg_stat_file", "pg_ls_dir", "lo_import", "lo_export", "lo_get", "set_config", "query_to_xml",
    "table_to_xml", "ts_stat", "pg_notify", "pg_advisory_lock", "pg_reload_conf",
)  # fmt: skip
_FUNCTIONS = (
    *(("pg_catalog", name, False) for name in (*PURE_FUNCTIONS, *_IMPURE)),
    ("public", "bad", True),
    ("public", "lower", True),  # an overload beside the server's own
    ("public", "json_scalar", True),
    ("public", "json_object", True),
    ("hr", "pay", True),
    ("hr", "set_config", True),
    ("public", "dblink_exec", True),
    ("public", "crosstab", True),
)
_TYPES = (
    *(
        ("pg_catalog", name, False)
        for name in (
            "int4", "int8", "int2", "text", "varchar", "bpchar", "bool", "float8", "numeric",
            "regclass", "json", "jsonb", "timestamptz", "date", "interval", "name", "oid", "xml",
        )
    ),
    ("public", "dom", True),
    ("public", "status", True),
    ("public", "items", True),
)  # fmt: skip
_OPERATORS = (
    *(
        ("pg_catalog", name, False)
        for name in (
            "+", "-", "*", "/", "%", "=", "<>", "<", ">", "<=", ">=", "||", "~", "~~", "!~~",
            "~~*", "->", "->>", "@>", "&&",
        )
    ),
    ("public", "===", True),
    ("hr", "<", True),
    ("hr", "=", True),
)  # fmt: skip


def catalogue(*, encoding: str = "UTF8") -> Catalogue:
    """The whole of it."""
    return Catalogue.of(
        (DATABASE, encoding),
        relations=[(schema, name, schema != "pg_catalog") for schema, name in _RELATIONS],
        functions=_FUNCTIONS,
        operators=_OPERATORS,
        types=_TYPES,
    )


def classifier(*path: str) -> Classifier:
    """Over that catalogue and this path (`public` if none is given)."""
    return Classifier(catalogue(), Pins(path or ("public",)))


def asked(text: str, *path: str, session: Session | None = None) -> set[str]:
    """What a text asks for, in words: `sql:select public.items`."""
    found = classifier(*path).classify(text, session or Session())
    return {str(access) for access in found.accesses}
