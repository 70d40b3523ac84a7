"""Nothing that opens a door lies where others can read (I14).

What is searched is every trace that a story leaves: the home folder with SQLite's file, whatever
else was written, what the server and the commands said, the target's log with every statement in
it, and all tables of a store in PostgreSQL. People's own key files and state are left out.
"""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from callpoint.cli.ssh_agent import load_key
from tests.stories.town import PASSWORD, PEOPLE, Town

_KEY_FILES = {f"{who}.json" for who in (*PEOPLE, "fixer")}
_ONE_TIME_KEY = re.compile(rb"AGE-SECRET-KEY-1[0-9A-Z]+")
_SHORT = 20
"""A shorter line of a key is its padding."""
_TABLES = """
SELECT table_schema, table_name FROM information_schema.tables
WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
"""


def secrets(town: Town) -> Iterator[tuple[str, bytes]]:
    """What must stay where it is: the name and the plain bytes of each."""
    yield "the broker's password", PASSWORD.encode()
    for who in (*PEOPLE, "fixer"):
        seed = json.loads(town.key(who).read_text())["key"]
        yield f"{who}'s key", base64.b64decode(seed)
    for file in town.root.glob("*.credential"):
        for sealed in json.loads(file.read_text()):
            for part in _parts(sealed["credential"]["secret"]):
                yield f"the credential in {file.name}", part
    for file in (town.root / "state").rglob("*"):
        for key in _ONE_TIME_KEY.findall(file.read_bytes()) if file.is_file() else ():
            yield f"the one-time key in {file}", key


def _parts(secret: str) -> Iterator[bytes]:
    """The secret; of a private key its seed, and those of its lines that hold some of that."""
    if "PRIVATE KEY" not in secret:
        yield secret.encode()
        return
    yield load_key(secret).private_bytes_raw()
    yield from (line.encode() for line in secret.splitlines()[3:-1] if len(line) > _SHORT)


def traces(town: Town, log: bytes, store: str = "") -> Iterator[tuple[str, bytes]]:
    """Where to look: a name and the bytes of each.

    Args:
        log: What the target's server wrote down.
        store: The DSN of a store in PostgreSQL.
    """
    yield "the target's log", log
    yield "the commands' output", "".join(town.said).encode()
    for file in town.root.rglob("*"):
        if file.is_file() and not _is_ones_own(town, file):
            yield str(file.relative_to(town.root)), file.read_bytes()
    if store:
        with psycopg.connect(store, autocommit=True) as reader:
            for schema, table in reader.execute(_TABLES).fetchall():
                yield f"{schema}.{table}", _rows(reader, schema, table)


def found(town: Town, log: bytes, store: str = "", **more: str) -> list[str]:
    """Each secret that lies somewhere, however it is spelt; best is none.

    Args:
        more: Further secrets of this story.
    """
    kept = [*secrets(town), *((name, value.encode()) for name, value in more.items())]
    spelt = [(name, form) for name, value in kept for form in forms(value)]
    return [
        f"{name} in {place}"
        for place, content in traces(town, log, store)
        for name, form in spelt
        if form in content
    ]


def forms(value: bytes) -> tuple[bytes, ...]:
    """As it is, in hexadecimal, and as it reads within Base64 of something longer."""
    spelt = [
        _in_base64(value, before, alphabet) for before in range(3) for alphabet in (b"+/", b"-_")
    ]
    return (value, value.hex().encode(), value.hex().upper().encode(), *spelt)


def _in_base64(value: bytes, before: int, alphabet: bytes) -> bytes:
    """The characters that no neighbour has a part in, ``before`` bytes after a boundary."""
    bits = 8 * before, 8 * (before + len(value))
    return base64.b64encode(bytes(before) + value, alphabet)[-(-bits[0] // 6) : bits[1] // 6]


def _is_ones_own(town: Town, file: Path) -> bool:
    parts = file.relative_to(town.root).parts
    return file.name in _KEY_FILES or file.suffix == ".credential" or "state" in parts


def _rows(reader: "psycopg.Connection[Any]", schema: str, table: str) -> bytes:
    every = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(sql.Identifier(schema, table))
    with reader.cursor().copy(every) as copy:
        return b"".join(bytes(part) for part in copy)
