"""Decisions over HTTP with 16 clients, beside Cerbos: AuthZEN on both sides.

    python -m benchmarks.authzen --json

Ours is the whole server in one process: each request is signed with an Ed25519 key and verified,
its nonce spent durably, the asker's right to ask about others decided, the question made from
stored facts that are compared with the log, decided by Cedar, and the answer in the log under a
signed checkpoint before it is given. Cerbos has one processor (GOMAXPROCS=1), takes the facts from
the asker, asks for no proof of who asks, and writes its decision log some time later.

Every second question is to be answered no. The client is a third process on the same machine; its
requests are made, and for ours signed, before the clock starts.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks import cerbos
from benchmarks.decision_point import ASKER, HOLDER, OTHER
from benchmarks.http_load import load
from benchmarks.load import Took, together
from benchmarks.loop import run
from benchmarks.report import Report, median_ratio, must, options
from callpoint.adapters.clock.system import SystemClock, SystemRandom
from callpoint.cli.signing import sign_request

CLIENTS = 16
PATH = "/access/v1/evaluation"
_YES, _NO = b'"decision":true', b'"decision":false'


@dataclass(frozen=True)
class Ours:
    """Our server, and what it can be asked about."""

    port: int
    activation: str


@contextmanager
def ours(folder: Path, report: Report, counted: list[int]) -> Iterator[Ours]:
    """Our server; at its end everything that was ``counted`` must be in its log, proven."""
    process = subprocess.Popen(  # noqa: S603 -- our own module
        [sys.executable, "-m", "benchmarks.decision_point", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("pipes were asked for")
    try:
        line = process.stdout.readline()
        must(bool(line), "our server did not start")
        yield Ours(**json.loads(line))
        process.stdin.close()
        told = json.loads(process.stdout.readline())
        must(told["made"] == sum(counted), f"{told['made']} decisions on record of {sum(counted)}")
        must(told["proven"] == told["made"], "not every decision stands under the checkpoint")
        report.figure("decisions_on_record", told["made"], 0)
    finally:
        process.kill()
        process.wait()


def signed(point: Ours, count: int) -> list[bytes]:
    """Requests to ours, each with a signature and a nonce of its own; good for a minute."""
    key = Ed25519PrivateKey.from_private_bytes(ASKER.encode().ljust(32))
    clock, random = SystemClock(), SystemRandom()
    url = f"http://127.0.0.1:{point.port}{PATH}"
    bodies = [_question(who, {"type": "activation", "id": point.activation}) for who in _ASKED]
    made = []
    for number in range(count):
        body = bodies[number % 2]
        fields = sign_request(
            "POST",
            url,
            body,
            principal=ASKER,
            key=key,
            now=clock.now(),
            nonce=random.token(16),
        )
        made.append(_request(body, fields))
    return made


def plain(count: int) -> list[bytes]:
    """Requests to Cerbos, which must be told the facts."""
    facts = {"holder": HOLDER, "state": "active", "incident": "open"}
    resource = {"type": "activation", "id": "k3v9x2m1q8za", "properties": facts}
    bodies = [_request(_question(who, resource), {}) for who in _ASKED]
    return [bodies[number % 2] for number in range(count)]


_ASKED = (HOLDER, OTHER)


def _question(who: str, resource: object) -> bytes:
    return json.dumps(
        {
            "subject": {"type": "human", "id": who},
            "action": {"name": "credential:reveal"},
            "resource": resource,
        }
    ).encode()


def _request(body: bytes, fields: dict[str, str]) -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{head}"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def must_decide(answers: Sequence[bytes]) -> None:
    """Every answer is the right one."""
    for number, answer in enumerate(answers):
        wanted = _NO if number % 2 else _YES
        must(b" 200 " in answer[:20] and wanted in answer, f"answered {answer[:600]!r}")


async def measure(
    report: Report, point: Ours, peer: cerbos.Cerbos | None, counted: list[int], *, is_quick: bool
) -> None:
    rounds: list[tuple[Took, Took | None]] = []
    asked_peer = 0
    for number in range(2 if is_quick else 5):
        size = 40 if is_quick else 600
        requests = signed(point, size)
        answers, took = await load(point.port, CLIENTS, requests)
        counted.append(size)
        must_decide(answers)
        beside = None
        if peer is not None:
            answers, beside = await load(peer.port, CLIENTS, plain(size if is_quick else 5_000))
            asked_peer += len(answers)
            must_decide(answers)
        if number:  # the first one warms both up
            rounds.append((took, beside))
    whole = together([a for a, _ in rounds])
    report.timed("decisions", whole.calls, whole.whole)
    pairs = [(a, b) for a, b in rounds if b is not None]
    if peer is not None and pairs:
        beside = together([b for _, b in pairs])
        report.timed("cerbos", beside.calls, beside.whole)
        logged = peer.decisions(asked_peer)
        must(logged == asked_peer, f"Cerbos has {logged} decisions on record of {asked_peer}")
        report.ratio("vs_cerbos", median_ratio([(a.rate, b.rate) for a, b in pairs]), ">= 0.5")


def main() -> None:
    chosen = options(__doc__)
    report = Report()
    counted: list[int] = []
    program = cerbos.binary()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        peer = None
        if program is None:
            report.note("Cerbos is not installed, so it was left out: run `make benchmarks`")
        else:
            peer = stack.enter_context(cerbos.running(program))
            report.note("Cerbos takes the facts from whoever asks, and does not flush its log")
        point = stack.enter_context(ours(Path(folder), report, counted))
        run(measure(report, point, peer, counted, is_quick=chosen.quick))
    report.finish(as_json=chosen.json)


if __name__ == "__main__":
    main()
