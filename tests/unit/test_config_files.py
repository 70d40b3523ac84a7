"""A configuration directory, its files, and where in them each key stands."""

import base64
from datetime import timedelta
from pathlib import Path

import pytest

from callpoint.config.document import MAX_BYTES, parse_document
from callpoint.config.files import load_directory
from callpoint.config.positions import dotted, find_lines
from callpoint.domain.errors import ConfigError, ConfigErrors
from callpoint.domain.public_key import weakness
from callpoint.domain.span import format_span, parse_span
from tests.fakes import orders


def directory(root: Path, **files: str | bytes) -> Path:
    """A copy of the example; ``part``, ``policy`` and ``main`` replace or add files."""
    places = {
        "main": "callpoint.toml",
        "part": "callpoint.d/part.toml",
        "policy": "policies/a.cedar",
    }
    for name, content in {"main": orders.text(), **files}.items():
        file = root / places[name]
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def errors_in(root: Path) -> list[tuple[str, int | None, str]]:
    with pytest.raises(ConfigErrors) as told:
        load_directory(root, {"default.cedar": ""})
    return [(e.file, e.line, e.message) for e in told.value.errors]


def test_the_example_loads():
    """The example in the repository is sound, and says what its comments say."""
    sources = load_directory(orders.DIRECTORY, {"default.cedar": "x"})
    found = sources.configuration
    assert found.eligibilities["orders-repair"].ttl == timedelta(minutes=30)
    assert found.targets["orders-db"].settings == {
        "dsn_env": "ORDERS_BROKER_DSN",
        "databases": ("orders",),
        "advertise_host": "orders-db.example.net",
        "connection_limit": 5,
        "mode": "functions",
        "schema": "callpoint",
    }
    assert found.principals["orders-fixer"].persons == ("alice",)
    assert sources.policies == {"default.cedar": "x"}
    assert [file.name for file in sources.files] == ["callpoint.toml"]


def test_endpoints_become_lines():
    """Further ways in go on as name, kind and the variable that holds the secret."""
    more = 'endpoints.replica = { dsn = { env = "REPLICA_DSN" } }\ndatabases = '
    more += '["orders"]\nendpoints.pool = { dsn = { env = "POOL_DSN" }, kind = "pooler" }'
    found = orders.read(orders.changed(('databases = ["orders"]', more)))
    assert found.targets["orders-db"].settings["endpoints_env"] == (
        "pool pooler POOL_DSN",
        "replica standby REPLICA_DSN",
    )


def test_parts_and_policies_are_read(tmp_path: Path):
    """Further files add entries, and policies come by their file name."""
    root = directory(tmp_path, part='[persons.heidi]\nname = "Heidi"', policy="permit(…);")
    sources = load_directory(root)
    assert "heidi" in sources.configuration.persons
    assert sources.policies == {"a.cedar": "permit(…);"}
    assert [f.name for f in sources.files] == ["callpoint.toml", "part.toml", "a.cedar"]


def test_an_entry_is_in_one_file(tmp_path: Path):
    """The same name in two files is an error in the second, not a silent override."""
    root = directory(tmp_path, part='# one\n[persons.alice]\nname = "Mallory"')
    assert ("callpoint.d/part.toml", 2, "is defined in another file too") in errors_in(root)


def test_errors_name_the_file_that_holds_them(tmp_path: Path):
    """A wrong line in a further file is told with that file and line."""
    root = directory(tmp_path, part='[persons.heidi]\nnmae = "Heidi"')
    assert ("callpoint.d/part.toml", 2, "unknown key") in errors_in(root)


def test_every_broken_file_is_told(tmp_path: Path):
    """Files that cannot be read at all are told together."""
    root = directory(tmp_path, main="[persons", part=b"a = 1\nb = '\xff'", policy=b"\n\n\xff")
    found = {(file, line) for file, line, _ in errors_in(root)}
    assert found == {("callpoint.toml", 1), ("callpoint.d/part.toml", 2), ("policies/a.cedar", 3)}


def test_a_directory_without_configuration_is_told(tmp_path: Path):
    """The missing file is named, and how to name another directory."""
    assert errors_in(tmp_path) == [(str(tmp_path), None, "there is no callpoint.toml")]


def test_an_empty_policy_folder_is_told(tmp_path: Path):
    """A folder without policies would deny everything: that is never meant."""
    root = directory(tmp_path)
    (root / "policies").mkdir()
    assert errors_in(root) == [("policies", None, "holds no policy, so everything would be denied")]


def test_an_unreadable_file_is_told(tmp_path: Path):
    """What the system refuses to open is an error with the file's name."""
    root = directory(tmp_path)
    (root / "policies" / "a.cedar").mkdir(parents=True)
    (root / "callpoint.d" / "part.toml").mkdir(parents=True)
    told = errors_in(root)
    assert [file for file, _, _ in told] == ["callpoint.d/part.toml", "policies/a.cedar"]
    assert all("cannot be read" in message for _, _, message in told)


@pytest.mark.parametrize(
    "raw,line,words",
    [
        (b"x" * (MAX_BYTES + 1), 1, "more than"),
        ("a = 1\nb = " + "[" * 50 + "]" * 50, 2, "nest deeper"),
        ("a = " + "{a=" * 50 + "1" + "}" * 50, 1, "nest deeper"),
        ("a = " + "9" * 5000, 1, "out of range"),
        ("[a]\nx = 1\n[a.b]\n[a.b]", 4, "written twice"),
        ("a = 1\n'a' = 2", 2, "written twice"),
        ("a.b = 1\n[a]\nb = 1", 3, "written twice"),
        ("a = '", 1, "not TOML"),
    ],
)
def test_texts_that_are_no_toml(raw: bytes | str, line: int, words: str):
    """A text that cannot be read is told with the line, whatever is wrong with it."""
    with pytest.raises(ConfigError) as told:
        parse_document(raw, "f")
    assert words in told.value.message
    assert (told.value.file, told.value.line) == ("f", line)
    assert told.value.way_out


def test_lines_of_every_form_of_key():
    """Tables, arrays of tables, dotted and quoted keys, inline tables and items have lines."""
    text = '''# head
a.b = 1
"q \\u0041".'x' = """
[no]
"""

[t.u]
list = [ # why
  1,
  { k = "]" },
]
[[many]]
n = 'a'
[[many]]
n = 2
  [many.sub]
  z = \'\'\'
  = \'\'\'
end = 1979-05-27T07:32:00Z
'''
    lines = find_lines(text).first
    spelt = {dotted(path): line for path, line in lines.items()}
    assert spelt == {
        "a": 2,
        "a.b": 2,
        '"q A"': 3,
        '"q A".x': 3,
        "t.u": 7,
        "t.u.list": 8,
        "t.u.list[0]": 9,
        "t.u.list[1]": 10,
        "t.u.list[1].k": 10,
        "many": 12,
        "many[0]": 12,
        "many[0].n": 13,
        "many[1]": 14,
        "many[1].n": 15,
        "many[1].sub": 16,
        "many[1].sub.z": 17,
        "many[1].sub.end": 19,
    }


@pytest.mark.parametrize(
    "text,span",
    [
        ("30m", timedelta(minutes=30)),
        ("24h", timedelta(hours=24)),
        ("90d", timedelta(days=90)),
        ("1h30m", timedelta(minutes=90)),
        ("1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("0s", timedelta(0)),
    ],
)
def test_spans(text: str, span: timedelta):
    """Spans are read as people write them, and written back so that they read the same."""
    assert parse_span(text) == span
    assert parse_span(format_span(span)) == span


def test_spans_without_a_text_of_their_own():
    """What no file can say is never shown as something else."""
    assert format_span(timedelta(minutes=1, microseconds=1)) == "0:01:00.000001"
    assert format_span(timedelta(seconds=-1)) == "-1 day, 23:59:59"


@pytest.mark.parametrize("text", ["", "30", "m", "30M", "1m1h", "1m1m", "-1m", "1.5h", "1 h", "٣m"])
def test_what_is_no_span(text: str):
    """Anything else is refused: no guessing at 3 a.m."""
    with pytest.raises(ValueError, match="not a span"):
        parse_span(text)


ORDER_EIGHT = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"


@pytest.mark.parametrize(
    "raw,why",
    [
        (bytes(32), "small order"),
        ((1).to_bytes(32, "little"), "small order"),
        ((2**255 - 20).to_bytes(32, "little"), "small order"),
        (((1 << 255) | 1).to_bytes(32, "little"), "small order"),
        (bytes.fromhex(ORDER_EIGHT), "small order"),
        ((2**255 - 19).to_bytes(32, "little"), "not a point"),
        ((2).to_bytes(32, "little"), "not a point"),
        (bytes(31), "31 bytes"),
    ],
)
def test_keys_with_which_anybody_signs(raw: bytes, why: str):
    """A key that is no point, or one of small order, is refused before it can govern."""
    assert why in weakness(base64.b64encode(raw).decode())


def test_sound_keys():
    """Keys that Ed25519 makes are taken; a second spelling of one is not."""
    key = orders.configuration().principals["alice"].key
    assert weakness(key) == ""
    assert weakness(key.rstrip("=")) == "not standard base64"
    bent = key[:-2] + chr(ord(key[-2]) + 1) + "="
    assert weakness(bent) in {"base64 with a second spelling", "not standard base64"}
