"""What people and sources do with activations: the first half of the state machine.

Rules stand in for every person, with every key, right or wrong; what each is told is not looked
at here but where a promise is made to the one who asked. ``test_activation_machine`` adds the rest.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
)

from callpoint.domain.activation import UNFINISHED, Activation, ActivationState
from callpoint.domain.approval import Verdict, Vote
from callpoint.domain.declaration import Declaration
from callpoint.domain.eligibility import Severity
from callpoint.domain.errors import CallpointError
from callpoint.domain.governance import Bundle, InForce, Published, StoredBundle
from callpoint.domain.kill import Killed, Scope
from callpoint.domain.request import Ask
from callpoint.domain.review import Judgement, ReviewVerdict
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
from callpoint.lifecycle.merge import tend
from callpoint.lifecycle.request import request
from callpoint.lifecycle.votes import statement_for
from callpoint.ports.box import Box
from callpoint.ports.incidents import Report
from tests.fakes.clock import START
from tests.fakes.invariants import check_revealed, check_settled
from tests.fakes.keys import Signer
from tests.fakes.mortal import ProcessDiedError
from tests.fakes.signed_order import MemoryShelf, with_shelf
from tests.fakes.simulated_target import LoginRefusedError, Session
from tests.fakes.stage import BOTH, PAGER, Deciders, Stage, make_stage
from tests.fakes.world import PEOPLE, WORDS, World, signed

DECIDERS = Deciders()
SEAL_TO = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"

everybody = st.sampled_from((*PEOPLE, "alice-phone", "carol-phone", "fixer", "deployer"))
incident_names = st.sampled_from(("inc-7", "inc-7", "inc-8", "inc-9", "pager-1-69a3aa30"))
places = st.integers(0, 5)
scopes = st.sampled_from(list(Scope))

Act = Callable[[World], Coroutine[Any, Any, object]]
REACHED: Counter[str] = Counter()


class PeopleMachine(RuleBasedStateMachine):
    """One installation, and everybody in it."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stage: Stage
        self.nodes: list[World] = []
        self.shelves = (MemoryShelf(), MemoryShelf())
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
        self.nodes = [with_shelf(self.stage.node(), shelf) for shelf in self.shelves]

    def settle(self) -> None:
        """Everything answers again; claims and back-offs run out; one pass of each worker."""
        self.stage.heal()
        self.restart()
        self.stage.clock.advance(timedelta(seconds=121))
        # These processes have no rules pinned: without them they wait until the log has caught up.
        self.runner.run(self.nodes[0].services.store.merge_spool())
        for node in self.nodes:
            done = self.runner.run(tend(node.services))
            assert (done.refused, done.errors) == ((), ())
            node.services.node.tombstones.must_be_merged()
        self.runner.run(sweep.sweep(self.nodes[0].services))
        self.runner.run(reconcile.reconcile(self.nodes[0].services))
        check_settled(self.stage.state, self.stage.targets)

    def about(self, scope: Scope, found: Activation | None) -> str:
        match scope:
            case Scope.ACTIVATION:
                return found.id if found else "nothing"
            case Scope.PRINCIPAL:
                return found.request.principal if found else "alice"
            case Scope.TARGET:
                return "orders-db"
            case Scope.INCIDENT:
                return "INC-7"
            case Scope.EVERYTHING:
                return ""

    # ------------------------------------------------------------------ people

    @initialize(seed=st.integers(0, 1000))
    def found(self, seed: int) -> None:
        self.stage = self.runner.run(make_stage(seed=seed, deciders=DECIDERS))
        self.restart()
        self.runner.run(self.nodes[0].incident("inc-7", targets=BOTH))

    @rule(name=incident_names, declarer=everybody, confirmer=everybody)
    def declare(self, name: str, declarer: str, confirmer: str) -> None:
        said = Declaration(name, Severity.SEV1, BOTH)
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
        vote = Vote(forged.body(), Signer("carol").sign(forged.message()))
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
            if isinstance(result, Box):
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
    def pull_the_cord(self, place: int, who: str, scope: Scope) -> None:
        found = self.activation(place)
        about = self.about(scope, found)
        result = self.run(lambda w: kill.kill(w.services, w.caller(who), scope, about), node=1)
        if isinstance(result, Killed):
            REACHED[f"killed {scope}"] += 1
            states = {a.id: a.state for a in self.stage.activations()}
            assert not {states[a] for a in result.activations} & set(UNFINISHED)
        away = self.stage.store.dead or scope is Scope.TARGET
        if found is not None and who in PEOPLE and not away:
            after = self.runner.run(self.nodes[0].get(found.id))
            covered = scope is not Scope.INCIDENT or found.request.incident == "inc-7"
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
            said = Judgement(ReviewVerdict.JUSTIFIED, line)
            return await review.close(world.services, caller, found.id, said)

        if isinstance(self.run(look), Activation):
            REACHED["reviewed" if closes else "triaged"] += 1

    def checkpoint_line(self) -> str:
        _, size, root = self.stage.state.note.split("\n")[:3]
        return f"{size} {root}"

    @rule(
        minutes=st.sampled_from((10, 20, 30, 40)),
        governors=st.sampled_from(
            (("gina",), ("gina", "hugo"), ("hugo", "gina"), ("gina", "gina"), ("alice",), ())
        ),
    )
    def change_rules(self, minutes: int, governors: tuple[str, ...]) -> None:
        bundle, need = self.next_bundle(minutes)
        result = self.run(self.publishing(bundle, governors))
        good = len(set(governors) & {"gina", "hugo"})
        if good < need:
            assert isinstance(result, CallpointError), "published without its signatures"
        elif isinstance(result, Published):
            REACHED[f"published by {good}"] += 1

    def next_bundle(self, minutes: int) -> tuple[Bundle, int]:
        """The rules in force with another time limit, and how many must sign them."""
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
        return bundle, 2 if after.ttl > before.ttl else 1

    def publishing(self, bundle: Bundle, governors: tuple[str, ...]) -> Act:
        records = signed(bundle, *governors)
        return lambda w: publish.publish(
            w.services, w.caller("gina"), bundle, records, lambda _: None
        )
