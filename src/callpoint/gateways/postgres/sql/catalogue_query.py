"""The one query that reads what must be known of a server, and the one that tells if it changed.

Both are read in the session that is classified: it alone sees what it did not commit. Every column
is text, so the rows may come from any driver or straight from the wire. Names are qualified and the
operators are pg_catalog's, which the pinned path looks into first.
"""

from collections.abc import Iterable, Sequence

from callpoint.domain.errors import TargetError
from callpoint.gateways.postgres.sql.effects import EffectRow
from callpoint.gateways.postgres.sql.facts import Catalogue, Row

_SEEN = "n.nspname::text !~ '^pg_(toast|temp)'"

_WITH_A_SCHEMA = {
    "pg_class": "relnamespace",
    "pg_proc": "pronamespace",
    "pg_operator": "oprnamespace",
    "pg_type": "typnamespace",
    "pg_constraint": "connamespace",
}
_STATES = " UNION ALL ".join(
    [
        # A row that is written anew has a new xmin, so the row of a replaced view counts as well.
        f"SELECT 'schema', n.oid, n.xmin FROM pg_catalog.pg_namespace n WHERE {_SEEN}",  # noqa: S608 -- of constants
        "SELECT 'rule', r.oid, r.xmin FROM pg_catalog.pg_rewrite r WHERE r.oid >= 16384",
        "SELECT 'child', i.inhrelid, i.xmin FROM pg_catalog.pg_inherits i",
        *(
            f"SELECT '{table}', t.oid, t.xmin FROM pg_catalog.{table} t"  # noqa: S608 -- of constants
            f" JOIN pg_catalog.pg_namespace n ON n.oid = t.{schema}"
            f" WHERE t.oid >= 16384 AND {_SEEN}"
            for table, schema in _WITH_A_SCHEMA.items()
        ),
    ]
)

VERSION_QUERY = f"""
SELECT pg_catalog.md5(pg_catalog.concat_ws(' ',
  pg_catalog.current_database(), pg_catalog.current_setting('server_version_num'),
  pg_catalog.current_setting('server_encoding'),
  pg_catalog.count(*),
  pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat_ws(' ', s.kind, s.oid, s.xmin), 0))))
FROM ({_STATES}) AS s (kind, oid, xmin)
"""  # noqa: S608 -- of constants
"""One text. It differs from ``Catalogue.version`` when anything that the facts are made of did."""

CATALOGUE_QUERY = f"""
SELECT 'version', ({VERSION_QUERY}), '', '', '', ''
UNION ALL
SELECT 'database', pg_catalog.current_database()::text,
  pg_catalog.current_setting('server_encoding'), '', '', ''
UNION ALL
SELECT 'relation', n.nspname::text, c.relname::text, (c.oid >= 16384)::text, '', ''
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind <> 'c' AND {_SEEN}
UNION ALL
SELECT 'function', n.nspname::text, p.proname::text,
  pg_catalog.bool_or(p.oid >= 16384)::text, '', ''
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE {_SEEN} GROUP BY 2, 3
UNION ALL
SELECT 'operator', n.nspname::text, o.oprname::text,
  pg_catalog.bool_or(o.oid >= 16384)::text, '', ''
FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
WHERE {_SEEN} GROUP BY 2, 3
UNION ALL
SELECT 'type', n.nspname::text, t.typname::text, (t.oid >= 16384)::text, t.oid::text, ''
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE {_SEEN}
UNION ALL
SELECT e.why, n.nspname::text, c.relname::text, m.nspname::text, b.relname::text, e.how
FROM (
  SELECT DISTINCT CASE r.ev_type WHEN '1' THEN 'view' ELSE 'rule' END, r.ev_class, d.refobjid,
    r.ev_type::text
  FROM pg_catalog.pg_rewrite r
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
    AND d.objid = r.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refobjid <> r.ev_class
  WHERE r.oid >= 16384
  UNION ALL
  SELECT 'key', k.confrelid, k.conrelid, k.confdeltype::text || k.confupdtype::text
  FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class f ON f.oid = k.conrelid
  WHERE k.contype = 'f' AND NOT (f.relispartition AND k.conparentid <> 0)
  UNION ALL
  SELECT 'child', i.inhparent, i.inhrelid, ''
  FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
  WHERE p.relkind IN ('r', 'f')
) AS e (why, of, onto, how)
JOIN pg_catalog.pg_class c ON c.oid = e.of
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class b ON b.oid = e.onto
JOIN pg_catalog.pg_namespace m ON m.oid = b.relnamespace
"""  # noqa: S608 -- of constants
"""Six columns of text, some thousand rows; about 20 ms on an idle server."""

_COLUMNS = 6
_EFFECTS = ("view", "rule", "key", "child")


def catalogue_of(rows: Iterable[Sequence[str | None]]) -> Catalogue:
    """The facts, from what `CATALOGUE_QUERY` answered.

    Raises:
        TargetError: The rows are not the answer to that query, or not all of it.
    """
    single: dict[str, tuple[str, str]] = {}
    named: dict[str, list[Row]] = {"relation": [], "function": [], "operator": [], "type": []}
    type_oids: dict[int, tuple[str, str]] = {}
    effects: list[EffectRow] = []
    for row in rows:
        kind, first, second, third, fourth, fifth = _texts(row)
        if kind in ("version", "database"):
            single[kind] = (first, second)
        elif kind in named:
            named[kind].append((first, second, third == "true"))
            if kind == "type":
                type_oids[int(fourth)] = (first, second)
        elif kind in _EFFECTS:
            effects.append((kind, (first, second), (third, fourth), fifth))
        else:
            raise _incomplete(f"a row of kind {kind!r}")
    if len(single) != 2:  # noqa: PLR2004 -- both of the kinds above
        raise _incomplete("the database's own row is missing")
    return Catalogue.of(
        single["database"],
        version=single["version"][0],
        relations=named["relation"],
        functions=named["function"],
        operators=named["operator"],
        types=named["type"],
        type_oids=type_oids,
        effects=effects,
    )


def _texts(row: Sequence[str | None]) -> Sequence[str]:
    if len(row) != _COLUMNS or not all(isinstance(value, str) for value in row):
        raise _incomplete(f"a row of {len(row)} columns, or with a value that is no text")
    return [value or "" for value in row]


def _incomplete(what: str) -> TargetError:
    return TargetError(
        f"the target's catalogue was not read whole: {what}",
        way_out="send CATALOGUE_QUERY as it is, and pass on all rows as text",
    )
