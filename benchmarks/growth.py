"""What one activation and one verification cost with 10^2, 10^4 and 10^6 activations in the store.

    python -m benchmarks.growth --json [--plot growth.png]

The stores are built first (``history.py``; the largest takes minutes and some gigabytes), then all
of them are measured in turns. An *activation* is request, vote, issue, reveal, return and proven
end, alone, with a target that answers at once: what could grow with the store is not hidden behind
one. A *verification* is the evidence of that activation and of an old one, gathered from the store
and checked as an outsider checks it. ``start_s`` is what a process proves once, when it starts:
every configuration since genesis, and for that the whole log; it grows with the log. The start
after that goes on where it ended (``start_again_s``).
"""

import asyncio
import secrets
import shutil
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path

from benchmarks.history import TARGET, build, play
from benchmarks.installation import ORIGIN, Installed, installed
from benchmarks.instant_target import instant
from benchmarks.loop import run
from benchmarks.report import Report, fail, must, options
from callpoint.adapters.keys.files import FileLogSigner
from callpoint.audit.verify import verify_bundle
from callpoint.domain.activation import Activation
from callpoint.domain.lease import LeaseState
from callpoint.evidence.bundle import encode, evidence_bundle
from callpoint.ports.stores import View

SIZES = (10**2, 10**4, 10**6)
_QUICK_SIZES = (10, 40)
_OLD = 10  # one that was used


async def measure(report: Report, folder: Path, sizes: tuple[int, ...], rounds: int) -> None:
    await _build(folder, sizes)
    incident = f"inc-{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        stores: dict[int, Installed] = {}
        for size in sizes:
            opened = installed(folder / str(size), (), connectors=instant(TARGET))
            stores[size] = here = await stack.enter_async_context(opened)
            begun = time.perf_counter()
            await here.services.rules.current()
            report.figure(f"start_s_{size}", time.perf_counter() - begun)
            again = here.rules_from(await here.services.rules.look_on())
            begun = time.perf_counter()
            await again.current()
            report.figure(f"start_again_s_{size}", time.perf_counter() - begun)
            await here.open_incident(incident)
            await _activate(here, incident)
        activating: dict[int, list[float]] = {size: [] for size in sizes}
        verifying: dict[int, list[float]] = {size: [] for size in sizes}
        for _ in range(rounds):
            for size, here in stores.items():
                begun = time.perf_counter()
                made = await _activate(here, incident)
                between = time.perf_counter()
                await _verify(here, folder / str(size), made.id, incident)
                await _verify(here, folder / str(size), f"h{_OLD % size:011d}", "inc-old")
                activating[size].append(between - begun)
                verifying[size].append((time.perf_counter() - between) / 2)
    for size in sizes:
        report.figure(f"activation_ms_{size}", statistics.median(activating[size]) * 1000)
        report.figure(f"verification_ms_{size}", statistics.median(verifying[size]) * 1000)
    first, last = sizes[0], sizes[-1]
    ratios = {
        name: report.figures[f"{name}_ms_{last}"] / report.figures[f"{name}_ms_{first}"]
        for name in ("activation", "verification")
    }
    for name, ratio in ratios.items():
        report.ratio(f"{name}_last_vs_first", ratio)
    report.ratio("last_vs_first", max(ratios.values()), "<= 1.5")


async def _build(folder: Path, sizes: tuple[int, ...]) -> None:
    """The stores that are not there yet. They stay where they were made: one that moved is held."""
    missing = [size for size in sizes if not _mark(folder, size).exists()]
    if not missing:
        return
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        past = await play(Path(scratch) / "played")
        for size in missing:
            await asyncio.to_thread(shutil.rmtree, folder / str(size), ignore_errors=True)
            begun = time.perf_counter()
            await build(past, folder / str(size), size)
            _mark(folder, size).touch()
            print(f"built {size:,} activations in {time.perf_counter() - begun:.1f} s", flush=True)


def _mark(folder: Path, size: int) -> Path:
    """Made once a store is whole."""
    return folder / str(size) / "built"


async def _activate(here: Installed, incident: str) -> Activation:
    made = await here.credential(TARGET, incident)
    await here.give_back(made.id)
    must(
        all(x.state is LeaseState.ENDED for x in await here.leases(made.id)),
        "a credential is not proven dead",
    )
    return made


async def _verify(here: Installed, folder: Path, activation: str, incident: str) -> None:
    def gather(view: View) -> bytes:
        return encode(evidence_bundle(view, here.services.installation.id, activation, incident))

    bundle = await here.services.store.read(gather)
    key = FileLogSigner(folder / "keys").verifier_key
    found = await asyncio.to_thread(verify_bundle, bundle, key, ORIGIN)
    must(found.ok, f"the evidence of {activation} does not verify: {found}")


def plot(report: Report, sizes: tuple[int, ...], path: Path) -> None:
    """Both costs over the size of the store."""
    from matplotlib.figure import Figure  # noqa: PLC0415 -- only who plots needs it

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name in ("activation", "verification"):
        costs = [report.figures[f"{name}_ms_{size}"] for size in sizes]
        axes.plot(sizes, costs, marker="o", label=f"one {name}")
    axes.set(xscale="log", xlabel="activations in the store", ylabel="milliseconds (median)")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(path)


def main() -> None:
    chosen = options(
        __doc__,
        ("--plot", {"type": Path, "metavar": "FILE", "help": "draw it, as .png or .svg"}),
        ("--largest", {"type": int, "default": SIZES[-1], "help": "for a machine with less room"}),
        (
            "--keep",
            {"type": Path, "help": "a folder to keep the stores in, and to find them again"},
        ),
    )
    if chosen.plot and find_spec("matplotlib") is None:
        fail("--plot needs matplotlib: `make benchmarks` installs it")
    report = Report()
    sizes = _QUICK_SIZES if chosen.quick else tuple(s for s in SIZES if s <= chosen.largest)
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        run(measure(report, folder, sizes, 2 if chosen.quick else 40))
    if sizes[-1] != SIZES[-1]:
        report.note(f"the largest store had {sizes[-1]} activations")
    if chosen.plot:
        plot(report, sizes, chosen.plot)
    report.finish(as_json=chosen.json)


if __name__ == "__main__":
    main()
