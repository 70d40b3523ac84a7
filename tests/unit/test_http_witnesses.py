"""The way to witnesses: short patience, bounded answers, no other failure than silence."""

import gzip
import tracemalloc
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from callpoint.adapters.witnesses.http import MOST, HttpWitnesses
from callpoint.domain.errors import UnavailableError
from callpoint.ports.witnesses import Reply


class Endless(httpx.AsyncByteStream):
    """A body that never ends."""

    def __init__(self) -> None:
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.sent += 1000
            yield bytes(1000)


async def ask(answer: Callable[[httpx.Request], httpx.Response]) -> Reply:
    """Send something to a witness that answers so."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        return await HttpWitnesses(client).add_checkpoint("http://w.example/x", b"old 0\n\n")


async def test_the_submission_is_posted_below_the_prefix():
    """Where, how and what, as tlog-witness has it; the answer comes back as it is."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(409, stream=httpx.ByteStream(b"7\n"))

    assert await ask(answer) == Reply(409, b"7\n")
    assert (seen[0].method, str(seen[0].url)) == ("POST", "http://w.example/x/add-checkpoint")
    assert seen[0].content == b"old 0\n\n"


async def test_an_endless_answer_is_cut():
    """A witness cannot fill our memory."""
    endless = Endless()
    reply = await ask(lambda _: httpx.Response(200, stream=endless))
    assert len(reply.body) == MOST
    assert endless.sent <= MOST + 1000


async def test_a_compressed_answer_stays_compressed():
    """What a few bytes would unpack to, packed twice, fills no memory."""
    packed = gzip.compress(gzip.compress(bytes(30_000_000)))
    headers = {"content-encoding": "gzip, gzip"}
    tracemalloc.start()
    try:
        sent = httpx.ByteStream(packed)
        reply = await ask(lambda _: httpx.Response(200, headers=headers, stream=sent))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reply.body == packed
    assert most < 5_000_000


async def test_a_redirect_is_an_answer_and_is_not_followed():
    """Where checkpoints go is said in the configuration, by nobody else."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        headers = {"location": "http://evil.example/"}
        return httpx.Response(307, headers=headers, stream=httpx.ByteStream(b""))

    assert (await ask(answer)).status == 307
    assert len(asked) == 1


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("no route"), httpx.ReadTimeout(""), OSError("gone")]
)
async def test_no_answer_is_unavailable(error: Exception):
    """Whatever the network does, it is one error of ours, with the address in it."""

    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(UnavailableError, match=r"no answer from http://w\.example/x"):
        await ask(answer)
