"""What a name in a statement can mean, by the facts and the pinned search path.

Relations and types: one candidate, or refused. Functions and operators: every candidate, because
which overload is called depends on types that the text does not show.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from callpoint.domain.errors import DeniedError
from callpoint.gateways.postgres.sql.access import Access, Verb
from callpoint.gateways.postgres.sql.facts import SERVER_SCHEMA, Catalogue, Names, Pins
from callpoint.gateways.postgres.sql.own_names import PURE_FUNCTIONS
from callpoint.gateways.postgres.sql.purity import INSPECTING, opaque

_LONGEST_NAME = 62  # bytes; PostgreSQL cuts longer ones (NAMEDATALEN), so that they mean others
_MOST_PARTS = 2
_OF_THE_SERVER = (Verb.SELECT, Verb.COPY_OUT, Verb.EXECUTE, Verb.INSPECT, Verb.USAGE)
_NOT_SEEN = ("pg_temp", "pg_toast")


@dataclass(frozen=True, slots=True)
class Resolver:
    """Names to objects.

    Attributes:
        catalogue: What the server has.
        pins: Where the session looks.
    """

    catalogue: Catalogue
    pins: Pins

    def relation(self, parts: Sequence[str], *, or_new: bool = False) -> tuple[str, str]:
        """The one relation (table, view, index, sequence) that a name means.

        Args:
            parts: The name, with its schema or without.
            or_new: One that does not exist may be meant.

        Raises:
            DeniedError: None or several.
        """
        schema, name = split(parts)
        found = self.catalogue.relations.get(name, {})
        if schema:
            if schema in found or or_new:
                return schema, name
        else:
            seen = [place for place in self.pins.looked_into if place in found]
            if len(seen) == 1:
                return seen[0], name
            if len(seen) > 1:
                raise unclear("table", name, seen)
            if or_new:
                return self._first(name), name
        raise unknown("table", parts)

    def created(self, parts: Sequence[str]) -> tuple[str, str]:
        """Where an object of this name would be made.

        Raises:
            DeniedError: The path has several schemas where it may be.
        """
        schema, name = split(parts)
        return schema or self._first(name), name

    def _first(self, name: str) -> str:
        # PostgreSQL skips schemas that are missing or that its user may not look into.
        if len(self.pins.path) > 1:
            raise unclear("place of", name, self.pins.path)
        return self.pins.path[0]

    def is_relation(self, name: str) -> bool:
        """Whether an unqualified name is one anywhere on the path."""
        return any(s in self.catalogue.relations.get(name, {}) for s in self.pins.looked_into)

    def type(self, parts: Sequence[str]) -> Iterator[Access]:
        """The use of a type: nothing for the server's own, whose input runs no code of users.

        Raises:
            DeniedError: None or several.
        """
        schema, name = split(parts)
        places = self._places(self.catalogue.types, schema, name)
        if not places:
            raise unknown("type", parts)
        if len(places) > 1:
            raise unclear("type", name, [place for place, _ in places])
        yield from (Access(Verb.USAGE, place, name) for place, of_users in places if of_users)

    def call(self, parts: Sequence[str]) -> Iterator[Access]:
        """Everything that `name(…)` can run: functions, and casts to a type of that name.

        Raises:
            DeniedError: Nothing has that name, or what has it can never be allowed.
        """
        schema, name = split(parts)
        found = [*self._functions(schema, name), *self._casts(schema, name)]
        if not found and not self._is_known(schema, name):
            raise unknown("function", parts)
        yield from found

    def is_the_servers_alone(self, parts: Sequence[str]) -> bool:
        """Whether `name(…)` can be nothing but a function of the server's own."""
        schema, name = split(parts)
        facts = self.catalogue
        return self._places(facts.functions, schema, name) == [(SERVER_SCHEMA, False)] and (
            not self._places(facts.types, schema, name)
        )

    def perhaps_call(self, name: str) -> Iterator[Access]:
        """Everything that `x.name` can run, if it is no column.

        PostgreSQL takes `x.f` for `f(x)`, and for a cast, where `x` has no column `f`.

        Raises:
            DeniedError: What has that name can never be allowed.
        """
        check_name(name)
        yield from self._functions("", name)
        yield from self._casts("", name)

    def operator(self, parts: Sequence[str]) -> Iterator[Access]:
        """Everything that an operator can run; the server's own run nothing of users.

        Raises:
            DeniedError: Nothing has that name.
        """
        schema, name = split(parts)
        places = self._places(self.catalogue.operators, schema, name)
        if not places:
            raise unknown("operator", parts)
        yield from (Access(Verb.EXECUTE, place, name) for place, of_users in places if of_users)

    def _functions(self, schema: str, name: str) -> Iterator[Access]:
        for place, of_users in self._places(self.catalogue.functions, schema, name):
            reason = opaque(name)
            if reason:
                raise DeniedError(
                    f"{name} is never allowed: it {reason}",
                    way_out="ask for the tables themselves in SQL",
                )
            if of_users or place != SERVER_SCHEMA:
                yield Access(Verb.EXECUTE, place, name)
            elif name not in PURE_FUNCTIONS:
                yield Access(Verb.INSPECT if name in INSPECTING else Verb.EXECUTE, place, name)

    def _casts(self, schema: str, name: str) -> Iterator[Access]:
        for place, of_users in self._places(self.catalogue.types, schema, name):
            if of_users:
                yield Access(Verb.USAGE, place, name)

    def _is_known(self, schema: str, name: str) -> bool:
        facts = self.catalogue
        return bool(
            self._places(facts.functions, schema, name) or self._places(facts.types, schema, name)
        )

    def _places(self, names: Names, schema: str, name: str) -> list[tuple[str, bool]]:
        found = names.get(name)
        if not found:
            return []
        looked_into = (schema,) if schema else self.pins.looked_into
        return [(place, found[place]) for place in looked_into if place in found]


def split(parts: Sequence[str]) -> tuple[str, str]:
    """Schema (empty if none) and name.

    Raises:
        DeniedError: More parts, a part too long, or a schema that no policy can speak about.
    """
    if not 1 <= len(parts) <= _MOST_PARTS:
        raise DeniedError(
            f"{'.'.join(parts)} names a database", way_out="write it as schema.name at most"
        )
    for part in parts:
        check_name(part)
    schema = parts[0] if len(parts) == _MOST_PARTS else ""
    if schema.startswith(_NOT_SEEN):
        raise DeniedError(f"nothing in {schema} is used by name", way_out="name the table itself")
    return schema, parts[-1]


def check_name(name: str) -> None:
    """Refuse what PostgreSQL would cut, and with it take for another name."""
    if len(name.encode()) > _LONGEST_NAME:
        raise DeniedError(
            f"the name {name[:20]}… is longer than {_LONGEST_NAME} bytes",
            way_out="names of 63 bytes and more cannot be used through the gateway",
        )


def check_place(access: Access) -> None:
    """Refuse to change what is the server's own, also through a view of users.

    Superusers can write catalogues, and anybody can write `pg_settings`: an UPDATE there is a SET.
    """
    if access.verb in _OF_THE_SERVER:
        return
    if access.schema.startswith("pg_") or access.schema == "information_schema":
        raise DeniedError(
            f"nothing in {access.schema} is changed through a gateway ({access})",
            way_out="name what belongs to the application; settings are changed with SET",
        )


def unknown(kind: str, parts: Sequence[str]) -> DeniedError:
    """Nothing has this name."""
    return DeniedError(
        f"there is no {kind} {'.'.join(parts)} on the search path",
        way_out="check the spelling, or name the schema",
    )


def unclear(kind: str, name: str, places: Sequence[str]) -> DeniedError:
    """Several have this name."""
    return DeniedError(
        f"the {kind} {name} is in {' and '.join(places)}", way_out="name the schema that you mean"
    )
