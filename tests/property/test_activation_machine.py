"""Activations under arbitrary interleavings of people, time, faults and deaths.

A state machine does what people, sources and the world may do, in any order, on several nodes over
one store. After every step, and after everything answers again, ``tests.fakes.invariants`` judges.
``CALLPOINT_MACHINE_EXAMPLES`` sets how many lives are tried (a few in `make test`).
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from callpoint.domain.activation import UNFINISHED, Activation, ActivationState
from callpoint.domain.approval import Verdict
from callpoint.domain.eligibility import Severity
from callpoint.domain.errors import CallpointError
from callpoint.domain.governance import InForce, StoredBundle
from callpoint.domain.lease import LeaseState
from callpoint.domain.review import ReviewVerdict
from callpoint.lifecycle import (
    approve,
    give_back,
    incidents,
    issue,
    kill,
    publish,
    reconcile,
    review,
    sweep,
    use,
)
from callpoint.lifecycle.request import Ask, request
from callpoint.lifecycle.votes import statement_for
from callpoint.ports.incidents import Report
from tests.fakes.clock import START
from tests.fakes.faults import Fault
from tests.fakes.invariants import check_always, check_revealed, check_settled
from tests.fakes.keys import Signer
from tests.fakes.mortal import ProcessDiedError
from tests.fakes.simulated_target import LoginRefusedError, Session
from tests.fakes.stage import BOTH, PAGER, Deciders, Stage, make_stage
from tests.fakes.world import PEOPLE, WORDS, World, signed

EXAMPLES = int(os.environ.get("CALLPOINT_MACHINE_EXAMPLES", "60"))
STEPS = 35
DECIDERS = Deciders()
SEAL_TO = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"

everybody = st.sampled_from((*PEOPLE, "alice-phone", "carol-phone", "fixer", "deployer"))
incident_names = st.sampled_from(("inc-7", "inc-7", "inc-8", "inc-9", "pager-1-69a3aa30"))
rarely = st.sampled_from((False, False, True))
places = st.integers(0, 5)
spans = st.sampled_from((1, 20, 61, 300, 610, 1300, 1801, 90_000))
jumps = st.sampled_from((-3600, -60, -6, -2, 2, 60, 3600))
methods = st.sampled_from(
    ("issue", "probe", "disable", "kill_sessions", "diff_persistence", "revoke", "verify_absent")
)
scopes = st.sampled_from(list(kill.Scope))

Act = Callable[[World], Coroutine[Any, Any, object]]
REACHED: Counter[str] = Counter()


class Machine(RuleBasedStateMachine):
    """One installation's life."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stage: Stage
        self.nodes: list[World] = []
        self.secrets: list[tuple[str, str, str]] = []
        self.sessions: list[Session] = []

    def teardown(self) -> None:
        try:
            if self.nodes:
                self.settle()
        finally:
            self.runner.close()

    # ------------------------------------------------------------------ machinery

    def run(self, act: Act, node: int = 0) -> object:
        """What the act returned, or the refusal or failure that it met."""
        try:
            return self.runner.run(act(self.nodes[node]))
        except (CallpointError, ProcessDiedError) as error:
            return error

    def activation(self, place: int) -> Activation | None:
        found = self.stage.activations()
        return found[place % len(found)] if found else None

    def restart(self) -> None:
        """Every process starts again, with nothing in memory."""
        self.nodes = [self.stage.node(), self.stage.node()]

    def settle(self) -> None:
        """Everything answers again; claims and back-offs run out; one sweep, one comparison."""
        self.stage.heal()
        self.restart()
        self.stage.clock.advance(timedelta(seconds=121))
        self.runner.run(sweep.sweep(self.nodes[0].services))
        self.runner.run(reconcile.reconcile(self.nodes[0].services))
        check_settled(self.stage.state, self.stage.targets)

    def draw_act(self, data: st.DataObject) -> tuple[str, Act]:
        """Anything that changes the world, by name."""
        name = data.draw(
            st.sampled_from(
                ("issue", "issue", "kill", "return", "sweep", "reconcile", "vote", "resolve")
            )
        )
        found = self.activation(data.draw(places))
        if name == "issue":
            found = self.approved() or found
        elif name == "return":
            found = next((a for a in self.stage.activations() if a.not_after), found)
        if name in {"issue", "return", "vote"} and found is None:
            name = "sweep"
        own = found.request.principal if found else "alice"
        key = found.id if found else ""
        match name:
            case "issue":
                return name, lambda w: issue.issue(w.services, w.caller(own), key)
            case "return":
                return name, lambda w: give_back.give_back(w.services, w.caller(own), key)
            case "vote":
                who = data.draw(everybody)
                return name, lambda w: w.vote(who, key)
            case "kill":
                scope = data.draw(scopes)
                about = self.about(scope, found)
                return name, lambda w: kill.kill(w.services, w.caller("bob"), scope, about)
            case "resolve":
                return name, lambda w: incidents.resolve(w.services, w.caller("bob"), "inc-7")
            case "reconcile":
                return name, lambda w: reconcile.reconcile(w.services)
            case _:
                return name, lambda w: sweep.sweep(w.services)

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

    def about(self, scope: kill.Scope, found: Activation | None) -> str:
        match scope:
            case kill.Scope.ACTIVATION:
                return found.id if found else "nothing"
            case kill.Scope.PRINCIPAL:
                return found.request.principal if found else "alice"
            case kill.Scope.TARGET:
                return "orders-db"
            case kill.Scope.INCIDENT:
                return "INC-7"
            case kill.Scope.EVERYTHING:
                return ""

    # ------------------------------------------------------------------ people

    @initialize(seed=st.integers(0, 1000))
    def found(self, seed: int) -> None:
        self.stage = self.runner.run(make_stage(seed=seed, deciders=DECIDERS))
        self.restart()
        self.runner.run(self.nodes[0].incident("inc-7", targets=BOTH))

    @rule(name=incident_names, declarer=everybody, confirmer=everybody)
    def declare(self, name: str, declarer: str, confirmer: str) -> None:
        said = incidents.Declaration(name, Severity.SEV1, BOTH)
        self.run(lambda w: incidents.declare(w.services, w.caller(declarer), said))
        self.run(lambda w: incidents.confirm(w.services, w.caller(confirmer), name))

    @rule(firing=st.booleans())
    def report(self, firing: bool) -> None:
        item = Report("pager-1", firing, Severity.SEV1, BOTH, START)
        self.run(lambda w: incidents.report(w.services, PAGER, (item,), b"{}"))

    @rule(name=incident_names, who=everybody)
    def resolve(self, name: str, who: str) -> None:
        self.run(lambda w: incidents.resolve(w.services, w.caller(who), name))

    @rule(
        who=st.sampled_from(("alice", "bob", "fixer", "deployer", "carol")),
        name=incident_names,
        opens=st.sampled_from(((), ("orders-db:repair",))),
        minutes=st.sampled_from((None, 6, 30)),
    )
    def ask(self, who: str, name: str, opens: tuple[str, ...], minutes: int | None) -> None:
        ttl = None if minutes is None else timedelta(minutes=minutes)
        ask = Ask("orders-repair", name, WORDS, SEAL_TO, opens=opens, ttl=ttl)
        self.run(lambda w: request(w.services, w.caller(who), ask))

    @rule(place=places, who=everybody, yes=st.sampled_from((True, True, True, False)))
    def vote(self, place: int, who: str, yes: bool) -> None:
        found = self.activation(place)
        verdict = Verdict.APPROVE if yes else Verdict.DENY
        if found is not None:
            self.run(lambda w: w.vote(who, found.id, verdict), node=1)

    @rule(who=st.sampled_from(("alice", "bob", "fixer")), name=incident_names)
    def go_the_whole_way(self, who: str, name: str) -> None:
        before = {a.id for a in self.stage.activations()}
        self.ask(who, name, (), None)
        for place, found in enumerate(self.stage.activations()):
            if found.id not in before:
                self.approve_by_all(place)
                self.take_up(place, own=True, who=who)
                self.fetch(place, who, own=True)
                self.log_in(place)

    @rule(place=places)
    def approve_by_all(self, place: int) -> None:
        found = self.activation(place)
        for who in ("carol", "dave", "erin", "bob", "frank"):
            if found is not None:
                self.run(lambda w, who=who: w.vote(who, found.id))  # type: ignore[misc]  # bound now

    @rule(
        place=places,
        field=st.sampled_from(
            ("activation", "request_digest", "configuration_digest", "nonce", "checkpoint")
        ),
        verdict=st.sampled_from(list(Verdict)),
    )
    def vote_on_something_else(self, place: int, field: str, verdict: Verdict) -> None:
        found = self.activation(place)
        if found is None:
            return
        carol = self.nodes[0].caller("carol")
        honest = statement_for(found, carol.principal, verdict, "1 AAAA")
        forged = msgspec.structs.replace(honest, **{field: "1 something-else"})
        vote = approve.Vote(forged.body(), Signer("carol").sign(forged.message()))
        act = approve.approve if verdict is Verdict.APPROVE else approve.deny
        result = self.run(lambda w: act(w.services, carol, found.id, vote))
        assert isinstance(result, CallpointError), "a vote on something else was counted"

    @rule(place=places, who=everybody)
    def withdraw(self, place: int, who: str) -> None:
        found = self.activation(place)
        if found is not None:
            self.run(lambda w: give_back.withdraw(w.services, w.caller(who), found.id))

    @rule(place=places, own=st.sampled_from((True, True, False)), who=everybody)
    def take_up(self, place: int, own: bool, who: str) -> None:
        found = self.activation(place)
        if found is None:
            return
        taker = found.request.principal if own else who
        result = self.run(lambda w: issue.issue(w.services, w.caller(taker), found.id), node=1)
        if isinstance(result, Activation):
            assert taker == found.request.principal
            REACHED["issued"] += 1

    @rule(place=places, who=everybody, own=st.sampled_from((True, True, False)))
    def fetch(self, place: int, who: str, own: bool) -> None:
        found = self.activation(place)
        for lease in self.stage.leases(found.id if found else ""):
            assert found is not None
            taker = found.request.principal if own else who
            result = self.run(lambda w, x=lease.id, t=taker: use.reveal(w.services, w.caller(t), x))  # type: ignore[misc]  # bound now
            if isinstance(result, use.Box):
                assert taker == found.request.principal
                check_revealed(self.stage.state, lease.id)
                account = self.stage.targets[lease.plan.target].accounts.get(lease.plan.account)
                if account is not None and account.secret is not None:
                    self.secrets.append((lease.plan.target, account.name, account.secret))
                REACHED["revealed"] += 1

    @rule(place=places)
    def log_in(self, place: int) -> None:
        if not self.secrets:
            return
        target, name, secret = self.secrets[place % len(self.secrets)]
        try:
            self.sessions.append(self.stage.targets[target].open_session(name, secret))
            REACHED["session"] += 1
        except (LoginRefusedError, ConnectionError):
            REACHED["login refused"] += 1

    @rule(place=places, who=everybody, own=st.sampled_from((True, True, False)))
    def hand_back(self, place: int, who: str, own: bool) -> None:
        found = self.activation(place)
        if found is not None:
            taker = found.request.principal if own else who
            self.run(lambda w: give_back.give_back(w.services, w.caller(taker), found.id))

    @rule(place=places, who=everybody, scope=scopes)
    def pull_the_cord(self, place: int, who: str, scope: kill.Scope) -> None:
        found = self.activation(place)
        about = self.about(scope, found)
        result = self.run(lambda w: kill.kill(w.services, w.caller(who), scope, about), node=1)
        if isinstance(result, kill.Killed):
            REACHED[f"killed {scope}"] += 1
            states = {a.id: a.state for a in self.stage.activations()}
            assert not {states[a] for a in result.activations} & set(UNFINISHED)
        away = self.stage.store.dead or scope is kill.Scope.TARGET
        if found is not None and who in PEOPLE and not away:
            after = self.runner.run(self.nodes[0].get(found.id))
            covered = scope is not kill.Scope.INCIDENT or found.request.incident == "inc-7"
            assert after.state not in UNFINISHED or not covered

    @rule(place=places, who=everybody, closes=st.booleans())
    def judge(self, place: int, who: str, closes: bool) -> None:
        found = self.activation(place)
        if found is None or found.state is not ActivationState.ENDED:
            return

        async def look(world: World) -> object:
            caller = world.caller(who)
            if not closes:
                return await review.triage(world.services, caller, found.id)
            line = self.checkpoint_line()
            said = review.Judgement(ReviewVerdict.JUSTIFIED, line)
            return await review.close(world.services, caller, found.id, said)

        if isinstance(self.run(look), Activation):
            REACHED["reviewed" if closes else "triaged"] += 1

    def checkpoint_line(self) -> str:
        _, size, root = self.stage.state.note.split("\n")[:3]
        return f"{size} {root}"

    @rule(
        minutes=st.sampled_from((10, 20, 30, 40)),
        governors=st.sampled_from((("gina",), ("gina", "hugo"), ("gina", "gina"), ("alice",), ())),
    )
    def change_rules(self, minutes: int, governors: tuple[str, ...]) -> None:
        state = self.stage.state
        pointer, _ = state.records[InForce, "bundle"]
        assert isinstance(pointer, InForce)
        stored, _ = state.records[StoredBundle, f"{pointer.number:08d}"]
        assert isinstance(stored, StoredBundle)
        old = stored.bundle
        rules = old.configuration
        before = rules.eligibilities["orders-repair"]
        after = msgspec.structs.replace(before, ttl=timedelta(minutes=minutes))
        changed = msgspec.structs.replace(rules, eligibilities={"orders-repair": after})
        bundle = msgspec.structs.replace(
            old, number=old.number + 1, previous=old.digest(), configuration=changed
        )
        result = self.run(
            lambda w: publish.publish(
                w.services, w.caller("gina"), bundle, signed(bundle, *governors), lambda _: None
            )
        )
        need = 2 if after.ttl > before.ttl else 1
        good = len(set(governors) & {"gina", "hugo"})
        if good < need:
            assert isinstance(result, CallpointError), "published without its signatures"
        elif isinstance(result, publish.Published):
            REACHED[f"published by {good}"] += 1

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

    @rule(seconds=jumps)
    def jump_clock(self, seconds: int) -> None:
        self.stage.clock.jump(timedelta(seconds=seconds))

    @rule(database=st.sampled_from(BOTH), seconds=st.sampled_from((-6, 0, 0, 4)))
    def move_target_clock(self, database: str, seconds: int) -> None:
        self.stage.targets[database].offset = timedelta(seconds=seconds)

    @rule(database=st.sampled_from(BOTH), down=rarely)
    def turn_target(self, database: str, down: bool) -> None:
        self.stage.targets[database].down = down

    @rule(
        database=st.sampled_from(BOTH),
        method=methods,
        how=st.sampled_from(list(Fault)),
        times=st.integers(1, 3),
    )
    def break_target(self, database: str, method: str, how: Fault, times: int) -> None:
        self.stage.targets[database].fail(method, how, times)

    @rule(down=rarely)
    def turn_log(self, down: bool) -> None:
        self.stage.store.log_down = down

    @rule(down=rarely)
    def turn_store(self, down: bool) -> None:
        self.stage.store.dead = down

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

    def slow_down(self, slow: int) -> None:
        for target in self.stage.targets.values():
            target.delays = {"issue": slow, "verify_absent": slow // 3}

    def must_be_ours(self, result: object) -> None:
        ours = CallpointError | ProcessDiedError | asyncio.CancelledError
        if isinstance(result, BaseException) and not isinstance(result, ours):
            raise result

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


def test_no_artefact_outlives_its_activation_whatever_happens():
    """No interleaving of people, time, faults and deaths breaks an invariant of the design."""
    REACHED.clear()
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=chosen)
    for what in ("issued", "revealed", "session", "settled", "published by 2", "died in issue"):
        assert REACHED[what], f"{what} was never reached: {REACHED}"
