"""Callers beside each other, and how long each of them waited."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Took:
    """One phase: each call's seconds, and those of the whole."""

    calls: Sequence[float]
    whole: float

    @property
    def rate(self) -> float:
        """Calls a second."""
        return len(self.calls) / self.whole


async def work_off(
    items: Sequence[Item], clients: int, act: Callable[[Item], Awaitable[Result]]
) -> tuple[list[Result], Took]:
    """So many clients take the items one after another until none is left."""
    waiting, took, results = iter(items), [], []

    async def client() -> None:
        for item in waiting:
            begun = time.perf_counter()
            results.append(await act(item))
            took.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return results, Took(took, time.perf_counter() - begun)


async def for_seconds(
    seconds: float, clients: int, act: Callable[[int], Awaitable[object]]
) -> Took:
    """So many clients call again and again; each is given its number."""
    took: list[float] = []
    begun = time.perf_counter()
    end = begun + seconds

    async def client(number: int) -> None:
        while (start := time.perf_counter()) < end:
            await act(number)
            took.append(time.perf_counter() - start)

    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(client(number))
    return Took(took, time.perf_counter() - begun)


def together(phases: Sequence[Took]) -> Took:
    """Several rounds of the same as one."""
    return Took([t for phase in phases for t in phase.calls], sum(phase.whole for phase in phases))
