"""``[gateways]``, targets behind them, and allowances: what a file may say, and what widens."""

import msgspec
import pytest

from callpoint.config.soundness import verify_sound
from callpoint.domain.allowance import Allowance, Rate
from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import ConfigError
from callpoint.domain.gateway import Evidence, Gateway, Recording
from callpoint.domain.span import parse_span
from callpoint.domain.widening import compare
from tests.fakes import orders

OWNER = 'owner = "group:database-owners"\n'
IDLE = 'idle = "10m"\n'
FRONT = """
[gateways.front]
protocol = "postgresql"
advertise_host = "gateway.example"
advertise_port = 6432
"""
EVERYTHING = (
    "allowance = { actions = 50, rows = 1000, bytes = 0, objects = 5, destructive = 1, "
    'rate = "60 per 1m" }\n'
)


def file(passage: str = 'gateway = "front"\n', more: str = "", gateways: str = FRONT) -> str:
    """The example with its target behind a gateway, and more on its first eligibility."""
    return orders.changed((OWNER, OWNER + passage), (IDLE, IDLE + more)) + gateways


def problems(toml: str) -> list[tuple[str, str]]:
    return [(e.key, e.message) for e in orders.errors_of(toml)]


def test_a_whole_table_is_read_and_is_sound():
    """What a file says arrives, and survives being checked as a bundle."""
    passage = 'gateway = "front"\nevidence = "with"\nrecording = "redacted"\n'
    found = orders.read(file(passage, EVERYTHING))
    verify_sound(found)
    assert found.gateway("front") == Gateway(
        "front", "postgresql", "gateway.example", 6432, "verify-full"
    )
    target = found.target("orders-db")
    assert (target.behind, target.evidenced, target.recorded) == (
        "front",
        Evidence.WITH,
        Recording.REDACTED,
    )
    assert found.eligibility("orders-repair").spends == Allowance(
        50, 1000, 0, 5, 1, Rate(60, parse_span("1m"))
    )


def test_without_a_word_nothing_changes():
    """A configuration without gateways is written as before, so its digest stays."""
    found = orders.configuration()
    words = msgspec.json.encode(found)
    for word in (b"gateway", b"evidence", b"recording", b"allowance"):
        assert word not in words
    target = found.target("orders-db")
    assert (target.behind, target.evidenced, target.recorded) == (
        "",
        Evidence.BEFORE,
        Recording.FULL,
    )
    assert found.eligibility("orders-repair").spends == Allowance()


def test_a_bundle_says_nothing_that_no_file_can():
    """Empty tables, and what contradicts itself, do not come from a file."""
    found = orders.read(file())
    target = found.target("orders-db")
    for bent in (
        msgspec.structs.replace(orders.configuration(), gateways={}),
        msgspec.structs.replace(
            found, targets={"orders-db": msgspec.structs.replace(target, gateway="")}
        ),
        msgspec.structs.replace(
            found,
            gateways={"front": msgspec.structs.replace(found.gateway("front"), port=0)},
        ),
    ):
        with pytest.raises(ConfigError):
            verify_sound(bent)


WRONG = [
    (file(gateways=""), "targets.orders-db.gateway", "no gateway is called 'front'"),
    (
        file('evidence = "with"\n', gateways=""),
        "targets.orders-db.evidence",
        "without a gateway none does",
    ),
    (
        file('recording = "hashed"\n', gateways=""),
        "targets.orders-db.recording",
        "without a gateway none does",
    ),
    (
        file("", "allowance = { rows = 1 }\n"),
        "eligibilities.orders-repair.allowance",
        "counts nothing on orders-db",
    ),
    (file(more="allowance = {}\n"), "eligibilities.orders-repair.allowance", "limits nothing"),
    (
        file(more='allowance = { rate = "60 per 0s" }\n'),
        "eligibilities.orders-repair.allowance.rate",
        "is no rate",
    ),
    (
        file(more='allowance = { rate = "often" }\n'),
        "eligibilities.orders-repair.allowance.rate",
        "is no rate",
    ),
    (
        file(more="allowance = { actions = 0 }\n"),
        "eligibilities.orders-repair.allowance.actions",
        "out of limits",
    ),
    (file(gateways=FRONT + 'principal = "alice"\n'), "gateways.front.principal", "is a human"),
    (
        file(gateways=FRONT + 'principal = "nobody"\n'),
        "gateways.front.principal",
        "no principal is called",
    ),
]


@pytest.mark.parametrize("toml,key,says", WRONG, ids=[f"{key}-{says}" for _, key, says in WRONG])
def test_what_nobody_would_keep_is_told(toml: str, key: str, says: str):
    """Each mistake names its key and nothing else is flooded with it."""
    ((where, message),) = problems(toml)
    assert where == key
    assert says in message


def test_a_gateway_speaks_the_targets_protocol():
    """A PostgreSQL gateway in front of a host would let nothing through."""
    host = """
[targets.box]
connector = "script"
environment = "production"
program = "/opt/callpoint/box"
host = "box.example"
gateway = "front"
roles.repair = {}
"""
    found = problems(file(gateways=FRONT + host))
    assert ("targets.box.gateway", "front speaks postgresql, and box is script") in found


def one(tight: Configuration, wide: Configuration) -> tuple[str, bool, bool]:
    """The one line that differs, and whether it widens there and back."""
    (there,) = compare(tight, wide, {}, {})
    (back,) = compare(wide, tight, {}, {})
    assert there.key == back.key
    return there.key, there.widens, back.widens


ALLOWED = "eligibilities.orders-repair.allowance"
ONE_WAY = [
    ("targets.orders-db.gateway", file(), file("")),
    (
        "targets.orders-db.evidence",
        file(),
        file('gateway = "front"\nevidence = "with"\n'),
    ),
    (
        "targets.orders-db.recording",
        file(),
        file('gateway = "front"\nrecording = "hashed"\n'),
    ),
    *(
        (f"{ALLOWED}.{key}", file(more=EVERYTHING), file(more=EVERYTHING.replace(old, new)))
        for key, old, new in (
            ("actions", "actions = 50, ", "actions = 51, "),
            ("rows", "rows = 1000, ", ""),
            ("bytes", "bytes = 0", "bytes = 1"),
            ("objects", "objects = 5, ", ""),
            ("destructive", "destructive = 1", "destructive = 2"),
            ("rate", '"60 per 1m"', '"61 per 1m"'),
            ("rate", '"60 per 1m"', '"60 per 59s"'),
            ("rate", ', rate = "60 per 1m"', ""),
        )
    ),
]


@pytest.mark.parametrize("key,tight,wide", ONE_WAY)
def test_a_line_widens_one_way_and_tightens_the_other(key: str, tight: str, wide: str):
    """Off the gateway, less on record, more allowed: the quorum; the way back: one governor."""
    assert one(orders.read(tight), orders.read(wide)) == (key, True, False)


BOTH_WAYS = [
    ("gateways.front.advertise_host", file(), file(gateways=FRONT.replace("gateway.", "evil."))),
    ("gateways.front.advertise_port", file(), file(gateways=FRONT.replace("6432", "6433"))),
    ("gateways.front.sslmode", file(), file(gateways=FRONT + 'sslmode = "require"\n')),
    (
        "targets.orders-db.recording",
        file('gateway = "front"\nrecording = "hashed"\n'),
        file('gateway = "front"\nrecording = "redacted"\n'),
    ),
    (
        f"{ALLOWED}.rate",
        file(more=EVERYTHING),
        file(more=EVERYTHING.replace("60 per 1m", "600 per 10m")),
    ),
]


@pytest.mark.parametrize("key,old,new", BOTH_WAYS)
def test_what_has_no_direction_widens(key: str, old: str, new: str):
    """A change that nobody can call tighter needs the quorum, in either direction."""
    assert one(orders.read(old), orders.read(new)) == (key, True, True)


def test_another_gateway_widens():
    """A target that moves from one gateway to another hands its credentials to another one."""
    two = FRONT + FRONT.replace("front", "back")
    moved = orders.read(file('gateway = "back"\n', gateways=two))
    key, *widens = one(orders.read(file(gateways=two)), moved)
    assert (key, widens) == ("targets.orders-db.gateway", [True, True])
