"""`callpoint policy prove`: the default pack, mutants of it, and what is not proved."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("z3", reason="the extra `prove`: there is no wheel for this machine")

from callpoint.cli.policy import policy
from callpoint.config.default_policies import default_invariants, default_pack
from callpoint.domain.errors import ConfigError
from callpoint.policy.policy_set import FORBID, PolicySet
from callpoint.policy.prove.invariants import Outcome, differences, prove
from callpoint.policy.prove.witness import allows, holds
from tests.fakes.policy_world import small_world

EXAMPLE = Path(__file__).parents[2] / "examples" / "orders"
WORLD = small_world()
INVARIANTS = PolicySet.load(default_invariants(), WORLD)
PACK = PolicySet.load(default_pack(), WORLD)
EVERYTHING = '@id("everything") permit (principal, action, resource);'

# With a permit for everything beside it, each forbid of the pack alone carries an invariant.
CARRIED_BY = {
    "agents-define-nothing": "no-agent-defines",
    "agents-never-approve": "no-agent-administers",
    "break-glass-at-most-4-hours": "nothing-for-longer-than-8-hours",
    "defining-is-for-recovery": "nothing-is-defined-but-to-recover",
    "break-glass-needs-an-incident": "nothing-without-an-open-incident",
    "elevation-at-most-8-hours": "nothing-for-longer-than-8-hours",
    "elevation-needs-the-incident-it-asks-for": "no-planned-work-without-its-incident",
    "expired-opens-nothing": "nothing-after-expiry",
    "human-mode-is-for-people": "no-machine-in-human-mode",
    "incident-must-be-confirmed": "nothing-on-one-persons-word",
    "incident-must-be-open": "nothing-without-an-open-incident",
    "incident-must-name-target": "nothing-beyond-the-incident",
    "incident-unknown": "nothing-without-an-open-incident",
    "investigating-changes-nothing": "investigation-changes-nothing",
    "machines-at-most-1-hour": "nothing-for-longer-than-8-hours",
    "machines-never-make-incidents": "no-workload-administers",
    "machines-never-resume": "no-agent-administers",
    "machines-never-review": "no-agent-administers",
    "only-the-eligible": "nothing-for-the-ineligible",
    "only-the-requester-receives": "nobody-receives-anothers",
    "quorum-must-be-met": "nothing-without-a-quorum",
    "requester-cannot-approve": "nobody-approves-their-own",
    "requester-cannot-review": "nobody-reviews-their-own",
    "requester-cannot-resume": "nobody-resumes-their-own",
    "severity-must-match": "nothing-for-another-severity",
    "workloads-never-approve": "no-workload-administers",
}


def one(name: str) -> PolicySet:
    """One of the default invariants."""
    return PolicySet.assembled({"one.cedar": text_of(default_invariants(), name)})


def text_of(files: dict[str, str], name: str) -> str:
    """A policy's own text."""
    text = next(text for text in files.values() if f'@id("{name}")' in text)
    start = text.index(f'@id("{name}")')
    following = text.find("\n@id(", start)
    return text[start : following if following >= 0 else len(text)]


def changed(name: str, became: str) -> PolicySet:
    """The pack beside a permit for everything, one of its policies replaced."""
    files = {**default_pack(), "z.cedar": EVERYTHING}
    old = text_of(files, name)
    return PolicySet.assembled({file: text.replace(old, became) for file, text in files.items()})


def must_break(policies: PolicySet, invariant: str) -> None:
    """There is a counterexample, and Cedar itself allows it."""
    invariants = one(invariant)
    (verdict,) = prove(policies, invariants)
    assert verdict.outcome is Outcome.BROKEN, verdict
    assert verdict.witness is not None
    assert allows(policies, verdict.witness)
    assert holds(invariants, invariant, verdict.witness)


def test_the_default_pack_is_proved() -> None:
    """Each invariant that ships is proved of the pack that ships, and speaks of something."""
    verdicts = prove(PACK, INVARIANTS)
    assert {v.name: v.because for v in verdicts if v.outcome is not Outcome.PROVED} == {}
    assert len(verdicts) == 22
    assert all(verdict.kinds for verdict in verdicts)


def test_a_verb_that_is_named_is_proved_about_by_itself() -> None:
    """A hole for one single verb is found, wherever the list of verbs has it."""
    text = text_of(default_pack(), "agents-define-nothing")
    hole = text.replace("resource);", 'resource) unless { action == Action::"ddl:reindex" };')
    policies = PolicySet.assembled(
        {file: whole.replace(text, hole) for file, whole in default_pack().items()}
    )
    (verdict,) = prove(policies, one("no-agent-defines"))
    assert verdict.witness is not None
    assert verdict.witness.kind.action == "ddl:reindex"


def test_each_forbid_has_its_invariant() -> None:
    """No forbid of the pack could be lost without an invariant that says so."""
    forbids = {name for name, found in PACK.policies.items() if found.effect == FORBID}
    assert forbids == CARRIED_BY.keys()


@pytest.mark.parametrize("name", sorted(CARRIED_BY))
def test_without_a_forbid_its_invariant_breaks(name) -> None:
    """A mutant of the pack without one forbid gets a counterexample that Cedar confirms."""
    must_break(changed(name, ""), CARRIED_BY[name])


@pytest.mark.parametrize("name", sorted(CARRIED_BY))
def test_a_forbid_with_a_hole_breaks(name) -> None:
    """A forbid that does not hold of one single name is found out, whatever it is."""
    text = text_of(default_pack(), name)
    end = next(n for n, mark in enumerate(text) if mark == ";" and _is_policy(text[: n + 1]))
    hole = text[:end] + '\nunless { principal.name == "mallory" }' + text[end:]
    must_break(changed(name, hole), CARRIED_BY[name])


def _is_policy(text: str) -> bool:
    """Whether it is a policy from begin to end; a semicolon may stand in a reason."""
    try:
        PolicySet.assembled({"a.cedar": text})
    except ConfigError:
        return False
    return True


def test_the_log_opens_without_its_condition() -> None:
    """A permit without its condition is found out as well."""
    for name in ("security-may-read-the-log", "governors-may-read-the-log"):
        text = text_of(default_pack(), name)
        files = {
            file: content.replace(text, text[: text.index("when")] + ";")
            for file, content in default_pack().items()
        }
        must_break(PolicySet.assembled(files), "the-log-is-for-auditors")


def test_an_enforcement_point_may_be_let_ask() -> None:
    """A workload's permit to ask about others breaks nothing; one for everybody breaks a rule."""
    scope = 'principal is Workload, action == Action::"decision:evaluate", resource'
    own = f'@id("own") permit ({scope});'
    pack = {**default_pack(), "own.cedar": own}
    invariant = "no-agent-asks-about-others"
    assert prove(PolicySet.assembled(pack), one(invariant))[0].outcome is Outcome.PROVED
    pack["own.cedar"] = own.replace("principal is Workload", "principal")
    must_break(PolicySet.assembled(pack), invariant)


@pytest.mark.parametrize(
    "condition, said",
    [
        ('principal.name like "ann*"', "`like`"),
        ('Human::"ann".name == principal.name', "written out"),
        ('Human::"ann" in Group::"oncall"', "what a named Human is in"),
        ('ip("10.0.0.1").isLoopback()', "the function"),
        ('datetime("2026-01-01") < datetime("2026-01-02")', "the function datetime"),
        ('{a: 1}.a == 1 && principal.name == "x"', "a record"),
    ],
)
def test_what_is_not_encoded_is_never_proved(condition, said) -> None:
    """A construct outside the fragment leaves the invariant not proved, and is named."""
    own = f'@id("own") @reason("no") forbid (principal, action, resource) when {{ {condition} }};'
    policies = PolicySet.assembled({**default_pack(), "own.cedar": own})
    (verdict,) = prove(policies, one("nothing-after-expiry"))
    assert verdict.outcome is Outcome.NOT_PROVED
    assert any("own: " in reason and said in reason for reason in verdict.because), verdict


def test_a_policy_out_of_scope_does_not_matter() -> None:
    """What the encoding does not know is no obstacle where the policy cannot apply."""
    own = (
        '@id("own") permit (principal, action == Action::"log:read", resource)'
        ' when { principal.name like "ann*" };'
    )
    policies = PolicySet.assembled({**default_pack(), "own.cedar": own})
    assert prove(policies, one("nothing-after-expiry"))[0].outcome is Outcome.PROVED
    assert prove(policies, one("the-log-is-for-auditors"))[0].outcome is Outcome.NOT_PROVED


def test_what_cedar_does_not_allow_is_no_counterexample() -> None:
    """Beyond 64 bits Cedar fails and the PDP denies: the solver's question is not believed."""
    own = (
        '@id("own") permit (principal, action == Action::"log:read", resource)'
        " when { context.at > 0 && context.at + 9223372036854775807 > 0 };"
    )
    (verdict,) = prove(PolicySet.assembled({"own.cedar": own}), one("the-log-is-for-auditors"))
    assert verdict.outcome is Outcome.NOT_PROVED
    assert "Cedar does not agree" in verdict.because[0]


def test_a_nul_in_a_text_proves_nothing() -> None:
    """Texts that differ behind a NUL stay two, so a hole beside them is still found."""
    own = (
        '@id("own") permit (principal is Agent, action == Action::"decision:evaluate", resource)'
        ' when { principal.name == "a\\0b" || principal.name == "a\\0c" };'
    )
    must_break(PolicySet.assembled({"own.cedar": own}), "no-agent-asks-about-others")


def test_an_invariant_about_nothing_is_not_proved() -> None:
    """What no question can fulfil says nothing, and is not passed off as a proof."""
    void = (
        '@id("void") @reason("nothing") forbid (principal is Human, action, resource)'
        " when { !(principal is Human) };"
    )
    (verdict,) = prove(PACK, PolicySet.assembled({"void.cedar": void}))
    assert verdict.outcome is Outcome.NOT_PROVED


def test_two_packs_are_compared() -> None:
    """A pack differs from itself in nothing; one rule less is a question that only one allows."""
    same = differences(PACK, PACK, ("a", "b"))
    assert [verdict.outcome for verdict in same] == [Outcome.PROVED, Outcome.PROVED]
    less = PolicySet.assembled(
        {
            file: text.replace(text_of(default_pack(), "incident-must-be-confirmed"), "")
            for file, text in default_pack().items()
        }
    )
    here, there = differences(PACK, less, ("a", "b"))
    assert (here.outcome, there.outcome) == (Outcome.PROVED, Outcome.BROKEN)
    assert there.witness is not None
    assert there.witness.facts["context.incident.confirmed"] is False


def test_the_command_says_it_and_exits(tmp_path) -> None:
    """Proved is 0; a directory whose rules lack one is 2, with the question that gets through."""
    told = CliRunner().invoke(policy, ["prove", str(EXAMPLE)])
    assert told.exit_code == 0, told.output
    assert told.stdout.endswith("22 statements: 22 proved\n")
    root = tmp_path / "orders"
    shutil.copytree(EXAMPLE, root)
    (root / "policies").mkdir(exist_ok=True)
    for name, text in default_pack().items():
        lost = text_of(default_pack(), "requester-cannot-approve")
        (root / "policies" / name).write_text(text.replace(lost, ""))
    told = CliRunner().invoke(policy, ["prove", str(root), "-o", "json"])
    assert told.exit_code == 2
    broken = [v for v in json.loads(told.stdout)["verdicts"] if v["outcome"] == "broken"]
    assert [verdict["id"] for verdict in broken] == ["nobody-approves-their-own"]
    assert broken[0]["witness"]["action"] == "activation:approve"
    against = CliRunner().invoke(policy, ["prove", str(EXAMPLE), "--against", str(root)])
    assert against.exit_code == 2
    assert "broken      there: " in against.stdout


def test_own_invariants_stand_in_the_directory(tmp_path) -> None:
    """A directory brings invariants of its own; a permit among them is refused."""
    root = tmp_path / "orders"
    shutil.copytree(EXAMPLE, root)
    folder = root / "policies" / "invariants"
    folder.mkdir(parents=True)
    for name, text in default_pack().items():
        (root / "policies" / name).write_text(text)
    own = '@id("own") @reason("nobody may declare") forbid (principal, action, resource)'
    scope = own.replace("action,", 'action == Action::"incident:declare",')
    (folder / "own.cedar").write_text(f"{scope};")
    told = CliRunner().invoke(policy, ["prove", str(root)])
    assert told.exit_code == 2
    assert "Human · incident:declare · Installation" in told.stdout
    (folder / "own.cedar").write_text('@id("own") permit (principal, action, resource);')
    told = CliRunner().invoke(policy, ["prove", str(root)])
    assert told.exit_code == 2
    assert "own is a permit" in told.stderr
