"""What an enforcement point asks in tests, and what of it is on record."""

from callpoint.domain import event as ev
from callpoint.domain.evaluation import Answer, Entity, Evaluation, Semantic, Verb
from callpoint.lifecycle.evaluations import Evaluations
from tests.fakes.invariants import told
from tests.fakes.world import World

ROLE = Entity("target_role", "orders-db:repair")
ALICE = Entity("human", "alice")
DAVE = Entity("human", "dave")
ERIN = Entity("human", "erin")
NOBODY = Entity("human", "mallory")


def about(action: str, resource: Entity, who: Entity = ALICE, **context: object) -> Evaluation:
    """May alice do this?"""
    return Evaluation(who, Verb(action), resource, context)


async def ask(world: World, asked: Evaluation, asker: str = "erin") -> Answer:
    """One answer; erin is security and may ask about everybody."""
    answers = await Evaluations(world.services).evaluate(
        world.caller(asker), [asked], Semantic.EXECUTE_ALL
    )
    assert len(answers) == 1
    return answers[0]


def made(world: World) -> list[ev.DecisionMade]:
    """What went on record."""
    return told(world.store.state, ev.DecisionMade)
