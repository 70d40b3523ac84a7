"""What must be known of a server to know what a name means: its catalogue and the pinned path."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from callpoint.domain.errors import RequestError, TargetError
from callpoint.gateways.postgres.sql.effects import EffectRow, Effects, Place, effects_of

SERVER_SCHEMA = "pg_catalog"
Row = tuple[str, str, bool]
"""Schema, name, and whether it is not the server's own."""

Names = Mapping[str, Mapping[str, bool]]
"""By name, then by schema: whether it is not the server's own."""

_MUST_HAVE = ("pg_sleep", "lower", "nextval")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a database has; `catalogue_query.catalogue_of` builds it from a server's answer.

    Attributes:
        database: Its name.
        utf8: Whether its encoding is UTF8.
        version: What `VERSION_QUERY` answers as long as these facts are true.
        relations: Tables, views, indexes, sequences.
        functions: Of every kind, one for all overloads.
        operators: Likewise.
        types: Also the row types of tables.
        type_oids: Types by object identifier, as the protocol's Parse names them.
        effects: What the server does by itself.
    """

    database: str
    utf8: bool
    version: str
    relations: Names
    functions: Names
    operators: Names
    types: Names
    type_oids: Mapping[int, Place]
    effects: Effects

    @classmethod
    def of(
        cls,
        database: tuple[str, str],
        *,
        version: str = "",
        relations: Iterable[Row],
        functions: Iterable[Row],
        operators: Iterable[Row],
        types: Iterable[Row],
        type_oids: Mapping[int, Place] | None = None,
        effects: Iterable[EffectRow] = (),
    ) -> Self:
        """From rows.

        Raises:
            TargetError: The server's own functions are missing: a call that the text only shows as
                a dotted name (`x.pg_sleep`) would be taken for a column.
        """
        made = cls(
            database=database[0],
            utf8=database[1].upper() == "UTF8",
            version=version,
            relations=_by_name(relations),
            functions=_by_name(functions),
            operators=_by_name(operators),
            types=_by_name(types),
            type_oids=type_oids or {},
            effects=effects_of(effects),
        )
        if any(SERVER_SCHEMA not in made.functions.get(name, {}) for name in _MUST_HAVE):
            raise TargetError(
                "the target's catalogue was not read whole: its own functions are missing",
                way_out="let the gateway's account read pg_catalog",
            )
        return made


@dataclass(frozen=True, slots=True)
class Pins:
    """The search path of a session; whoever uses the classifier must hold it so.

    Attributes:
        path: Schemas in order. The server looks into `pg_catalog` before and into the temporary
            schema after them; neither may be listed, which would make it the place where objects
            are created.
    """

    path: tuple[str, ...] = ("public",)

    def __post_init__(self) -> None:
        for schema in self.path:
            if not schema or schema.startswith("pg_") or len(schema.encode()) > 62:  # noqa: PLR2004
                raise RequestError(
                    f"{schema!r} cannot be in the search path of a gateway",
                    way_out="name ordinary schemas of at most 62 bytes",
                )
        if not self.path:
            raise RequestError("the search path of a gateway is empty", way_out="name a schema")

    @property
    def setting(self) -> str:
        """The value of `search_path` that the session must have."""
        quoted = ['"' + schema.replace('"', '""') + '"' for schema in self.path]
        return ", ".join([*quoted, "pg_temp"])

    @property
    def looked_into(self) -> tuple[str, ...]:
        """Every schema where an unqualified name is looked for."""
        return (SERVER_SCHEMA, *self.path)


def _by_name(rows: Iterable[Row]) -> Names:
    found: dict[str, dict[str, bool]] = {}
    for schema, name, of_users in rows:
        found.setdefault(name, {})[schema] = of_users
    return found
