"""Whole stories whose decisions tests decide again."""

from datetime import timedelta

from callpoint.audit.entry import parse_entry, parse_time
from callpoint.domain import event as ev
from callpoint.domain.approval import Verdict
from callpoint.domain.errors import DeniedError
from callpoint.domain.evaluation import Entity
from callpoint.domain.event import AnyEvent
from callpoint.domain.governance import Bundle
from callpoint.domain.review import Judgement, ReviewVerdict
from callpoint.domain.token import Binding, certificate_thumbprint, confirmation
from callpoint.lifecycle import give_back, review
from callpoint.lifecycle.exchange import Wish, exchange
from callpoint.lifecycle.proof import checkpoint_line, newest_checkpoint
from callpoint.policy.replay.replaying import Outcome, Replay, Rules
from tests.fakes.asking import ROLE, about, ask
from tests.fakes.token_desk import make_desk
from tests.fakes.world import World

STORY = {
    "access:refused": 2,
    "activation:activated": 1,
    "activation:requested": 2,
    "activation:reviewed": 1,
    "approval:recorded": 2,
    "credential:revealed": 1,
    "decision:made": 1,
    "incident:confirmed": 1,
    "incident:declared": 1,
    "review:triaged": 1,
    "token:issued": 1,
}
"""How many decisions a story holds, by the event that holds them."""


class Always:
    """Every moment counts."""

    def __contains__(self, moment: object) -> bool:
        return True


async def tell(world: World, incident: str = "inc-7") -> str:
    """An emergency from declaration to verdict: each kind of event that holds decisions."""
    await world.incident(incident)
    for stranger in ("carol", "gina"):
        try:
            await world.ask(stranger, incident)
        except DeniedError:
            continue
        raise AssertionError(f"{stranger} is not on call")
    carol = Entity("human", "carol")
    wish = {"eligibility": "orders-repair", "incident": incident}
    await ask(world, about("activation:request", ROLE, carol, **wish))
    denied = await world.ask(incident=incident)
    await world.vote("carol", denied.id, Verdict.DENY)
    made = await world.active(incident=incident)
    await world.credential(made.id)
    wanted = Wish(made.id, confirmation(Binding.CERTIFICATE, certificate_thumbprint(b"a")))
    await exchange(make_desk(world.services), world.caller("alice"), wanted)
    services = world.services
    await give_back.give_back(services, world.caller("alice"), made.id)
    world.clock.advance(timedelta(minutes=1))
    await review.triage(services, world.caller("erin"), made.id)
    seen = await services.store.read(
        lambda view: checkpoint_line(newest_checkpoint(view, services.installation))
    )
    said = Judgement(ReviewVerdict.JUSTIFIED, seen)
    await review.close(services, world.caller("erin"), made.id, said)
    return made.id


def events(world: World) -> list[tuple[AnyEvent, str]]:
    """What the log says, and when."""
    entries = [parse_entry(leaf) for leaf in world.store.state.leaves]
    return [(ev.parse(entry.type, entry.data), entry.at) for entry in entries]


def replayed(
    world: World, proposed: Rules | None = None, *, bundles: dict[int, Bundle] | None = None
) -> Outcome:
    """The outcome of a replay over the whole log."""
    held = bundles or {world.bundle.number: world.bundle}
    replay = Replay(lambda event: held[event.number], Always(), proposed)
    for event, at in events(world):
        replay.take(event, parse_time(at))
    return replay.outcome
