"""Searches of enforcement points: exactly what an evaluation would allow, page by page."""

import msgspec
import pytest

from callpoint.domain import event as ev
from callpoint.domain.decision import Action
from callpoint.domain.errors import DeniedError
from callpoint.domain.evaluation import Entity, Evaluation, Page, Search, Sought, Verb
from callpoint.lifecycle.evaluations import CANDIDATES, Evaluations
from tests.fakes.asking import ALICE, NOBODY, ROLE, about, ask
from tests.fakes.invariants import told
from tests.fakes.world import INSTALLATION, World, make_world

CONTEXT = {"eligibility": "orders-repair"}


async def find(world: World, search: Search, asker: str = "erin") -> Page:
    """One page."""
    return await Evaluations(world.services).search(world.caller(asker), search)


async def all_pages(world: World, search: Search) -> list[str]:
    """Every page after the other."""
    names: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await find(world, msgspec.structs.replace(search, after=after))
        names += page.names
        after = page.after
    return names


async def test_a_search_finds_exactly_what_would_be_answered_yes():
    """Subjects, resources and actions, page by page, are those that an evaluation allows."""
    world = await make_world()
    await world.incident()
    found, other = await world.ask(), await world.active()
    humans, roles = sorted(world.bundle.configuration.principals), ["orders-db:read", ROLE.id]
    vote = about("activation:approve", Entity("activation", found.id), Entity("human"))
    request = about("activation:request", Entity("target_role"), incident="inc-7")
    request = msgspec.structs.replace(request, context={**CONTEXT, "incident": "inc-7"})
    reveal = about("credential:reveal", Entity("activation"))
    free = Evaluation(ALICE, Verb(), Entity("activation", other.id))
    cases: list[tuple[Search, list[str], list[str]]] = [
        (Search(Sought.SUBJECT, vote, limit=1), humans, ["bob", "carol", "dave"]),
        (Search(Sought.RESOURCE, request, limit=1), roles, [ROLE.id]),
        (Search(Sought.RESOURCE, reveal), [found.id, other.id], [other.id]),
        (
            Search(Sought.ACTION, free),
            [str(a) for a in Action],
            ["activation:view", "credential:reveal"],
        ),
    ]
    for search, names, expected in cases:
        assert await all_pages(world, search) == expected
        one_by_one = [n for n in names if (await ask(world, search.with_name(n))).allowed]
        assert one_by_one == expected
    searched = told(world.store.state, ev.DecisionsSearched)
    assert [name for event in searched for name in event.found] == [n for *_, e in cases for n in e]


async def test_a_search_for_what_is_not_known_finds_nothing():
    """Unknown types, names and actions give an empty page."""
    world = await make_world()
    strange = [
        Search(Sought.SUBJECT, about("log:read", ROLE, Entity("user"))),
        Search(Sought.RESOURCE, about("log:read", Entity("bucket"))),
        Search(Sought.RESOURCE, about("sql:select", Entity("activation"))),
        Search(Sought.ACTION, Evaluation(NOBODY, Verb(), ROLE)),
    ]
    for search in strange:
        assert await find(world, search) == Page(names=())


async def test_a_page_looks_at_a_bounded_number():
    """Of many names one page looks at some, may find none, and says that more follow."""
    world = await make_world()
    rules = await world.services.rules.current()
    one = rules.configuration.principals["fixer"]
    many = {f"agent-{n:03}": msgspec.structs.replace(one, id=f"agent-{n:03}") for n in range(250)}
    rules.configuration.principals.update(many)
    whole = Entity("installation", INSTALLATION)
    search = Search(Sought.SUBJECT, about("log:read", whole, Entity("agent")))
    page = await find(world, search)
    assert page == Page(names=(), after=f"agent-{CANDIDATES - 1:03}")
    assert await all_pages(world, search) == []
    assert [e.considered for e in told(world.store.state, ev.DecisionsSearched)][:1] == [CANDIDATES]


async def test_who_can_is_a_question_about_others():
    """Nobody but the trusted may search for subjects; for itself everybody may search."""
    world = await make_world()
    whole = Entity("installation", INSTALLATION)
    with pytest.raises(DeniedError):
        await find(
            world, Search(Sought.SUBJECT, about("log:read", whole, Entity("human"))), "alice"
        )
    own = Search(Sought.ACTION, Evaluation(ALICE, Verb(), whole))
    assert (await find(world, own, "alice")).names == ("incident:declare",)
