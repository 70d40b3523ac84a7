"""What the server does to other tables by itself when a statement touches one.

The text does not show it, the catalogue does: a view is written through to its tables, a foreign
key deletes or changes the rows that refer, a table's children go with it, a rule writes somewhere
else. Each of these tables is asked for as if the statement named it. Partitions are not: they are
parts of one table. What only code knows (triggers, functions) stays unknown.
"""

from collections.abc import Iterable, Mapping

from callpoint.domain.errors import TargetError
from callpoint.gateways.postgres.sql.access import Access, Verb

Place = tuple[str, str]
"""Schema and name."""

EffectRow = tuple[str, Place, Place, str]
"""Why (`view`, `rule`, `key`, `child`), of which relation, onto which, and how (see below)."""

Effects = Mapping[Place, Mapping[Verb, frozenset[Access]]]
"""By relation and what is done to it: what is done as well."""

_WRITES = (Verb.INSERT, Verb.UPDATE, Verb.DELETE)
_THROUGH_A_VIEW = (*_WRITES, Verb.LOCK)
_WITH_CHILDREN = (
    Verb.SELECT, Verb.UPDATE, Verb.DELETE, Verb.TRUNCATE, Verb.LOCK, Verb.ALTER_TABLE, Verb.REWRITE,
    Verb.RENAME,
)  # fmt: skip
_RULE_EVENTS = {"2": Verb.UPDATE, "3": Verb.INSERT, "4": Verb.DELETE}  # pg_rewrite.ev_type
_KEY_ACTIONS = ("c", "n", "d")  # CASCADE, SET NULL, SET DEFAULT of pg_constraint


def effects_of(rows: Iterable[EffectRow]) -> Effects:
    """One step each; `also` follows them.

    Args:
        rows: With `how` as the catalogue has it: for a rule its `ev_type`, for a key its
            `confdeltype` and `confupdtype`.

    Raises:
        TargetError: A row is of no known kind.
    """
    found: dict[Place, dict[Verb, frozenset[Access]]] = {}
    for why, of, onto, how in rows:
        for cause, done in _steps(why, how):
            verbs = found.setdefault(of, {})
            verbs[cause] = verbs.get(cause, frozenset()) | {Access(done, *onto)}
    return found


def also(effects: Effects, accesses: Iterable[Access]) -> set[Access]:
    """These accesses and everything that follows from them."""
    found = set(accesses)
    ahead = list(found)
    while ahead:
        one = ahead.pop()
        new = effects.get((one.schema, one.name), {}).get(one.verb, frozenset()) - found
        found |= new
        ahead += new
    return found


def _steps(why: str, how: str) -> Iterable[tuple[Verb, Verb]]:
    match why:
        case "view":
            return [(verb, verb) for verb in _THROUGH_A_VIEW]
        case "child":
            return [(verb, verb) for verb in _WITH_CHILDREN]
        case "rule" if how in _RULE_EVENTS:
            # What a rule does with a table that it names is not in the catalogue but as a tree.
            return [(_RULE_EVENTS[how], done) for done in (*_WRITES, Verb.SELECT)]
        case "key" if len(how) == 2:  # noqa: PLR2004 -- on delete, on update
            rewritten = (Verb.REWRITE, Verb.ALTER_TABLE)
            return [rewritten, *_on_delete(how[0]), *_on_update(how[1])]
        case _:
            raise TargetError(
                f"the target's catalogue has an effect {why!r} that is not known here",
                way_out="update Callpoint before the server",
            )


def _on_delete(action: str) -> Iterable[tuple[Verb, Verb]]:
    if action in _KEY_ACTIONS:
        yield Verb.DELETE, Verb.DELETE if action == "c" else Verb.UPDATE


def _on_update(action: str) -> Iterable[tuple[Verb, Verb]]:
    if action in _KEY_ACTIONS:
        yield Verb.UPDATE, Verb.UPDATE
