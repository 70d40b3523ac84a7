"""Loading policies: what is wrong is refused, with its place and a way out."""

import pytest

from callpoint.domain.errors import ConfigError, ConfigErrors
from callpoint.domain.governance import Bundle
from callpoint.policy.policy_set import PolicySet, problems
from tests.fakes.policy_world import small_world

WORLD = small_world()
GOOD = """// A comment with @id("decoy") in it.
@id("people-may-request")
@needs("{principal} were a person")
permit (principal is Human, action == Action::"activation:request", resource);

@id("not-billing")
@reason("{principal} cannot open {target}")
forbid (principal, action in Action::"opening", resource in Target::"billing-db");
"""


def refused(text: str, file: str = "a.cedar") -> str:
    """What load says about the text."""
    with pytest.raises(ConfigErrors) as caught:
        PolicySet.load({file: text}, WORLD)
    return str(caught.value)


def forbid(condition: str, action: str = "activation:request") -> str:
    """A forbid that is sound but for its condition, on line 2."""
    return (
        f'\n@id("x") @reason("no") forbid (principal, action == Action::"{action}", resource)\n'
        f"when {{ {condition} }};"
    )


def test_policies_are_listed_with_their_place() -> None:
    """Each policy knows its id, effect, file, line and words."""
    loaded = PolicySet.load({"a.cedar": GOOD}, WORLD)
    first, second = loaded.policies.values()
    assert (first.id, first.effect, first.file, first.line) == (
        "people-may-request",
        "permit",
        "a.cedar",
        2,
    )
    assert first.needs == "{principal} were a person"
    assert (second.id, second.effect, second.line) == ("not-billing", "forbid", 6)
    assert second.reason == "{principal} cannot open {target}"


def test_the_digest_is_the_bundles() -> None:
    """A decision names the same digest as the bundle that holds the policies."""
    policies = {"a.cedar": GOOD}
    bundle = Bundle("abc123", 1, "", WORLD, policies)
    assert PolicySet.load(policies, WORLD).digest == bundle.policy_digest()


def test_the_trap_is_refused_at_load() -> None:
    """A forbid that reads what does not exist would be skipped by Cedar, so it is an error here."""
    found = refused(forbid("context.missing == 1"))
    assert "a.cedar:2: @id(x): attribute `missing`" in found
    assert "docs/policy.md" in found


@pytest.mark.parametrize(
    "condition, expected",
    [
        ("context.activation.ttl", "expected Bool but saw Long"),
        ('context.activation.ttl > "1h"', "expected Long but saw String"),
        ("context.incident.stat == 1", "attribute `incident.stat`"),
        ("resource.nope", "attribute `nope`"),
        ('context.activation.lane == "breakglass"', 'lane is never "breakglass"'),
        ('"opened" != context.incident.state', 'state is never "opened"'),
        (
            '["open", "unkown"].contains(context.incident.state)',
            'state is never "unkown" (one of declared, none, open, resolved, unknown)',
        ),
        (
            'context.activation.allowed_severity.containsAny(["sev9"])',
            'allowed_severity is never "sev9"',
        ),
        ('principal in Group::"oncal"', 'Group::"oncal" is not in the configuration'),
        ('principal == Human::"eve"', 'Human::"eve" is not in the configuration'),
        ('resource in Target::"orders"', "one of billing-db, orders-db"),
        ('resource == TargetRole::"orders-db:admin"', "is not in the configuration"),
    ],
)
def test_a_condition_that_could_not_work_is_refused(condition, expected) -> None:
    """Wrong types, unknown attributes, words and names are found with line and id."""
    found = refused(forbid(condition))
    assert expected in found
    assert "a.cedar:2: @id(x)" in found


def test_an_attribute_of_another_action_is_refused() -> None:
    """Reading the log has no activation, so a policy on it cannot speak of one."""
    assert "attribute `activation`" in refused(
        forbid('context.activation.id == "x"', action="log:read")
    )


@pytest.mark.parametrize(
    "text, expected",
    [
        ("permit (principal, action, resource);", "it has no @id"),
        ("@id permit (principal, action, resource);", "it has no @id"),
        ('@id("Not Good") permit (principal, action, resource);', "'Not Good' is no id"),
        ('@id("x") forbid (principal, action, resource);', "a forbid needs a sentence"),
        (
            '@id("x") @reason(" ") forbid (principal, action, resource);',
            "a forbid needs a sentence",
        ),
        (
            '@id("x") @reason("{incidnt}") forbid (principal, action, resource);',
            "{incidnt} stands for nothing",
        ),
        (
            '@id("x") @reason("{principal.__class__}") forbid (principal, action, resource);',
            "{principal.__class__} stands for nothing",
        ),
        ('@id("x") @reason("a { b") forbid (principal, action, resource);', "a brace"),
        ('@id("x") @resaon("a") permit (principal, action, resource);', "@resaon means nothing"),
        ('@id("x") @reason("a") permit (principal, action, resource);', "nothing on a permit"),
        ('@id("x") permit (principal == ?principal, action, resource);', "?principal"),
        ('@id("x") permit (principal is Persn, action, resource);', "`Persn`"),
        ('@id("x") permit (principal, action == Action::"open", resource);', '`Action::"open"`'),
        ('@id("x") permit (principal, action, resource);' * 2, "has a policy of that id already"),
    ],
)
def test_a_policy_that_is_not_ours_is_refused(text, expected) -> None:
    """What a reader or a decision record needs is demanded of each policy."""
    found = refused(text)
    assert expected in found
    assert found.endswith(")"), "each problem ends with its way out"


def test_an_id_in_two_files_is_refused() -> None:
    """The second one is named, and says where the first one is."""
    text = '\n\n@id("x") permit (principal, action, resource);'
    found = problems({"a.cedar": text, "b.cedar": text}, WORLD)
    assert [str(p) for p in found] == [
        "b.cedar:3: @id(x): a.cedar has a policy of that id already (give it another @id)"
    ]


def test_what_cannot_be_parsed_is_placed() -> None:
    """Cedar's message has no position, so the line is where the broken policy begins."""
    text = GOOD + "\n// The broken one.\npermit (principal, action, resource\n when { true };\n"
    found = refused(text)
    assert found.startswith("a.cedar:11: this is not a Cedar policy")


def test_all_problems_are_found_at_once() -> None:
    """One wrong file does not hide the problems of another."""
    found = problems({"a.cedar": "permit", "b.cedar": forbid("context.missing == 1")}, WORLD)
    assert [p.file for p in found] == ["a.cedar", "b.cedar"]


@pytest.mark.parametrize("hidden", ["\u202e", "\u200b", "\x00", "\ufeff"])
def test_invisible_characters_are_refused(hidden) -> None:
    """A governor must not sign something else than is shown."""
    found = refused(f"// harmless{hidden}\n{GOOD}")
    assert f"a.cedar:1: an invisible character, U+{ord(hidden):04X}" in found


@pytest.mark.parametrize("file", ["é.cedar", "rules.txt"])
def test_a_policy_file_has_a_plain_name(file) -> None:
    """The name is a key of the canonical bundle, which is ASCII."""
    assert "ends in .cedar" in refused(GOOD, file)


def test_no_policies_are_no_problem() -> None:
    """An empty set loads; it permits nothing."""
    assert not problems({}, WORLD)
    assert not PolicySet.load({}, WORLD).policies


@pytest.mark.parametrize(
    "condition, expected",
    [
        ("(" * 60 + "true" + ")" * 60, "brackets nest at most 50 deep"),
        ("[" * 900, "brackets nest at most 50 deep"),
        ("true && " * 20_000 + "true", "a policy has at most 1024 characters"),
        ("context" + ".a" * 20_000 + " == 1", "a policy has at most 1024 characters"),
        ("context has a" + ".a // ;\n" * 20_000, "a policy has at most 1024 characters"),
        ('"' + "x" * 300_000 + '" == ""', "a file has at most 262144 characters"),
        ("1+" * 450 + "1 == 1", "chain or nest fewer conditions"),
        ("true && " * 120 + "true", "chain or nest fewer conditions"),
    ],
)
def test_what_would_bring_the_parser_down_is_refused(condition, expected) -> None:
    """Depth and length are bounded before Cedar, whose parser crashes the process on more."""
    text = forbid(condition)
    assert expected in refused(text)
    if "chain" not in expected:
        with pytest.raises(ConfigError, match=expected):
            PolicySet.assembled({"a.cedar": text})


def test_what_is_just_within_the_bounds_is_read() -> None:
    """Semicolons and brackets in strings and comments do not count, and the worst case loads."""
    deep = "(" * 40 + "true" + ")" * 40
    chained = "context.at > 0 && " * 30 + "true"
    text = forbid(f'{deep} && {chained} && context.actor.strength != ";(([[" // ((( ;\n')
    assert not problems({"a.cedar": text}, WORLD)


def test_a_policy_that_is_too_long_is_placed() -> None:
    """The line is where that policy begins, comments and line breaks in strings included."""
    text = f'// One; two.\n{GOOD}// "\n' + forbid("true && " * 2000 + "true")
    found = refused(text)
    assert found.startswith("a.cedar:12: a policy has at most")
