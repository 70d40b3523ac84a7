"""The walk over the whole tree of a statement: every message in every field, or refused.

A rule sees a node before its children. What it returns are the names of fields that it dealt with;
every other field is walked all the same, so what a rule forgets is not lost. A node without a rule
is refused.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from postgast import pg_query_pb2 as pb

from callpoint.domain.errors import DeniedError
from callpoint.gateways.postgres.sql.access import (
    Access,
    Binding,
    BindingKind,
    Classified,
    Verb,
)
from callpoint.gateways.postgres.sql.effects import also
from callpoint.gateways.postgres.sql.names import Resolver, check_name, check_place
from callpoint.gateways.postgres.sql.session import Session

Node = Any
"""A message of libpg_query's protobuf; its base class has no types."""

NOTHING: Collection[str] = ()

_MESSAGE = 11  # FieldDescriptor.TYPE_MESSAGE


@dataclass(slots=True)
class Walk:
    """One statement being read.

    Attributes:
        rules: By class of the node.
        resolver: What names mean.
        session: What was prepared and opened before this statement.
        again: Reads another text (what a prepared name stands for).
        text: The statement's own text.
    """

    rules: "Mapping[type[Node], Rule]"
    resolver: Resolver
    session: Session
    again: Callable[[str], Classified]
    text: str
    accesses: set[Access] = field(default_factory=set)
    bindings: list[Binding] = field(default_factory=list)
    alters_catalogue: bool = False
    of_the_session: bool = False
    _ctes: set[str] = field(default_factory=set)
    _sources: set[str] = field(default_factory=set)
    _locks: bool = False

    def visit(self, node: Node) -> None:
        """Read a node and everything below it.

        Raises:
            DeniedError: It may do what cannot be decided.
        """
        rule = self.rules.get(type(node))
        if rule is None:
            raise refused_node(node)
        if rule is walk_on and type(node) is pb.Node:
            # Every second message: of all its fields one is set (test_sql_rules.py sees to it).
            which = node.WhichOneof("node")
            if which is not None:
                self.visit(getattr(node, which))
            return
        done = rule(self, node) if rule is not walk_on else NOTHING
        for descriptor, value in node.ListFields():
            if descriptor.type == _MESSAGE and descriptor.name not in done:
                for child in (value,) if hasattr(value, "ListFields") else value:
                    self.visit(child)

    def finish(self) -> None:
        """Decide what could only be known at the end of the statement."""
        for name in sorted(self._sources):
            is_cte = name in self._ctes
            # A CTE hides a table in its scope only; scopes are not followed, so both count.
            if not is_cte or self.resolver.is_relation(name):
                self.use(Verb.SELECT, self.resolver.relation([name]))
        if self._locks:
            read = [one for one in self.accesses if one.verb is Verb.SELECT]
            self.accesses.update(Access(Verb.LOCK, one.schema, one.name) for one in read)
        verbs = {one.verb for one in self.accesses}
        if Verb.SET in verbs and (
            self.alters_catalogue or any(v.startswith("ddl:") for v in verbs)
        ):
            # Whoever reads the view later, or gets the default, would have their settings changed.
            raise refused("set_config in what stays", "send it as a statement of its own")
        self.accesses = also(self.resolver.catalogue.effects, self.accesses)
        for one in self.accesses:
            check_place(one)

    def use(self, verb: Verb, place: tuple[str, str]) -> None:
        """Note one access."""
        self.accesses.add(Access(verb, *place))

    def use_database(self, verb: Verb) -> None:
        """Note what has no object but the database."""
        self.use(verb, ("", self.resolver.catalogue.database))

    def use_all(self, accesses: Iterable[Access]) -> None:
        """Note several."""
        self.accesses.update(accesses)

    def source(self, relation: pb.RangeVar) -> None:
        """Note what stands where a query reads: a relation or a CTE."""
        parts = self.relation_parts(relation)
        if len(parts) == 1:
            self._sources.add(parts[0])
        else:
            self.use(Verb.SELECT, self.resolver.relation(parts))

    def target(self, verb: Verb, relation: pb.RangeVar) -> None:
        """Note what is written; a CTE of that name never stands in for it."""
        self.use(verb, self.resolver.relation(self.relation_parts(relation)))

    def created(self, verb: Verb, relation: pb.RangeVar) -> None:
        """Note what is made."""
        self.alters_catalogue = True
        self.use(verb, self.resolver.created(self.relation_parts(relation)))

    def cte(self, name: str) -> None:
        """Note the name of a CTE."""
        self._ctes.add(name)

    def locks(self) -> None:
        """Note that rows of what the statement reads are locked."""
        self._locks = True

    def bound(self, kind: BindingKind, name: str) -> None:
        """Note that this statement's text gets a name."""
        check_name(name)
        self.bindings.append(Binding(kind, name, self.text))

    def run(self, kind: BindingKind, name: str) -> None:
        """Note everything that a name of the session can stand for.

        Raises:
            DeniedError: Nothing was given that name through this gateway.
        """
        self.of_the_session = True
        check_name(name)
        for text in sorted(self.session.called(kind, name)):
            if text != self.text:  # a prepared EXECUTE of itself: the server refuses it
                inner = self.again(text)
                self.use_all(inner.accesses)
                self.bindings.extend(inner.bindings)
                self.alters_catalogue |= inner.alters_catalogue

    def relation_parts(self, relation: pb.RangeVar) -> list[str]:
        """A relation's name in parts.

        Raises:
            DeniedError: It is temporary, or in another database.
        """
        if relation.relpersistence == "t":
            raise DeniedError(
                "temporary objects are not made through a gateway: they hide others of their name",
                way_out="use a CTE, or a table in a schema that you may write to",
            )
        if relation.catalogname and relation.catalogname != self.resolver.catalogue.database:
            raise DeniedError(f"{relation.catalogname} is another database", way_out="leave it out")
        return [part for part in (relation.schemaname, relation.relname) if part]


Rule = Callable[[Walk, Any], Collection[str]]


def walk_on(_walk: Walk, _node: Node) -> Collection[str]:
    """The rule of a node that does nothing by itself."""
    return NOTHING


def strings(nodes: Iterable[pb.Node]) -> list[str]:
    """The names in a list of String nodes.

    Raises:
        DeniedError: Something else is among them.
    """
    names = []
    for node in nodes:
        if node.WhichOneof("node") != "string":
            raise refused_node(node)
        names.append(node.string.sval)
    return names


def options(
    walk: Walk, nodes: Iterable[pb.Node], allowed: Collection[str], of: str
) -> Mapping[str, pb.Node]:
    """Options by name (`WITH (…)`), their values walked.

    Raises:
        DeniedError: One is not on the list.
    """
    found: dict[str, pb.Node] = {}
    for node in nodes:
        option = node.def_elem
        if node.WhichOneof("node") != "def_elem" or option.defnamespace:
            raise refused(f"an option of {of} that is not on the list")
        if option.defname not in allowed:
            raise refused(f"the option {option.defname} of {of}")
        if option.HasField("arg"):
            walk.visit(option.arg)
        found[option.defname] = option.arg
    return found


def refused(what: str, way_out: str = "") -> DeniedError:
    """A statement that does what cannot be decided."""
    return DeniedError(
        f"{what} is never allowed through a gateway",
        way_out=way_out or "docs/gateways/postgres.md lists what is",
    )


def refused_node(node: Node) -> DeniedError:
    """A node without a rule."""
    return refused(describe(type(node).__name__))


def describe(kind: str) -> str:
    """A node's class in the words of SQL: `AlterRoleStmt` is `ALTER ROLE`."""
    if not kind.endswith("Stmt"):
        return kind
    words = "".join(f" {c}" if c.isupper() else c for c in kind.removesuffix("Stmt"))
    return words.strip().upper()


def only(value: str, allowed: Sequence[str], what: str) -> None:
    """Refuse a value that is not on the list."""
    if value not in allowed:
        raise refused(f"{what} {value}")
