"""Activations under arbitrary interleavings of people, time, faults and deaths.

A state machine does what people, sources and the world may do, in any order, on several nodes over
one store. After every step, and after everything answers again, ``tests.fakes.invariants`` judges.
``CALLPOINT_MACHINE_EXAMPLES`` sets how many lives are tried (a few in `make test`).
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.errors import CallpointError
from callpoint.domain.kill import Killed, Scope
from callpoint.domain.lease import LeaseState
from callpoint.lifecycle import (
    give_back,
    incidents,
    issue,
    kill,
    reconcile,
    sweep,
    use,
)
from callpoint.lifecycle.merge import tend
from tests.fakes.faults import Fault
from tests.fakes.invariants import check_always
from tests.fakes.mortal import ProcessDiedError
from tests.fakes.signed_order import pull
from tests.fakes.stage import BOTH
from tests.fakes.world import World
from tests.property.people_machine import REACHED, Act, PeopleMachine, everybody, places, scopes

EXAMPLES = int(os.environ.get("CALLPOINT_MACHINE_EXAMPLES", "60"))
STEPS = 35


ACTS = (
    "expire", "fetch", "issue", "issue", "kill", "kill without store", "merge", "publish",
    "reconcile", "resolve", "return", "sweep", "vote",
)  # fmt: skip
BREAKABLE = ("call", "call", "call", "target", "target", "target's clock", "clock", "log", "store")
spans = st.sampled_from((1, 20, 61, 300, 610, 1300, 1801, 90_000))
jumps = st.sampled_from((-3600, -60, -6, -2, 2, 60, 3600))
methods = st.sampled_from(
    ("issue", "probe", "disable", "kill_sessions", "diff_persistence", "revoke", "verify_absent")
)


class Machine(PeopleMachine):
    """One installation's life, with what time and the world do to it."""

    # ------------------------------------------------------------------ time, faults, deaths

    @rule()
    def sweep_once(self) -> None:
        self.run(lambda w: sweep.sweep(w.services))

    @rule()
    def compare(self) -> None:
        self.run(lambda w: reconcile.reconcile(w.services))

    @rule(seconds=spans)
    def pass_time(self, seconds: int) -> None:
        self.stage.clock.advance(timedelta(seconds=seconds))

    @rule(data=st.data())
    def break_something(self, data: st.DataObject) -> None:
        stage, what = self.stage, data.draw(st.sampled_from(BREAKABLE))
        target = stage.targets[data.draw(st.sampled_from(BOTH))]
        match what:
            case "clock":
                stage.clock.jump(timedelta(seconds=data.draw(jumps)))
            case "target's clock":
                target.offset = timedelta(seconds=data.draw(st.sampled_from((-6, 4))))
            case "target":
                target.down = True
            case "call":
                how = data.draw(st.sampled_from(list(Fault)))
                target.fail(data.draw(methods), how, data.draw(st.integers(1, 3)))
            case "log":
                stage.store.log_down = True
            case _:
                stage.store.dead = True

    @rule()
    def repair_all(self) -> None:
        self.stage.heal()

    @rule(data=st.data())
    def act_while_something_is_broken(self, data: st.DataObject) -> None:
        name, act = self.draw_act(data)
        self.break_something(data)
        self.run(act)
        REACHED[f"{name} with something broken"] += 1
        if data.draw(st.booleans()):
            self.stage.heal()

    @rule(
        database=st.sampled_from(BOTH),
        method=st.sampled_from(("down", "revoke", "verify_absent", "kill_sessions")),
        how=st.sampled_from(list(Fault)),
        by_kill=st.booleans(),
    )
    def end_while_a_target_fails(
        self, database: str, method: str, how: Fault, by_kill: bool
    ) -> None:
        found, target = self.active(), self.stage.targets[database]
        if found is None:
            return
        if method == "down":
            target.down = True
        else:
            target.fail(method, how)
        scope, owner = Scope.ACTIVATION, found.request.principal
        if by_kill:
            self.run(lambda w: kill.kill(w.services, w.caller("bob"), scope, found.id))
        else:
            self.run(lambda w: give_back.give_back(w.services, w.caller(owner), found.id))
        REACHED["ended while a target fails"] += 1

    @rule(data=st.data(), after=st.integers(0, 25))
    def die(self, data: st.DataObject, after: int) -> None:
        name, act = self.draw_act(data)
        self.stage.fuse.light(after)
        if isinstance(self.run(act), ProcessDiedError):
            REACHED[f"died in {name}"] += 1
        self.stage.fuse.replace()
        self.restart()

    @rule(data=st.data(), turns=st.integers(0, 30), slow=st.integers(0, 20))
    def cancel(self, data: st.DataObject, turns: int, slow: int) -> None:
        name, act = self.draw_act(data)

        async def cut(world: World) -> object:
            task = asyncio.get_running_loop().create_task(act(world))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            return (await asyncio.gather(task, return_exceptions=True))[0]

        self.slow_down(slow)
        result = self.run(cut)
        if isinstance(result, asyncio.CancelledError):
            REACHED[f"cancelled {name}"] += 1
        self.must_be_ours(result)

    @rule(data=st.data(), slow=st.integers(0, 40))
    def race(self, data: st.DataObject, slow: int) -> None:
        (first, one), (second, other) = self.draw_act(data), self.draw_act(data)

        async def both(_: World) -> object:
            acts = (one(self.nodes[0]), other(self.nodes[1]))
            return await asyncio.gather(*acts, return_exceptions=True)

        self.slow_down(slow)
        results = self.run(both)
        assert isinstance(results, list)
        for result in results:
            self.must_be_ours(result)
        REACHED[f"raced {min(first, second)} and {max(first, second)}"] += 1

    @rule(data=st.data(), on_one=st.booleans(), refuses=st.booleans())
    def kill_without_the_store(self, data: st.DataObject, on_one: bool, refuses: bool) -> None:
        found = self.active()
        scope = data.draw(scopes)
        about = self.about(scope, found)
        self.stage.store.dead = True
        target = self.stage.targets[data.draw(st.sampled_from(BOTH))]
        target.down = refuses
        result = self.run(lambda w: pull(w, "bob", scope, about), node=int(on_one))
        self.stage.store.dead = target.down = False
        REACHED[f"killed {scope} without the store"] += isinstance(result, Killed)
        if not isinstance(result, Killed):
            return
        key = found.id if found else "nothing"
        for gives in (use.reveal_all, issue.issue):
            given = self.run(partial(_as_alice, gives, key), node=int(on_one))
            assert isinstance(given, CallpointError), "given before the merge"

    @rule(minutes=st.sampled_from((20, 25, 40)), turns=st.integers(0, 12))
    def change_rules_before_an_issue(self, minutes: int, turns: int) -> None:
        found = self.approved()
        if found is None:
            return
        bundle, _ = self.next_bundle(minutes)

        async def both(world: World) -> object:
            async def later() -> object:
                for _ in range(turns):
                    await asyncio.sleep(0)
                taker = world.caller(found.request.principal)
                return await issue.issue(world.services, taker, found.id)

            published = self.publishing(bundle, ("gina", "hugo"))(self.nodes[1])
            return await asyncio.gather(later(), published, return_exceptions=True)

        results = self.run(both)
        assert isinstance(results, list)
        for result in results:
            self.must_be_ours(result)

    @rule(slow=st.integers(0, 60), turns=st.integers(0, 40))
    def kill_while_it_is_issued(self, slow: int, turns: int) -> None:
        found = self.approved()
        if found is None:
            return

        async def later(world: World) -> object:
            for _ in range(turns):
                await asyncio.sleep(0)
            return await kill.kill(world.services, world.caller("bob"), Scope.EVERYTHING)

        async def both(world: World) -> object:
            taken = issue.issue(world.services, world.caller(found.request.principal), found.id)
            return await asyncio.gather(taken, later(self.nodes[1]), return_exceptions=True)

        self.slow_down(slow)
        results = self.run(both)
        assert isinstance(results, list)
        for result in results:
            self.must_be_ours(result)

    def slow_down(self, slow: int) -> None:
        for target in self.stage.targets.values():
            target.delays = {"issue": slow, "verify_absent": slow // 3}

    def must_be_ours(self, result: object) -> None:
        ours = CallpointError | ProcessDiedError | asyncio.CancelledError
        if isinstance(result, BaseException) and not isinstance(result, ours):
            raise result

    def draw_act(self, data: st.DataObject) -> tuple[str, Act]:
        """Anything that changes the world, by name, on something that it fits."""
        name, who = data.draw(st.sampled_from(ACTS)), data.draw(everybody)
        found = self.activation(data.draw(places))
        if name == "issue":
            found = self.approved() or found
        elif name != "vote":
            found = self.active() or found
        own = found.request.principal if found else "alice"
        key = found.id if found else "nothing"
        scope = data.draw(scopes)
        about = self.about(scope, found)
        bundle, _ = self.next_bundle(data.draw(st.sampled_from((20, 40))))

        async def expire(world: World) -> object:
            self.stage.clock.advance(timedelta(minutes=31))
            return await sweep.sweep(world.services)

        async def without_store(world: World) -> object:
            was_dead, self.stage.store.dead = self.stage.store.dead, True
            try:
                return await pull(world, "bob", scope, about)
            finally:
                self.stage.store.dead = was_dead

        acts: dict[str, Act] = {
            "expire": expire,
            "fetch": lambda w: use.reveal_all(w.services, w.caller(own), key),
            "issue": lambda w: issue.issue(w.services, w.caller(own), key),
            "kill": lambda w: kill.kill(w.services, w.caller("bob"), scope, about),
            "kill without store": without_store,
            "merge": lambda w: tend(w.services),
            "publish": self.publishing(bundle, ("gina", "hugo")),
            "reconcile": lambda w: reconcile.reconcile(w.services),
            "resolve": lambda w: incidents.resolve(w.services, w.caller("bob"), "inc-7"),
            "return": lambda w: give_back.give_back(w.services, w.caller(own), key),
            "sweep": lambda w: sweep.sweep(w.services),
            "vote": lambda w: w.vote(who, key),
        }
        return name, acts[name]

    def active(self) -> Activation | None:
        """One that is in use, taken up now when there is none."""
        for once_more in (True, False):
            for found in self.stage.activations():
                if found.state is ActivationState.ACTIVE:
                    return found
            if once_more:
                self.go_the_whole_way("alice", "inc-7")
        return None

    def approved(self) -> Activation | None:
        """One that can be taken up, asked for now when there is none."""
        for once_more in (True, False):
            for place, found in enumerate(self.stage.activations()):
                if found.state is ActivationState.REQUESTED:
                    self.approve_by_all(place)
            for found in self.stage.activations():
                if found.state is ActivationState.APPROVED:
                    return found
            if once_more:
                self.ask("alice", "inc-7", (), None)
        return None

    # ------------------------------------------------------------------ the judge

    @precondition(lambda self: self.nodes)
    @invariant()
    def holds_always(self) -> None:
        check_always(self.stage.state, self.stage.targets)
        active = [x for x in self.stage.leases() if x.state is LeaseState.LIVE]
        REACHED["with a live lease"] += bool(active)

    @rule()
    def everything_answers_again(self) -> None:
        self.settle()
        REACHED["settled"] += 1


async def _as_alice(gives: Callable[..., Awaitable[object]], key: str, world: World) -> object:
    return await gives(world.services, world.caller("alice"), key)


def test_no_artefact_outlives_its_activation_whatever_happens():
    """No interleaving of people, time, faults and deaths breaks an invariant of the design."""
    REACHED.clear()
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=chosen)
    # Only what a handful of lives always reach: a rare event must not make this test a lottery.
    for what in ("issued", "revealed", "session", "settled"):
        assert REACHED[what], f"{what} was never reached: {REACHED}"
