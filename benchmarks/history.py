"""A store with a past: any number of activations, every entry and row as the life cycle makes them.

Two lives are played once through the life cycle: one that was used, proven dead and reviewed, and
one that nobody answered, so that it lapsed. Their events and rows are then written again under new
identifiers, with digests and votes made anew, by the library's own numbering, tree, tiles, signed
checkpoints and row form. One in ten was used. All are a year old, which is beyond every budget.
"""

import asyncio
import base64
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.installation import INSTALLATION, ORIGIN, Installed, installed
from benchmarks.instant_target import instant
from benchmarks.moved_clock import MovedClock
from callpoint.adapters.clock.system import SystemClock
from callpoint.adapters.keys.files import FileLogSigner
from callpoint.adapters.stores.sql.checkpoint_file import CheckpointFile
from callpoint.adapters.stores.sql.ledger import Ledger
from callpoint.adapters.stores.sql.rows import COLUMNS, kind_name, row_of
from callpoint.adapters.stores.sqlite.connection import SqliteConnection
from callpoint.audit.entry import CLOSING_KEY, format_time, parse_entry
from callpoint.audit.log import Draft, number
from callpoint.domain.activation import Activation
from callpoint.domain.approval import Verdict, signed_message
from callpoint.domain.event import Private
from callpoint.domain.ids import activation_stream, incident_stream
from callpoint.domain.incident import Incident
from callpoint.domain.lease import Lease
from callpoint.domain.record import Record
from callpoint.domain.review import Judgement, ReviewVerdict
from callpoint.lifecycle import incidents, review
from callpoint.lifecycle.proof import checkpoint_line, newest_checkpoint
from callpoint.lifecycle.sweep import sweep
from callpoint.lifecycle.votes import statement_for
from callpoint.ports.stores import View, Where

TARGET = "orders-db"
USED_EACH = 10
_INCIDENT = "inc-old"
_CHUNK = 5_000
_AGE = timedelta(days=365)


@dataclass(frozen=True)
class Life:
    """One activation that was played, with the words that differ from one to the next."""

    activation: Activation
    drafts: tuple[bytes, ...]
    rows: tuple[tuple[type[Any], bytes], ...]


@dataclass(frozen=True)
class Past:
    """What is written again and again, and the incident that all of it was for."""

    folder: Path
    installation: Installed
    used: Life
    lapsed: Life
    incident: Life


async def play(folder: Path) -> Past:
    """Play both lives in a store of their own."""
    clock = MovedClock()
    connectors = instant(TARGET)
    async with installed(folder, (), clock=clock, connectors=connectors) as here:
        await here.open_incident(_INCIDENT)
        used = await here.credential(TARGET, _INCIDENT)
        await here.give_back(used.id)
        seen = await here.services.store.read(
            lambda view: checkpoint_line(newest_checkpoint(view, here.services.installation))
        )
        said = Judgement(ReviewVerdict.JUSTIFIED, seen)
        await review.close(here.services, here.caller("erin"), used.id, said)
        lapsed = await here.ask(TARGET, _INCIDENT)
        clock.ahead += timedelta(minutes=11)
        await sweep(here.services)
        await incidents.resolve(here.services, here.caller("gina"), _INCIDENT)
        store = here.services.store
        return Past(
            folder,
            here,
            await store.read(lambda view: _life(view, used.id)),
            await store.read(lambda view: _life(view, lapsed.id)),
            await store.read(lambda view: _incident(view, used)),
        )


def _life(view: View, activation: str) -> Life:
    found = view.get(Activation, activation)
    leases = view.select(Lease, Where(parent=activation))
    rows = ((Activation, found), *((Lease, lease) for lease in leases))
    return Life(
        found,
        _drafts(view, activation_stream(activation)),
        tuple((kind, msgspec.json.encode(row)) for kind, row in rows),
    )


def _incident(view: View, used: Activation) -> Life:
    row = msgspec.json.encode(view.get(Incident, _INCIDENT))
    return Life(used, _drafts(view, incident_stream(_INCIDENT)), ((Incident, row),))


def _drafts(view: View, stream: str) -> tuple[bytes, ...]:
    return tuple(msgspec.json.encode(_draft(view, e.index, e.leaf)) for e in view.entries(stream))


def _draft(view: View, index: int, leaf: bytes) -> Draft:
    """What an entry was before it was numbered."""
    entry = parse_entry(leaf)
    return Draft(
        stream=entry.stream,
        type=entry.type,
        version=entry.version,
        at=entry.at,
        data={key: value for key, value in entry.data.items() if key != CLOSING_KEY},
        private={v.name: Private(v.salt, v.value) for v in view.personal((index,))},
        closes=entry.is_closing,
    )


async def build(past: Past, folder: Path, activations: int) -> None:
    """An installation in ``folder`` with so many activations behind it."""
    await asyncio.to_thread(shutil.copytree, past.folder / "keys", folder / "keys")
    async with installed(folder, (), connectors=instant(TARGET)):
        pass  # genesis and the first configuration
    connection = SqliteConnection(folder / "state.db", SystemClock(), is_writer=True)
    connection.run("PRAGMA synchronous = OFF")
    ledger = Ledger(
        origin=ORIGIN,
        installation=INSTALLATION,
        signer=FileLogSigner(folder / "keys"),
        former_keys=(),
        file=CheckpointFile(folder / "checkpoint"),
    )
    try:
        _write(connection, ledger, [(past.incident, {})])
        for start in range(0, activations, _CHUNK):
            numbers = range(start, min(start + _CHUNK, activations))
            _write(connection, ledger, [_again(past, n) for n in numbers])
    finally:
        connection.close()


Changes = Mapping[bytes, bytes]


def _again(past: Past, n: int) -> tuple[Life, Changes]:
    """The n-th: which life, and what is another in it."""
    life = past.lapsed if n % USED_EACH else past.used
    old = life.activation
    request = msgspec.structs.replace(old.request, activation=f"h{n:011d}")
    digest = request.digest()
    changes = {old.id: request.activation, old.digest: digest}
    made = msgspec.structs.replace(old, request=request, digest=digest)
    for vote in old.approvals:
        principal = past.installation.bundle.configuration.principals[vote.approver]
        body = statement_for(made, principal, Verdict.APPROVE, "").body()
        signature = past.installation.keys[vote.approver].sign(signed_message(body))
        changes[vote.statement] = base64.b64encode(body).decode()
        changes[vote.signature] = base64.b64encode(signature).decode()
    return life, {key.encode(): value.encode() for key, value in changes.items()}


def _write(connection: SqliteConnection, ledger: Ledger, lives: list[tuple[Life, Changes]]) -> None:
    """Some lives in one transaction, under one checkpoint."""
    connection.begin_write()
    before = ledger.load(connection)
    drafts = [
        msgspec.json.decode(_changed(text, changes), type=Draft)
        for life, changes in lives
        for text in life.drafts
    ]
    after, entries = number(before, drafts, lambda _: None)
    ledger.seal(connection, before, after, entries, SystemClock().now() - _AGE)
    insert = f"INSERT INTO records (kind, first_at, {COLUMNS}) VALUES (?, ?{', ?' * (COLUMNS.count(',') + 1)})"  # noqa: S608, E501 -- constant names
    connection.run_many(insert, list(_rows(lives)))
    connection.commit()
    ledger.publish(after, ())


def _rows(lives: list[tuple[Life, Changes]]) -> Iterator[tuple[Any, ...]]:
    first_at = format_time(SystemClock().now() - _AGE)
    for life, changes in lives:
        for kind, text in life.rows:
            record: Record = msgspec.json.decode(_changed(text, changes), type=kind)
            yield (kind_name(kind), first_at, *row_of(record))


def _changed(text: bytes, changes: Changes) -> bytes:
    for old, new in changes.items():
        text = text.replace(old, new)
    return text
