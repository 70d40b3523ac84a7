"""Policy tests: the default pack passes its own, and a test that is wrong says where."""

import re
from pathlib import Path

import pytest

from callpoint.config.default_policies import default_pack, default_tests
from callpoint.domain.decision import Action, Decision, DecisionRequest, Effect
from callpoint.domain.errors import ConfigError
from callpoint.domain.operation import VERBS, Impact
from callpoint.policy import pap
from callpoint.policy.cases import CaseResult, parse_cases, run_cases
from callpoint.policy.explain import Outcome, explain, lines
from callpoint.policy.pdp import Pdp
from callpoint.policy.policy_set import PolicySet
from tests.fakes.policy_world import activation_of, asked, small_world

WORLD = small_world()
DOCUMENT = Path(__file__).parents[2] / "docs" / "policy.md"
PACK = default_pack()
CASE = """
[[case]]
name = "ann asks"
who = "ann"
action = "activation:request"
on = "orders-db:repair"
incident = { state = "open", severity = "sev1", targets = ["orders-db"] }
activation = { eligibility = "repair" }
expect = "allow"
by = ["eligible-may-request"]
"""


def run(text: str) -> list[CaseResult]:
    """The results of one test file against the pack in the small world."""
    return pap.run_tests(PACK, {"t.toml": text}, WORLD)


@pytest.fixture(scope="module")
def own_results() -> list[CaseResult]:
    """The pack under its own tests."""
    return pap.run_tests(PACK, default_tests(), WORLD)


def test_the_default_pack_is_sound() -> None:
    """Strict validation finds nothing in the policies that come with Callpoint."""
    assert not pap.check(PACK, WORLD)


def test_the_default_pack_passes_its_own_tests(own_results) -> None:
    """Each case of the pack comes out as it says, and each names the deciding policies."""
    assert [str(result) for result in own_results if not result.passed] == []
    assert all(result.case.by is not None for result in own_results)


def test_every_policy_of_the_pack_decides_a_case(own_results) -> None:
    """No policy of the pack could be lost unnoticed."""
    assert pap.untested(PACK, own_results) == ()


@pytest.mark.parametrize("lost", sorted(PolicySet.assembled(PACK).policies))
def test_losing_any_policy_of_the_pack_fails_a_test(lost) -> None:
    """Without the policy at least one case of the pack fails."""
    policy = re.compile(rf'@id\("{lost}"\).*?;\n', re.DOTALL)
    others = {name: policy.sub("", text) for name, text in PACK.items()}
    assert set(PolicySet.assembled(PACK).policies) - set(PolicySet.assembled(others).policies) == {
        lost
    }
    assert any(not r.passed for r in pap.run_tests(others, default_tests(), WORLD))


def test_every_kind_of_principal_and_both_lanes_are_in_the_tests(own_results) -> None:
    """The pack's tests speak of people, workloads and agents, and of both lanes."""
    asked_as = {(str(r.case.who), r.decision.effect) for r in own_results}
    assert {("restorer", Effect.ALLOW), ("helper", Effect.ALLOW), ("ann", Effect.ALLOW)} <= asked_as
    assert {("restorer", Effect.DENY), ("helper", Effect.DENY), ("ann", Effect.DENY)} <= asked_as
    actions = {result.case.action for result in own_results}
    assert actions - set(VERBS) == set(Action) - {Action.SESSION_ACT}
    assert {VERBS[action] for action in actions & set(VERBS)} == set(Impact)


def test_a_case_without_a_world_speaks_of_the_configuration() -> None:
    """`who`, `on` and `eligibility` are names of the real configuration."""
    (result,) = run(CASE)
    assert result.passed
    assert str(result) == "t.toml:2: ann asks: as expected"


@pytest.mark.parametrize(
    "old, new, problem",
    [
        (
            '"orders-db:repair"',
            '"billing-db:repair"',
            "t.toml:2: ann asks: expected allow, got deny by incident-must-name-target (denied by",
        ),
        (
            '["eligible-may-request"]',
            '["people-may-approve"]',
            "ann asks: expected allow by people-may-approve, got it by eligible-may-request",
        ),
        ('expect = "allow"', 'expect = "deny"', "expected deny, got allow by eligible-may-request"),
        ('"open"', '"resolved"', "got deny by incident-must-be-open"),
    ],
)
def test_another_answer_is_a_failure(old, new, problem) -> None:
    """The result says what was expected, what came, by which policies and why."""
    (result,) = run(CASE.replace(old, new))
    assert not result.passed
    assert problem in str(result)


def test_an_error_is_never_as_expected() -> None:
    """A case that expects a refusal does not pass because the question could not be decided."""

    class Broken:
        def evaluate(self, request: DecisionRequest) -> Decision:
            return Decision(Effect.DENY, (), (), "", errors=("the engine is gone",))

    text = CASE.replace('expect = "allow"', 'expect = "deny"').replace("by =", "# by =")
    (result,) = run_cases(text, "t.toml", WORLD, lambda _: Broken())
    assert result.problem == "could not be decided: the engine is gone"


@pytest.mark.parametrize(
    "old, new, expected",
    [
        ("expect", "expcet", "t.toml:2: ann asks: Object contains unknown field `expcet`"),
        ('by = ["', 'why = 1\nby = ["', "t.toml:2: ann asks: Object contains unknown field `why`"),
        (
            '"activation:request"',
            '"activation:ask"',
            "ann asks: there is no action 'activation:ask'",
        ),
        ('"open"', '"opened"', "Invalid enum value 'opened'"),
        ("[[case]]", "[[case]", "t.toml:2: Expected"),
        ('name = "ann asks"', "", "t.toml:2: case 1: Object missing required field `name`"),
        ('who = "ann"', 'who = "mallory"', "t.toml:2: ann asks: no principal is called 'mallory'"),
        ('"orders-db:repair"', '"orders-db"', "t.toml:2: ann asks: 'orders-db' is not target:role"),
        ('"orders-db:repair"', '"nope:repair"', "t.toml:2: ann asks: no target is called 'nope'"),
        ('"repair" }', '"mend" }', "t.toml:2: ann asks: no eligibility is called 'mend'"),
        ('"repair" }', '"repair", ttl = "soon" }', "t.toml:2: ann asks: 'soon' is not a span"),
    ],
)
def test_a_test_file_that_is_wrong_says_where(old, new, expected) -> None:
    """An unknown key, word or name is an error with file, case and a way out, not a failed case."""
    with pytest.raises(ConfigError) as caught:
        run(CASE.replace(old, new, 1))
    assert expected in str(caught.value)
    assert caught.value.way_out


def test_a_file_without_cases_is_refused() -> None:
    """A file that tests nothing would pass for ever."""
    with pytest.raises(ConfigError, match=r"no \[\[case\]\]"):
        parse_cases("case = []", "t.toml")


def test_a_world_that_is_wrong_says_where() -> None:
    """A span or target role of the file's own world is checked too."""
    world = '[world.principals]\nann = { kind = "human" }\n[world.eligibilities.repair]\n'
    with pytest.raises(ConfigError, match=r"world\.eligibilities: 'orders' is not target:role"):
        run(world + 'who = ["ann"]\nopens = ["orders"]\n' + CASE)


def test_the_documents_examples_work() -> None:
    """The policy in docs/policy.md is sound, and its test case passes in its own world."""
    blocks = re.findall(r"```(toml|cedar)\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (policy,) = [text for kind, text in blocks if kind == "cedar"]
    assert not pap.check({"example.cedar": policy}, WORLD)
    case, world = [text for kind, text in blocks if kind == "toml"]
    target = '[world.targets.billing-db]\nroles = ["repair"]\n'
    (result,) = run(f"{world}\n{target}\n{case}")
    assert result.passed, str(result)


def test_policies_that_are_wrong_are_not_tested() -> None:
    """Tests run only on policies that load."""
    with pytest.raises(ConfigError):
        pap.run_tests({"a.cedar": "permit"}, {"t.toml": CASE}, WORLD)


def test_an_explanation_says_what_each_policy_did() -> None:
    """Deciding, outvoted, not holding and out of scope are told apart, as Cedar judges them."""
    pdp = Pdp(PolicySet.load(PACK, WORLD), WORLD)
    activation = activation_of(WORLD, "ann")
    request = asked(WORLD, "ann", Action.ACTIVATION_ISSUE, activation=activation)
    explanation = explain(pdp, request)
    outcomes = {item.policy.id: item.outcome for item in explanation.considered}
    assert outcomes["quorum-must-be-met"] is Outcome.DECIDED
    assert outcomes["requester-may-be-issued"] is Outcome.HELD
    assert outcomes["incident-unknown"] is Outcome.DID_NOT_HOLD
    assert outcomes["agents-never-approve"] is Outcome.OUT_OF_SCOPE
    assert set(outcomes) == set(pdp.policy_set.policies)
    text = "\n".join(lines(explanation))
    assert explanation.considered[0].policy.id == "quorum-must-be-met"
    said = {item.policy.id: item.words for item in explanation.considered}
    assert said["quorum-must-be-met"] == "2 distinct persons must approve first"
    assert said["incident-unknown"] == "", "what did not hold says nothing of this request"
    assert "deny by quorum-must-be-met" in text
    assert "2 distinct persons must approve first" in text
    assert "agents-never-approve" not in text
    assert "agents-never-approve" in "\n".join(lines(explanation, everything=True))


def test_a_question_that_fails_is_explained_by_its_error() -> None:
    """When evaluation failed, no policy is said to have done anything."""
    pdp = Pdp(PolicySet.load(PACK, WORLD), WORLD)
    explanation = explain(pdp, asked(WORLD, "ann", Action.ACTIVATION_ISSUE))
    assert not explanation.considered
    assert "error: " in "\n".join(lines(explanation))


def test_a_world_with_an_unknown_key_is_refused() -> None:
    """What is wrong outside of the cases is placed by its path."""
    with pytest.raises(ConfigError, match=r"unknown field `colour` - at `\$\.world"):
        run('[world.principals]\nann = { kind = "human", colour = "red" }\n' + CASE)
