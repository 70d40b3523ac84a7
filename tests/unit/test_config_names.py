"""Names that lead nowhere, keys of people, and secrets in a configuration."""

import base64

import pytest

from tests.fakes import orders
from tests.fakes.mistake import Mistake, assert_told, keys_and_words, with_person

ALICE = orders.configuration().principals["alice"].key
BOB = orders.configuration().principals["bob"].key
DAVE_GOVERNS = orders.configuration().governance.governors["dave"]
ERIN_GOVERNS = orders.configuration().governance.governors["erin"]
REPAIR = "eligibilities.orders-repair"

MISTAKES = (
    Mistake(
        "unknown principal",
        'who = ["alice", "bob"]',
        'who = ["alice", "bbo"]',
        "bbo",
        f"{REPAIR}.who[1]",
        "no principal is called 'bbo'",
        "did you mean 'bob'?",
    ),
    Mistake(
        "unknown group",
        'who = ["group:sre-oncall"]',
        'who = ["group:sre"]',
        '"group:sre"',
        "eligibilities.orders-look.who[0]",
        "no group is called 'sre'",
        "define [groups.sre]",
    ),
    Mistake(
        "unknown target",
        '["orders-db:read"]',
        '["order-db:read"]',
        "order-db:read",
        "eligibilities.orders-look.opens[0]",
        "no target is called",
        "'orders-db'",
    ),
    Mistake(
        "unknown role",
        '["orders-db:read"]',
        '["orders-db:reed"]',
        "reed",
        "eligibilities.orders-look.opens[0]",
        "orders-db has no role 'reed'",
        "'read'",
    ),
    Mistake(
        "unknown member",
        'members = ["grace"]',
        'members = ["gracie"]',
        "gracie",
        "groups.database-owners.members[0]",
        "no person, workload or agent",
        "'grace'",
    ),
    Mistake(
        "unknown person",
        'answers = ["alice"]',
        'answers = ["alicia"]',
        "alicia",
        "principals.orders-fixer.answers[0]",
        "no person is called",
        "'alice'",
    ),
    Mistake(
        "unknown governor",
        f'dave = "{DAVE_GOVERNS}"',
        f'davy = "{DAVE_GOVERNS}"',
        "davy",
        "governance.governors.davy",
        "no person is called",
        "'dave'",
    ),
    Mistake(
        "unknown security group",
        'security = ["group:security"]',
        'security = ["group:seccurity"]',
        "seccurity",
        "governance.security[0]",
        "no group is called",
        "'security'",
    ),
    Mistake(
        "security that is no group",
        'security = ["group:security"]',
        'security = ["erin"]',
        'security = ["erin"]',
        "governance.security[0]",
        "is not a group",
        "group:NAME",
    ),
    Mistake(
        "unknown owner",
        '"group:database-owners"\ndatabases',
        '"group:owners"\ndatabases',
        '"group:owners"',
        "targets.orders-db.owner",
        "no group is called",
        "define [groups.owners]",
    ),
    Mistake(
        "source names no target",
        'checkout = ["orders-db"]',
        'checkout = ["checkout-db"]',
        "checkout-db",
        "sources.alertmanager.targets.checkout[0]",
        "no target is called",
        "define [targets.checkout-db]",
    ),
    Mistake(
        "machine as approver",
        'approval = { quorum = 1, from = ["group:incident-commanders"], within = "24h" }',
        'approval = { quorum = 1, from = ["orders-fixer"], within = "24h" }',
        '["orders-fixer"]',
        "eligibilities.orders-maintenance.approval.from[0]",
        "only persons decide",
        "a human principal",
    ),
    Mistake(
        "not base64",
        f'person = "alice", key = "{ALICE}"',
        'person = "alice", key = "secret!"',
        "secret!",
        "principals.alice.key",
        "not standard base64",
        "callpoint keygen",
    ),
    Mistake(
        "short key",
        f'person = "alice", key = "{ALICE}"',
        'person = "alice", key = "AAAA"',
        "AAAA",
        "principals.alice.key",
        "3 bytes instead of 32",
        "callpoint keygen",
    ),
    Mistake(
        "key with which anybody signs",
        f'person = "alice", key = "{ALICE}"',
        f'person = "alice", key = "{base64.b64encode(bytes(32)).decode()}"',
        "alice = { kind",
        "principals.alice.key",
        "small order",
        "callpoint keygen",
    ),
    Mistake(
        "one key, two principals",
        f'person = "bob", key = "{BOB}"',
        f'person = "bob", key = "{ALICE}"',
        'person = "bob"',
        "principals.bob.key",
        "is the key of 'alice' too",
        "one key for each",
    ),
    Mistake(
        "one key, two governors",
        f'erin = "{ERIN_GOVERNS}"',
        f'erin = "{DAVE_GOVERNS}"',
        f'erin = "{DAVE_GOVERNS}"',
        "governance.governors.erin",
        "is the key of governor 'dave' too",
        "one key for each",
    ),
    Mistake(
        "governor with another person's key",
        f'erin = "{ERIN_GOVERNS}"',
        f'erin = "{ALICE}"',
        f'erin = "{ALICE}"',
        "governance.governors.erin",
        "is the key of principal 'alice'",
        "one key for each",
    ),
    Mistake(
        "human without person",
        'person = "bob", ',
        "",
        "bob = { kind",
        "principals.bob.person",
        "is missing",
        "the one person behind the key",
    ),
    Mistake(
        "human that others answer for",
        'person = "bob", ',
        'person = "bob", answers = ["alice"], ',
        "bob = { kind",
        "principals.bob.answers",
        "does not go with kind 'human'",
        "a human has person",
    ),
    Mistake(
        "agent that nobody answers for",
        'answers = ["alice"], ',
        "",
        "orders-fixer = {",
        "principals.orders-fixer.answers",
        "is missing",
        "who answers for what it does",
    ),
    Mistake(
        "agent with an empty list",
        'answers = ["alice"], ',
        "answers = [], ",
        "orders-fixer = {",
        "principals.orders-fixer.answers",
        "is empty",
        "at least one person who answers",
    ),
    Mistake(
        "secret in the file",
        '{ env = "ORDERS_BROKER_DSN" }',
        '"postgresql://broker:hunter2@db/orders"',
        "hunter2",
        "targets.orders-db.dsn",
        "a secret is written out here",
        '{ env = "NAME" }',
    ),
    Mistake(
        "secret as a variable's name",
        '"ORDERS_BROKER_DSN"',
        '"postgresql://broker:hunter2@db/orders"',
        "hunter2",
        "targets.orders-db.dsn.env",
        "does not name an environment variable",
        "in capitals",
    ),
    Mistake(
        "secret beside the variable",
        '{ env = "ORDERS_BROKER_DSN" }',
        '{ env = "X", password = "hunter2" }',
        "hunter2",
        "targets.orders-db.dsn",
        "may only hold the key env",
        '{ env = "NAME" }',
    ),
    Mistake(
        "token for its digest",
        '"4d1566a1d7df42a8517456d60ea06ed284e535cfe4c956aa6ee172dbcdf945f7"',
        '"hunter2"',
        "hunter2",
        "sources.alertmanager.token_sha256",
        "has another form",
        "sha256sum",
    ),
)


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_name_that_leads_nowhere_is_told(mistake: Mistake):
    """Each mistake names the file, the line, the key, what is wrong and what to write."""
    assert_told(mistake)


@pytest.mark.parametrize("mistake", [m for m in MISTAKES if "hunter2" in m.new], ids=str)
def test_secrets_are_not_repeated(mistake: Mistake):
    """A secret that was pasted into the file does not reach the terminal or a CI log."""
    errors = orders.errors_of(orders.changed((mistake.old, mistake.new)))
    assert "hunter2" not in " ".join(str(e) for e in errors)


def test_a_person_without_principal_is_fine():
    """A person may be named before a key exists."""
    assert "heidi" in orders.read(with_person("heidi", orders.text())).persons


def test_a_name_is_a_person_or_a_machine():
    """In a group a name must mean one thing, so an agent cannot be called like a person."""
    text = with_person("orders-fixer", orders.text())
    assert "principals.orders-fixer: is also the name of another person" in keys_and_words(text)


def test_a_human_principal_is_no_member():
    """Groups list persons: a second key of a person is not a second member."""
    text = orders.changed(
        ("alice = { kind", "ally = { kind"),
        ('who = ["alice", "bob"]', 'who = ["ally", "bob"]'),
        ('members = ["grace"]', 'members = ["ally"]'),
    )
    assert "groups.database-owners.members[0]: 'ally' is a human principal" in keys_and_words(text)


def test_an_agent_has_no_person():
    """An agent that calls itself a person's is told to name who answers for it."""
    text = orders.changed(('answers = ["alice"], ', 'person = "alice", '))
    assert [e.key for e in orders.errors_of(text)] == [
        "principals.orders-fixer.answers",
        "principals.orders-fixer.person",
    ]


def test_a_governor_may_use_the_key_of_the_same_person():
    """What is signed says what it is, so one person may hold one key for both."""
    dave = orders.configuration().principals["dave"].key
    found = orders.read(orders.changed((DAVE_GOVERNS, dave)))
    assert found.governance.governors["dave"] == dave
