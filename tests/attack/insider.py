"""Every cell of a database as somebody who can write to it may change it, and what comes of it.

Generic: tables, rows and columns are those that there are, values are made from what stands there.
Two things may still be handed out after a change: what was approved before it, exactly as it was
approved, and the very box that was issued before it. Everything else is a credential too many.
"""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from callpoint.adapters.stores.sql.rows import kind_name, row_of
from callpoint.domain import event as ev
from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.errors import CallpointError
from callpoint.domain.governance import InForce, StoredBundle
from callpoint.domain.incident import Incident
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.lease import Lease, LeaseState
from callpoint.domain.record import Record
from callpoint.lifecycle import give_back, issue, use
from callpoint.ports.stores import Transaction
from tests.attack.quarry import Quarry
from tests.fakes.world import World, found_world

TABLES = ("records", "entries", "checkpoints", "head", "tiles", "spool", "personal", "recoveries")
KINDS: tuple[type[Any], ...] = (Activation, Incident, Lease, InForce, StoredBundle)
STATES = {
    "activation": [str(state) for state in ActivationState],
    "incident": [str(state) for state in IncidentState],
    "lease": [str(state) for state in LeaseState],
}
_ENTRIES_BESIDE = 300
_OTHERS = 2


@dataclass(frozen=True)
class Scene:
    """What there was before somebody came to change it.

    Attributes:
        refused: Of alice: not approved yet, withdrawn, and ended. Nothing comes of them.
        approved: Of bob, not taken up.
        live: Of bob, with its lease and box.
    """

    quarry: Quarry
    refused: tuple[str, ...]
    approved: str
    live: str
    lease: str
    box: str


@dataclass(frozen=True)
class Change:
    """One statement, and what it is for whoever reads a failure."""

    what: str
    statement: str
    values: tuple[object, ...]


async def set_scene(quarry: Quarry) -> Scene:
    """Play what there was, on an empty store."""
    async with quarry.world(seed=1) as world:
        await found_world(world)
        await world.incident()
        await world.services.store.transact(_beside)  # so that there are whole tiles
        asked = await world.ask()
        await world.vote("carol", asked.id)
        withdrawn = await world.approved()
        await give_back.withdraw(world.services, world.caller("alice"), withdrawn.id)
        ended = await world.active()
        await give_back.give_back(world.services, world.caller("alice"), ended.id)
        live = await world.active("bob")
        (lease,) = await world.leases(live.id)
        approved = await world.approved("bob")
        quarry.keys = dict(world.keys)
    refused = (asked.id, withdrawn.id, ended.id)
    return Scene(quarry, refused, approved.id, live.id, lease.id, lease.box)


def _beside(tx: Transaction) -> None:
    for _ in range(_ENTRIES_BESIDE):
        event = ev.UnknownAccountFound(target="orders-db", handle="h", account="cp_h")
        tx.append("target:beside", event)


def changes(quarry: Quarry) -> Iterator[Change]:
    """Every change that is tried."""
    for table in TABLES:
        columns = quarry.columns(table)
        rows = quarry.execute(
            f"SELECT {quarry.row}, {', '.join(columns)} FROM {table}{_beside_none(table)}"
        )
        for number, *cells in rows:
            yield Change(
                f"{table} {number} deleted",
                f"DELETE FROM {table} WHERE {quarry.row} = ?",
                (number,),
            )
            for place, (column, old) in enumerate(zip(columns, cells, strict=True)):
                others = [row[place + 1] for row in rows if row[place + 1] != old][:_OTHERS]
                for new in (*_mutated(old), *others):
                    yield Change(
                        f"{table} {number}.{column}: {old!r:.60} -> {new!r:.60}",
                        f"UPDATE {table} SET {column} = ? WHERE {quarry.row} = ?",
                        (new, number),
                    )
    for kind in KINDS:
        yield from _consistent(quarry, kind)


def _beside_none(table: str) -> str:
    """All rows but those that are only there to make the log longer, of which a few stay."""
    return " WHERE stream <> 'target:beside' OR seq < 2" if table == "entries" else ""


def _mutated(old: object) -> list[object]:
    match old:
        case int():
            return [0, old + 1, max(old - 1, 0), 10**6]
        case str():
            return ["", old + "x", old.swapcase()]
        case bytes():
            middle = len(old) // 2
            return [b"", old[:middle] + bytes([old[middle] ^ 1]) + old[middle + 1 :]] if old else []
        case _:
            return ["2026-03-01T00:00:00.000000Z"]


def _consistent(quarry: Quarry, kind: type[Any]) -> Iterator[Change]:
    """One member of a record changed, and every column with it: the row agrees with itself."""
    name = kind_name(kind)
    query = f"SELECT {quarry.row}, body FROM records WHERE kind = ?"
    for number, body in quarry.execute(query, (name,)):
        assert isinstance(body, bytes)
        plain = msgspec.json.decode(body)
        for path, old in _leaves(plain):
            for new in _replaced(name, path, old):
                with suppress(msgspec.ValidationError, ValueError):  # no record can be that
                    record = msgspec.convert(_with(plain, path, new), kind, strict=True)
                    if record != msgspec.convert(plain, kind):
                        what = f"{name}{list(path)}: {old!r:.40} -> {new!r:.40}"
                        yield _rewrite(record, quarry.row, number, what)


def _rewrite(record: Record, row: str, number: object, what: str) -> Change:
    statement = (
        "UPDATE records SET key = ?, version = ?, state = ?, parent = ?, subject = ?, due_at = ?,"
        f" priority = ?, body = ? WHERE {row} = ?"
    )
    return Change(what, statement, (*row_of(record), number))


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    match value:
        case dict():
            for key, below in value.items():
                yield from _leaves(below, (*path, key))
        case list():
            yield path, value
            for index, below in enumerate(value):
                yield from _leaves(below, (*path, index))
        case _:
            yield path, value


def _replaced(name: str, path: tuple[Any, ...], old: object) -> list[object]:
    if path == ("state",):
        return [state for state in STATES[name] if state != old]
    match old:
        case bool():
            return [not old]
        case int():
            return [0, old + 1]
        case list():
            return [[], [*old, *old]]
        case str():
            return ["", "alice", "erin", old + "0", "PT9H", "2027-01-01T00:00:00Z"]
        case _:
            return ["2026-03-01T03:00:00Z", "PT9H"]


def _with(plain: Any, path: tuple[Any, ...], new: object) -> Any:
    """A copy with one member replaced."""
    if not path:
        return new
    copy = plain.copy()
    copy[path[0]] = _with(plain[path[0]], path[1:], new)
    return copy


async def attempt(world: World, scene: Scene) -> list[str]:
    """Every way to a credential; what was handed out that must not be."""
    services, wrong = world.services, []
    for activation in scene.refused:
        for who in ("alice", "bob"):
            with suppress(CallpointError):
                await issue.issue(services, world.caller(who), activation)
                wrong.append(f"{who} was issued {activation}")
            with suppress(CallpointError):
                await use.reveal_all(services, world.caller(who), activation)
                wrong.append(f"{who} fetched {activation}")
    if world.target.accounts:
        wrong.append("an account was made")
    with suppress(CallpointError):
        box = await use.reveal(services, world.caller("bob"), scene.lease)
        if box.box != scene.box:
            wrong.append("another box was handed out")
    return [*wrong, *await _as_approved(world, scene)]


async def _as_approved(world: World, scene: Scene) -> list[str]:
    """Bob takes up what was approved: he gets that, or nothing."""
    latest = world.clock.now() + timedelta(minutes=31)
    with suppress(CallpointError):
        await issue.issue(world.services, world.caller("bob"), scene.approved)
    made = list(world.target.accounts.values())
    if any(account.role != "repair" or account.not_after > latest for account in made):
        return ["more was opened than was approved"]
    with suppress(CallpointError):
        if not await world.leases(scene.approved):
            return [] if not made else ["an account was made without a lease"]
        sealed = await world.credential(scene.approved, "bob")  # opens with bob's own key only
        if sealed.credential.username not in world.target.accounts:
            return ["the credential is of another account"]
    return [] if len(made) <= 1 else ["more than one account was made"]


async def outcome(scene: Scene, change: Change, folder: Path) -> list[str]:
    """One change made in a copy, and every way to a credential tried on it; what came of it."""
    spoilt = scene.quarry.copy(folder)
    try:
        with suppress(*scene.quarry.refusals):  # the schema itself refuses it
            spoilt.execute(change.statement, change.values)
            async with spoilt.world() as world:
                return [f"{change.what}: {line}" for line in await attempt(world, scene)]
    except CallpointError:
        pass  # it does not even open
    finally:
        shutil.rmtree(folder)
    return []
