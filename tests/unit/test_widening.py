"""Which line of a new configuration widens access, and how many governors must sign it."""

import typing
from datetime import timedelta
from enum import StrEnum

import msgspec
import pytest

from callpoint.domain.change import Change
from callpoint.domain.configuration import Configuration
from callpoint.domain.widening import compare, is_widening, required_signatures
from tests.fakes import orders

REPAIR = "eligibilities.orders-repair"
LOOK = "eligibilities.orders-look"


def changes(*edits: tuple[str, str]) -> tuple[Change, ...]:
    return compare(orders.configuration(), orders.read(orders.changed(*edits)), {}, {})


WIDER_ONE_WAY = [
    # key, the tighter text, the wider text
    ("governance.quorum", "quorum = 2 ", "quorum = 1 "),
    ("governance.security", '["group:security"]   #', '["group:security", "group:sre-oncall"] #'),
    ("groups.sre-oncall.members", '["alice", "bob", "orders-fixer"]', '["alice", "bob", "carol"]'),
    (f"{LOOK}.mode", 'mode = "assisted"', 'mode = "automated"'),
    (f"{REPAIR}.who", 'who = ["alice", "bob"]', 'who = ["alice", "bob", "carol"]'),
    (f"{LOOK}.opens", '["orders-db:read"]', '["orders-db:read", "orders-db:repair"]'),
    (f"{REPAIR}.for", 'for = "30m"', 'for = "31m"'),
    (f"{REPAIR}.idle", 'idle = "10m"', 'idle = "11m"'),
    (f"{REPAIR}.idle", 'idle = "10m"\n', ""),
    (f"{LOOK}.accept_residual", 'for = "15m"', 'for = "15m"\naccept_residual = true'),
    (f"{LOOK}.purposes", '["investigate"]', '["investigate", "recover"]'),
    (f"{REPAIR}.incident.severity", '["sev1", "sev2"]', '["sev1", "sev2", "sev3"]'),
    (f"{REPAIR}.incident.must_name_target", "= true }", "= false }"),
    (f"{REPAIR}.approval.quorum", "quorum = 2, from", "quorum = 1, from"),
    (
        f"{REPAIR}.approval.from",
        'quorum = 2, from = ["group:incident-commanders"]',
        'quorum = 2, from = ["group:incident-commanders", "erin"]',
    ),
    (
        f"{REPAIR}.approval.within",
        'quorum = 2, from = ["group:incident-commanders"], within = "10m"',
        'quorum = 2, from = ["group:incident-commanders"], within = "11m"',
    ),
    (f"{REPAIR}.budget.incidents", "incidents = 2", "incidents = 3"),
    (f"{REPAIR}.budget.per", 'incidents = 2, per = "90d"', 'incidents = 2, per = "89d"'),
    (
        "eligibilities.orders-maintenance.review.by",
        'by = ["group:security"], triage = "3d"',
        'by = ["group:security", "dave"], triage = "3d"',
    ),
    ("eligibilities.orders-maintenance.review.triage", 'triage = "3d"', 'triage = "4d"'),
    ("eligibilities.orders-maintenance.review.close", 'close = "14d"', 'close = "15d"'),
    ("sources.alertmanager.stale_after", 'stale_after = "8h"', 'stale_after = "9h"'),
]
CHANGES_BOTH = {"groups.sre-oncall.members"}


@pytest.mark.parametrize("key,tight,wide", WIDER_ONE_WAY)
def test_a_line_widens_one_way_and_tightens_the_other(key: str, tight: str, wide: str):
    """The line is named; loosening it widens, and taking the same back does not."""
    wider = orders.read(orders.changed((tight, wide)))
    (there,) = compare(orders.configuration(), wider, {}, {})
    (back,) = compare(wider, orders.configuration(), {}, {})
    assert (there.key, there.widens) == (key, True)
    assert (back.key, back.widens) == (key, key in CHANGES_BOTH)


ALWAYS_WIDER = [
    ("targets.orders-db.environment", 'environment = "production"', 'environment = "staging"'),
    ("targets.orders-db.dsn_env", "ORDERS_BROKER_DSN", "OTHER_DSN"),
    ("targets.orders-db.owner", 'owner = "group:database-owners"\n', ""),
    ("targets.orders-db.advertise_host", "orders-db.example.net", "evil.example.net"),
    ("targets.orders-db.roles.read.parent", '"orders_read"', '"orders_admin"'),
    ("persons.alice.name", "Alice Adler", "Bob Brandt"),
    ("principals.orders-fixer.kind", 'kind = "agent"', 'kind = "workload"'),
    ("principals.orders-fixer.persons", '["alice"], key', '["bob"], key'),
    (
        "principals.alice.key",
        orders.configuration().principals["alice"].key,
        "y9xMbucPC8zO8s8JsR2TMxd6DVZw4Fmk9oK1y7iaLnI=",
    ),
    (
        "governance.governors.dave",
        orders.configuration().governance.governors["dave"],
        orders.configuration().principals["dave"].key,
    ),
    ("sources.alertmanager.severity", 'warning = "sev3"', 'warning = "sev1"'),
    ("sources.alertmanager.targets", 'checkout = ["orders-db"]', 'pay = ["orders-db"]'),
    ("sources.alertmanager.severity_label", "stale_after", 'severity_label = "x"\nstale_after'),
    ("sources.alertmanager.token_sha256", "4d1566a1", "4d1566a2"),
]


@pytest.mark.parametrize("key,old,new", ALWAYS_WIDER)
def test_what_has_no_direction_widens(key: str, old: str, new: str):
    """A change that nobody can call tighter needs the quorum, in either direction."""
    other_way = orders.read(orders.changed((old, new)))
    assert [(c.key, c.widens) for c in compare(orders.configuration(), other_way, {}, {})] == [
        (key, True)
    ]
    assert [(c.key, c.widens) for c in compare(other_way, orders.configuration(), {}, {})] == [
        (key, True)
    ]


def replaced(**fields: object) -> Configuration:
    return msgspec.structs.replace(orders.configuration(), **fields)


@pytest.mark.parametrize(
    "section,name",
    [
        ("persons", "alice"),
        ("groups", "sre-oncall"),
        ("principals", "alice"),
        ("eligibilities", "orders-repair"),
        ("sources", "alertmanager"),
    ],
)
def test_new_entries_widen_and_removed_ones_tighten(section: str, name: str):
    """What appears gives somebody something, what disappears takes it away."""
    full = orders.configuration()
    table = dict(getattr(full, section))
    del table[name]
    less = replaced(**{section: table})
    assert compare(less, full, {}, {}) == (Change(f"{section}.{name}", widens=True, text="added"),)
    assert compare(full, less, {}, {}) == (
        Change(f"{section}.{name}", widens=False, text="removed"),
    )


def test_a_removed_target_widens():
    """Its leases could no longer be revoked, so one governor must not remove it."""
    (change,) = compare(orders.configuration(), replaced(targets={}), {}, {})
    assert (change.key, change.widens) == ("targets.orders-db", True)


def test_a_governor_less_tightens_and_one_more_widens():
    """A governor who leaves may go at once; a new one needs the quorum."""
    full = orders.configuration()
    rule = full.governance
    fewer = {k: v for k, v in rule.governors.items() if k != "frank"}
    less = replaced(governance=msgspec.structs.replace(rule, governors=fewer))
    assert not is_widening(compare(full, less, {}, {}))
    assert is_widening(compare(less, full, {}, {}))


def test_an_incident_rule_appears_or_goes():
    """Asking for an incident tightens, no longer asking widens."""
    asks = ('for = "2h"', 'for = "2h"\nincident = { severity = ["sev1"] }')
    strict = orders.read(orders.changed(asks))
    key = "eligibilities.orders-maintenance.incident"
    assert compare(orders.configuration(), strict, {}, {}) == (
        Change(key, widens=False, text="added"),
    )
    assert compare(strict, orders.configuration(), {}, {}) == (
        Change(key, widens=True, text="removed"),
    )


def rule_with(**fields: object) -> Configuration:
    full = orders.configuration()
    rule = msgspec.structs.replace(full.eligibilities["orders-repair"], **fields)
    return replaced(eligibilities={**full.eligibilities, "orders-repair": rule})


def test_what_lets_nobody_in_cannot_be_tightened():
    """Break-glass without an incident rule, or a quorum of zero, is never met: a rule opens it."""
    approval = orders.configuration().eligibilities["orders-repair"].approval
    for shut in (
        rule_with(incident=None),
        rule_with(approval=msgspec.structs.replace(approval, quorum=0)),
    ):
        (change,) = compare(shut, orders.configuration(), {}, {})
        assert change.widens


def test_the_other_lane_widens():
    """The lanes have different limits and policies, so neither is the tighter one."""
    edits = (
        ('lane = "elevation"', 'lane = "break-glass"'),
        ('for = "2h"', 'for = "2h"\nincident = { severity = ["sev1"] }'),
    )
    found = {c.key: c.widens for c in changes(*edits)}
    assert found["eligibilities.orders-maintenance.lane"]


def test_the_words_name_the_line_and_both_values():
    """A governor reads what the line was and will be."""
    (change,) = changes(("quorum = 2, from", "quorum = 1, from"))
    assert str(change) == "eligibilities.orders-repair.approval.quorum: 2 -> 1"
    (change,) = changes(('who = ["alice", "bob"]', 'who = ["alice", "carol"]'))
    assert str(change) == "eligibilities.orders-repair.who: + carol, - bob"
    assert change.widens


def test_spans_and_tables_read_as_in_the_file():
    """Values are shown as they are written, not as a program prints them."""
    (change,) = changes(('for = "30m"', 'for = "1h30m"'))
    assert change.text == "30m -> 1h30m"
    (change,) = changes(('warning = "sev3"', 'warning = "sev4"'))
    assert change.text.endswith("-> critical = sev2, page = sev1, warning = sev4")
    (change,) = changes(('databases = ["orders"]', 'databases = ["orders", "stock"]'))
    assert change.text == "[orders] -> [orders, stock]"


def test_nothing_changed():
    """The same configuration has no changes, and one governor may publish it."""
    assert compare(orders.configuration(), orders.read(orders.text()), {}, {}) == ()
    assert required_signatures((), orders.configuration(), 3) == 1


def test_the_first_bundle_widens():
    """Before the first bundle nobody has access, so it needs the quorum of genesis."""
    first = compare(None, orders.configuration(), {}, {})
    assert is_widening(first)
    assert required_signatures(first, None, 3) == 3
    assert required_signatures(first, None, 1) == 1


def test_the_quorum_in_force_counts_not_the_proposed_one():
    """Lowering the quorum to one still needs two signatures."""
    lowered = changes(("quorum = 2 ", "quorum = 1 "))
    assert required_signatures(lowered, orders.configuration(), 1) == 2


def test_tightening_needs_one():
    """What takes away applies with one signature."""
    assert (
        required_signatures(changes(('for = "30m"', 'for = "20m"')), orders.configuration(), 2) == 1
    )


# -- policies ---------------------------------------------------------------------------------

PERMIT = '@id("may")\npermit (principal, action, resource);\n'
FORBID = '@id("never")\nforbid (principal, action, resource) when { context.x == "a;b" };\n'
SUMS = '@id("sums")\npermit (principal, action, resource) when { context.a + 1 > 2 };\n'
GROUPED = '@id("kept-out")\nforbid (principal in Group::"sre-oncall", action, resource);\n'


def policies(old: str | dict[str, str], new: str | dict[str, str]) -> tuple[Change, ...]:
    before = {"a.cedar": old} if isinstance(old, str) else old
    after = {"a.cedar": new} if isinstance(new, str) else new
    return compare(orders.configuration(), orders.configuration(), before, after)


@pytest.mark.parametrize(
    "old,new,widens",
    [
        (PERMIT, PERMIT + FORBID, [("forbid 'never' added", False)]),
        (PERMIT + FORBID, FORBID, [("permit 'may' removed", False)]),
        (PERMIT + FORBID, PERMIT, [("forbid 'never' removed", True)]),
        (FORBID, FORBID + PERMIT, [("permit 'may' added", True)]),
        (PERMIT, PERMIT + PERMIT, [("permit 'may' added", True)]),
        (SUMS + PERMIT, PERMIT, [("permit 'sums' removed", True)]),
        (
            FORBID,
            FORBID.replace("a;b", "a;c"),
            [("forbid 'never' removed", True), ("forbid 'never' added", False)],
        ),
        (PERMIT, "// why\n" + PERMIT.replace(", ", ",\n  "), [("only comments", False)]),
        (PERMIT, {"b.cedar": PERMIT}, [("only comments", False)]),
        (PERMIT, PERMIT + "permit (principal", [("not understood", True)]),
        (PERMIT, PERMIT + "// hidden\x85" + FORBID, [("not understood", True)]),
        (PERMIT, PERMIT + "allow (principal);", [("not understood", True)]),
        (PERMIT, PERMIT + "§", [("not understood", True)]),
        (
            PERMIT,
            "@flag " + PERMIT,
            [("permit 'may' removed", False), ("permit 'may' added", True)],
        ),
    ],
)
def test_policies(old: str, new: str | dict[str, str], widens: list[tuple[str, bool]]):
    """Only a forbid more or a permit less tightens; all else widens, and the policy is named."""
    found = policies(old, new)
    assert len(found) == len(widens)
    for change, (words, wider) in zip(found, widens, strict=True):
        assert words in change.text
        assert change.widens is wider


def test_a_comment_ends_where_cedar_ends_it():
    """A carriage return ends a comment, so a permit behind one is seen."""
    assert [
        c.widens for c in policies(PERMIT, PERMIT + "// x\r" + FORBID.replace("forbid", "permit"))
    ] == [True]


def test_leaving_a_group_that_a_policy_names_widens():
    """A forbid may have kept its members out: leaving it then gives access."""
    fewer = orders.read(orders.changed(('["alice", "bob", "orders-fixer"]', '["alice", "bob"]')))
    named = {"a.cedar": GROUPED}
    assert not is_widening(compare(orders.configuration(), fewer, {}, {}))
    assert is_widening(compare(orders.configuration(), fewer, named, named))
    assert is_widening(compare(orders.configuration(), fewer, {"a": r'"\u{73}re"'}, {}))


def test_removing_a_group_that_a_policy_names_widens():
    """Likewise when the whole group goes."""
    table = dict(orders.configuration().groups)
    del table["sre-oncall"]
    less = replaced(groups=table)
    assert not is_widening(compare(orders.configuration(), less, {}, {}))
    assert is_widening(compare(orders.configuration(), less, {"a": GROUPED}, {"a": GROUPED}))


# -- nothing is forgotten ---------------------------------------------------------------------


def leaves(
    value: object, path: tuple[str | int, ...] = ()
) -> typing.Iterator[tuple[str | int, ...]]:
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from leaves(getattr(value, name), (*path, name))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, (*path, name))
    elif value is msgspec.UNSET or (path[-1] == "incident" and value is None):
        return  # what appears has its own test
    elif path[-1] != "id":
        yield path


def bent(value: typing.Any, path: tuple[str | int, ...]) -> typing.Any:
    """The value with the leaf at ``path`` changed."""
    if path:
        head, rest = str(path[0]), path[1:]
        if isinstance(value, dict):
            return {**value, head: bent(value[head], rest)}
        return msgspec.structs.replace(value, **{head: bent(getattr(value, head), rest)})
    return another(value)


def another(value: object) -> object:
    """A value of the same type that is not the same."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case timedelta():
            return value + timedelta(seconds=1)
        case tuple():
            return value[1:]
        case None:
            return timedelta(minutes=1)
        case StrEnum():
            return next(other for other in type(value) if other is not value)
        case _:
            return "other"


@pytest.mark.parametrize("path", list(leaves(orders.configuration())), ids=str)
def test_no_field_is_forgotten(path: tuple[str | int, ...]):
    """Every field of every struct shows up as a change, also those that a later version adds."""
    assert compare(orders.configuration(), bent(orders.configuration(), path), {}, {})


def test_a_list_in_another_order_is_told_and_does_not_widen():
    """Order means nothing in a list, yet a changed line is never passed over in silence."""
    (change,) = changes(('who = ["alice", "bob"]', 'who = ["bob", "alice"]'))
    assert str(change) == "eligibilities.orders-repair.who: only the order"
    assert not change.widens


def test_a_difference_that_no_rule_knows_widens():
    """Should a struct grow a field that is not compared, its change needs the quorum."""
    roles = tuple(reversed(orders.configuration().targets["orders-db"].roles))
    target = msgspec.structs.replace(orders.configuration().targets["orders-db"], roles=roles)
    (change,) = compare(orders.configuration(), replaced(targets={"orders-db": target}), {}, {})
    assert str(change) == "targets.orders-db: changed in a way that is not compared"
    assert change.widens
