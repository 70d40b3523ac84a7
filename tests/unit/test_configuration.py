"""Who is among whom: persons, groups and principals of a configuration."""

import pytest

from callpoint.domain.eligibility import Opening, parse_opening
from callpoint.domain.errors import NotFoundError
from tests.fakes.world import configuration

RULES = configuration()


@pytest.mark.parametrize(
    "name, groups",
    [
        ("alice", {"oncall"}),
        ("bob", {"oncall", "commanders"}),
        ("fixer", {"oncall"}),
        ("gina", set()),
    ],
)
def test_a_human_is_in_a_group_by_its_person_and_a_machine_by_its_own_name(name, groups):
    """That alice answers for the fixer puts the fixer into none of her groups."""
    assert RULES.groups_of(RULES.principals[name]) == groups


@pytest.mark.parametrize(
    "name, subjects, yes",
    [
        ("alice", ("alice",), True),
        ("alice", ("group:oncall",), True),
        ("alice", ("group:commanders", "bob"), False),
        ("alice", ("oncall",), False),
        ("alice", (), False),
        ("deployer", ("group:oncall",), True),
    ],
)
def test_a_principal_is_among_subjects_by_name_or_group(name, subjects, yes):
    """A group is meant only when it is written as one."""
    assert RULES.is_among(RULES.principals[name], subjects) is yes


@pytest.mark.parametrize(
    "subjects, persons",
    [
        (("group:commanders",), {"bob", "carol", "dave"}),
        (("group:oncall",), {"alice", "bob"}),
        (("gina", "group:security"), {"gina", "erin", "frank"}),
        (("fixer", "deployer"), set()),
        (("group:nobody", "stranger"), set()),
        ((), set()),
    ],
)
def test_persons_are_natural_persons_only(subjects, persons):
    """Machines and names that nobody has are no persons, in a group or alone."""
    assert RULES.persons_in(subjects) == persons


def test_what_is_not_configured_is_not_found_and_said_by_kind():
    """The error names what was looked for, cut to a length."""
    with pytest.raises(NotFoundError, match="no principal is called"):
        RULES.principal("mallory")
    with pytest.raises(NotFoundError, match="no target is called"):
        RULES.target("x" * 500)
    with pytest.raises(NotFoundError, match="no eligibility is called"):
        RULES.eligibility("")
    assert RULES.principal("alice").id == "alice"
    assert RULES.target("orders-db").id == "orders-db"
    assert RULES.eligibility("orders-repair").id == "orders-repair"


def test_an_opening_is_one_role_of_one_target():
    """Written ``target:role``; anything else is no opening."""
    assert RULES.has_opening(Opening("orders-db", "repair"))
    assert not RULES.has_opening(Opening("orders-db", "root"))
    assert not RULES.has_opening(Opening("billing-db", "repair"))
    assert str(parse_opening("orders-db:repair")) == "orders-db:repair"
    for text in ("", "orders-db", ":repair", "orders-db:", "a:b:c"):
        with pytest.raises(ValueError, match="target:role"):
            parse_opening(text)
