"""Mistakes in keys, values and limits of a configuration."""

import pytest

from tests.fakes import orders
from tests.fakes.mistake import Mistake, assert_told, keys_and_words

REPAIR = "eligibilities.orders-repair"

MISTAKES = (
    Mistake(
        "misspelt key",
        'idle = "10m"',
        'idel = "10m"',
        "idel",
        f"{REPAIR}.idel",
        "unknown key",
        "did you mean 'idle'?",
    ),
    Mistake(
        "unlike any key",
        'idle = "10m"',
        "zzz = 1",
        "zzz",
        f"{REPAIR}.zzz",
        "unknown key",
        "allowed: accept_residual, allowance",
    ),
    Mistake(
        "unknown inner key",
        "must_name_target = true",
        "must_name_targets = true",
        "must_name_targets",
        f"{REPAIR}.incident.must_name_targets",
        "unknown key",
        "'must_name_target'",
    ),
    Mistake(
        "unknown section",
        "[persons]",
        "[people]\n[persons]",
        "[people]",
        "people",
        "unknown section",
        "allowed: eligibilities",
    ),
    Mistake(
        "missing key",
        'lane = "elevation"\n',
        "",
        "[eligibilities.orders-maintenance]",
        "eligibilities.orders-maintenance.lane",
        "is missing",
        'one of "break-glass", "elevation"',
    ),
    Mistake(
        "unknown connector setting",
        'databases = ["orders"]',
        'databases = ["orders"]\nconection_limit = 2',
        "conection_limit",
        "targets.orders-db.conection_limit",
        "unknown key",
        "'connection_limit'",
    ),
    Mistake(
        "unknown role setting",
        'parent = "orders_read"',
        'parent = "orders_read", grants = ["x"]',
        "grants",
        "targets.orders-db.roles.read.grants",
        "unknown key",
        "parent",
    ),
    Mistake(
        "unknown connector",
        'connector = "postgresql"',
        'connector = "postgres"',
        'connector = "postgres"',
        "targets.orders-db.connector",
        "is not a choice",
        "'postgresql'",
    ),
    Mistake(
        "key written twice",
        'for = "30m"',
        'for = "30m"\nfor = "40m"',
        '"40m"',
        f"{REPAIR}.for",
        "written twice: first on line",
        "keep one",
    ),
    Mistake(
        "table written twice",
        "[groups]",
        "[eligibilities.orders-look]\n[groups]",
        "[eligibilities.orders-look]\nlane",
        "eligibilities.orders-look",
        "written twice: first on line",
        "keep one",
    ),
    Mistake("no TOML", "[groups]", "[groups", "[groups", "", "not TOML", "correct the syntax"),
    Mistake(
        "number for a span",
        'for = "30m"',
        "for = 30",
        "for = 30",
        f"{REPAIR}.for",
        "is an integer",
        "a span from 1m to 8h",
    ),
    Mistake(
        "bad span",
        'for = "30m"',
        'for = "half an hour"',
        "half an hour",
        f"{REPAIR}.for",
        "'half an hour' is not a span",
        'such as "30m"',
    ),
    Mistake(
        "break-glass too long",
        'for = "30m"',
        'for = "4h1m"',
        "4h1m",
        f"{REPAIR}.for",
        "4h1m is too long for break-glass",
        "at most 4h",
    ),
    Mistake(
        "elevation too long",
        'for = "2h"',
        'for = "8h1s"',
        "8h1s",
        "eligibilities.orders-maintenance.for",
        "out of limits",
        "a span from 1m to 8h",
    ),
    Mistake(
        "votes may take too long",
        'within = "24h"',
        'within = "25h"',
        "25h",
        "eligibilities.orders-maintenance.approval.within",
        "out of limits",
        "from 1m to 1d",
    ),
    Mistake(
        "idle longer than the activation",
        'idle = "10m"',
        'idle = "31m"',
        "31m",
        f"{REPAIR}.idle",
        "never ends anything",
        "shorten it",
    ),
    Mistake(
        "triage after close",
        'triage = "3d", close = "14d"',
        'triage = "3d", close = "2d"',
        'close = "2d"',
        "eligibilities.orders-maintenance.review.triage",
        "comes after close",
        "before the verdict",
    ),
    Mistake(
        "quorum of nobody",
        "quorum = 2, from",
        "quorum = 0, from",
        "quorum = 0",
        f"{REPAIR}.approval.quorum",
        "0 is out of limits",
        "from 1 to 9",
    ),
    Mistake(
        "boolean for a number",
        "quorum = 2, from",
        "quorum = true, from",
        "quorum = true",
        f"{REPAIR}.approval.quorum",
        "is a boolean",
        "an integer",
    ),
    Mistake(
        "text for a list",
        'who = ["alice", "bob"]',
        'who = "alice"',
        'who = "alice"',
        f"{REPAIR}.who",
        "is a string",
        "a list",
    ),
    Mistake(
        "text for a table",
        'incident = { severity = ["sev1", "sev2", "sev3"] }',
        'incident = "sev1"',
        'incident = "sev1"',
        "eligibilities.orders-look.incident",
        "is a string",
        "severity, must_name_target",
    ),
    Mistake(
        "unknown severity",
        '["sev1", "sev2", "sev3"]',
        '["sev1", "sev5"]',
        "sev5",
        "eligibilities.orders-look.incident.severity[1]",
        "'sev5' is not a choice",
        "did you mean",
    ),
    Mistake(
        "listed twice",
        '["sev1", "sev2", "sev3"]',
        '["sev1", "sev1"]',
        '"sev1", "sev1"',
        "eligibilities.orders-look.incident.severity[1]",
        "is listed twice",
        "keep one",
    ),
    Mistake(
        "empty approver set",
        'quorum = 2, from = ["group:incident-commanders"]',
        "quorum = 2, from = []",
        "from = []",
        f"{REPAIR}.approval.from",
        "is empty",
        "name who approves",
    ),
    Mistake(
        "empty group",
        'members = ["grace"]',
        "members = []",
        "members = []",
        "groups.database-owners.members",
        "is empty",
        "at least one member",
    ),
    Mistake(
        "no roles",
        'roles.repair = { parent = "orders_repair" } # NOLOGIN roles that the owner of the '
        'database defined\nroles.read = { parent = "orders_read" }',
        "roles = {}",
        "roles = {}",
        "targets.orders-db.roles",
        "is empty",
        "at least one role",
    ),
    Mistake(
        "parent of Callpoint's own",
        'parent = "orders_read"',
        'parent = "pg_read_all_data"',
        "pg_read_all_data",
        "targets.orders-db.roles.read.parent",
        "has another form",
        "neither cp_… nor pg_…",
    ),
    Mistake(
        "name with capitals",
        "[eligibilities.orders-look]",
        "[eligibilities.Orders-Look]",
        "Orders-Look",
        "eligibilities.Orders-Look",
        "is not a name",
        "lower-case",
    ),
    Mistake(
        "everybody may ask",
        'who = ["alice", "bob"]',
        'who = ["*"]',
        'who = ["*"]',
        f"{REPAIR}.who[0]",
        "'*' is a wildcard",
        "list each name",
    ),
    Mistake(
        "every group",
        'who = ["group:sre-oncall"]',
        'who = ["group:*"]',
        'who = ["group:*"]',
        "eligibilities.orders-look.who[0]",
        "is a wildcard",
        "list each name",
    ),
    Mistake(
        "every role",
        '["orders-db:read"]',
        '["orders-db:*"]',
        "orders-db:*",
        "eligibilities.orders-look.opens[0]",
        "'orders-db:*' is a wildcard",
        "list each target:role",
    ),
    Mistake(
        "every member",
        'members = ["grace"]',
        'members = ["*"]',
        'members = ["*"]',
        "groups.database-owners.members[0]",
        "is a wildcard",
        "list each",
    ),
    Mistake(
        "opening without role",
        '["orders-db:read"]',
        '["orders-db"]',
        'opens = ["orders-db"]',
        "eligibilities.orders-look.opens[0]",
        "is not target:role",
        "TARGET:ROLE",
    ),
)


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_wrong_key_or_value_is_told(mistake: Mistake):
    """Each mistake names the file, the line, the key, what is wrong and what to write."""
    assert_told(mistake)


def test_all_mistakes_are_told_at_once():
    """One run names every mistake of the file, in the order of its lines."""
    text = orders.changed(
        ('idle = "10m"', 'idle = "10x"'),
        ("quorum = 2 ", "quorum = 4 "),
        ('who = ["group:sre-oncall"]', 'who = ["group:sre"]'),
        ('for = "2h"', 'for = "9h"'),
    )
    errors = orders.errors_of(text)
    assert [e.key for e in errors] == [
        "governance.quorum",
        f"{REPAIR}.idle",
        "eligibilities.orders-look.who[0]",
        "eligibilities.orders-maintenance.for",
    ]
    assert [e.line for e in errors] == sorted(e.line or 0 for e in errors)


def test_missing_sections_are_told():
    """An empty file names each section that it lacks."""
    assert [e.key for e in orders.errors_of("")] == [
        "eligibilities",
        "governance",
        "groups",
        "persons",
        "principals",
        "targets",
    ]


def test_a_section_that_is_no_table():
    """A section written as a value is told how to be written."""
    (error, *_) = orders.errors_of('persons = "alice"')
    assert (error.key, error.message) == ("eligibilities", "section is missing")
    assert "persons: is a string" in keys_and_words('persons = "alice"')


def test_an_entry_that_is_no_table():
    """An entry written as a value is told which keys it takes."""
    assert "targets.orders-db: is an integer" in keys_and_words("[targets]\norders-db = 1")
    assert "persons.alice: is a boolean" in keys_and_words("[persons]\nalice = true")


@pytest.mark.parametrize(
    "value,called",
    [
        ("1.5", "a float"),
        ("[1]", "an array"),
        ("{ a = 1 }", "a table"),
        ("07:32:00", "a date or time"),
        ("1979-05-27", "a date or time"),
        ("true", "a boolean"),
        ("1", "an integer"),
    ],
)
def test_a_value_of_another_type_is_called_by_its_name(value: str, called: str):
    """The message uses TOML's words for what stands there."""
    text = orders.changed(('for = "30m"', f"for = {value}"))
    assert f"{REPAIR}.for: is {called}" in keys_and_words(text)


@pytest.mark.parametrize(
    "old,new,told",
    [
        ("= true }", '= "yes" }', f"{REPAIR}.incident.must_name_target: is a string"),
        ('"Alice Adler"', '"Alice\\tAdler"', "persons.alice.name: is empty, too long"),
        ('"Alice Adler"', '""', "persons.alice.name: is empty, too long"),
        ('{ members = ["grace"] }', f"{{ members = {['x'] * 201} }}", "has more than 200 items"),
        ("severity = { page", "severity = 1 # { page", "sources.alertmanager.severity: is an int"),
        ('"orders-db.example.net"', '"a b"', "advertise_host: 'a b' has another form"),
        ('"orders-db.example.net"', f'"{"x" * 101}"', "…' has another form"),
    ],
)
def test_further_values(old: str, new: str, told: str):
    """Every kind of value refuses what it is not."""
    assert told in keys_and_words(orders.changed((old, new)))
