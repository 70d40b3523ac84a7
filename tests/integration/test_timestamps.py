"""Time stamps (RFC 3161) against a real authority: what is kept, what is refused, what is shown."""

import asyncio
import base64
import io
import json
import os
import random
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from callpoint.adapters.timestamps.rfc3161 import Rfc3161Authority
from callpoint.audit.verify import Code, Report, verify_document
from callpoint.audit.verify.command import main
from callpoint.audit.verify.story.document import Form, document
from callpoint.audit.verify.timestamp import TimestampError, check_timestamp
from callpoint.bootstrap.stamping import stamper
from callpoint.config.settings import load_settings
from callpoint.domain.errors import UnavailableError
from callpoint.evidence.bundle import encode, evidence_bundle
from callpoint.lifecycle.stamp import stamp
from callpoint.lifecycle.symptoms.symptom import Code as Sign
from callpoint.ports.timestamps import TimestampAuthority
from tests.fakes.clock import SimulatedClock
from tests.fakes.doctor import codes as signs
from tests.fakes.doctor import look, only
from tests.fakes.world import INSTALLATION, World, make_world
from tests.timestamp_site import Authority, stamping

LACKS = shutil.which("openssl") is None and os.environ.get("CI") != "true"
pytestmark = pytest.mark.skipif(LACKS, reason="openssl is the authority")

NOTE = b"callpoint/tstinc\n7\nAAAA\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """An authority that answers."""
    made = Authority(tmp_path_factory.mktemp("tsa"))
    made.found()
    with stamping(made):
        yield made


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as made:
        yield made


def now() -> datetime:
    """The authority's clock is the machine's."""
    return datetime.now(UTC)


def asking(
    site: Authority, client: httpx.AsyncClient, *, roots: Path | None = None, off: float = 0.0
) -> Rfc3161Authority:
    clock = SimulatedClock(start=now() + timedelta(seconds=off))
    return Rfc3161Authority(site.url, roots or site.root, client, clock)


async def test_an_answer_is_about_these_bytes_and_now(site: Authority, client: httpx.AsyncClient):
    """It names the authority, states the time, and can be checked again by anybody."""
    made = await asking(site, client).stamp(NOTE)
    assert abs(made.at - now()) < timedelta(seconds=30)
    again = check_timestamp(made.response, NOTE, site.root.read_bytes())
    assert (again.at, again.by) == (made.at, "CN=tsa.example")
    with pytest.raises(TimestampError, match="Mismatch between messages"):
        check_timestamp(made.response, NOTE + b"x", site.root.read_bytes())


async def test_no_flipped_bit_changes_what_is_stated(site: Authority, client: httpx.AsyncClient):
    """What is signed holds or is refused; nothing that is read makes the library fall over."""
    made = await asking(site, client).stamp(NOTE)
    chance = random.Random(1)  # noqa: S311 -- which bit, repeatably
    roots = site.root.read_bytes()
    for _ in range(400):
        spoilt = bytearray(made.response)
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
        try:
            found = check_timestamp(bytes(spoilt), NOTE, roots)
        except TimestampError:
            continue
        assert found.at == made.at  # a bit outside of what is signed


async def test_what_an_authority_must_not_answer(
    site: Authority, client: httpx.AsyncClient, tmp_path: Path
):
    """Another's signature, an older answer, a time that is off, an expired certificate, junk."""
    other, ended = Authority(tmp_path / "other"), Authority(tmp_path / "ended")
    other.found()
    ended.found(ended=True)

    async def refused(words: str, authority: Rfc3161Authority) -> None:
        with pytest.raises(UnavailableError, match=words) as told:
            await authority.stamp(NOTE)
        assert told.value.way_out

    await refused("does not hold", asking(site, client, roots=other.root))
    await refused("s off ours", asking(site, client, off=400))
    await refused("cannot be read", asking(site, client, roots=tmp_path / "none.pem"))
    (tmp_path / "leaf.pem").write_bytes((site.folder / "tsa.pem").read_bytes())
    await refused("no self-signed root", asking(site, client, roots=tmp_path / "leaf.pem"))
    with stamping(ended):
        await refused("expired", asking(ended, client))
    with stamping(other):
        other.stale = True
        await asking(other, client).stamp(NOTE)
        await refused("Nonce mismatch", asking(other, client))
        for junk, words in ((b"", "no answer"), (b"x" * 300_000, "more than a time stamp")):
            other.says = junk
            await refused(words, asking(other, client))
    await refused("does not answer", asking(other, client))  # nobody listens there any more


async def reviewed(world: World) -> str:
    """An activation that is active, in a log of a dozen entries."""
    await world.incident()
    return (await world.active()).id


async def bundle_of(world: World, activation: str) -> bytes:
    return await world.store.read(
        lambda view: encode(evidence_bundle(view, INSTALLATION, activation, "inc-7"))
    )


def judged(world: World, data: bytes, authority: Path | None) -> Report:
    pem = authority.read_bytes() if authority else None
    return verify_document(data, world.services.installation.log_key, authority=pem)


def found(report: Report) -> list[Code]:
    return [finding.code for finding in report.findings]


async def test_a_stamped_bundle(site: Authority, client: httpx.AsyncClient, tmp_path: Path):
    """The stamp goes with the evidence, says what it covers, and is asked for by the reader."""
    world = await make_world()
    made = await reviewed(world)
    bare = await bundle_of(world, made)
    assert found(judged(world, bare, site.root)) == [Code.TIMESTAMP_MISSING]
    kept = await stamp(world.services, asking(site, client))
    assert kept is not None
    asked = site.asked
    assert await stamp(world.services, asking(site, client)) is None
    assert site.asked == asked  # the log has not grown: nobody is troubled
    await world.incident("inc-8")
    later = await stamp(world.services, asking(site, client))
    assert later is not None
    assert later.size > kept.size
    stamped = await bundle_of(world, made)
    assert json.loads(stamped)["timestamp"]["checkpoint"] == kept.note  # the tightest one
    report = judged(world, stamped, site.root)
    assert report.ok
    covered = len(json.loads(stamped)["entries"])
    words = f"has seen {covered} of the activation's {covered} events in the log at {now():%Y}"
    assert any(words in note for note in report.notes)
    silent = judged(world, stamped, None)
    assert silent.ok
    assert any("was not checked" in note for note in silent.notes)
    page = tmp_path / "incident.html"
    page.write_bytes(document(stamped, Form.HTML))
    assert b"stamped by an outside authority" in page.read_bytes()
    (tmp_path / "vkey").write_text(world.services.installation.log_key)
    alone = ["bundle", str(page), "--vkey", str(tmp_path / "vkey")]
    out = io.StringIO()
    assert main([*alone, "--timestamp-authority", str(site.root)], out, out) == 0, out.getvalue()


async def test_a_stamp_that_was_tampered_with(
    site: Authority, client: httpx.AsyncClient, tmp_path: Path
):
    """Another time, another answer, another log's head, another authority: each is found."""
    world = await make_world()
    made = await reviewed(world)
    await stamp(world.services, asking(site, client))
    await world.incident("inc-8")
    good: dict[str, Any] = json.loads(await bundle_of(world, made))
    foreign = base64.b64encode((await asking(site, client).stamp(b"other")).response).decode()
    other = Authority(tmp_path / "other")
    other.found()

    def with_stamp(**changes: object) -> bytes:
        return msgspec.json.encode({**good, "timestamp": {**good["timestamp"], **changes}})

    assert judged(world, with_stamp(), site.root).ok
    for spoilt in (
        with_stamp(at="2026-01-01T00:00:00.000000Z"),
        with_stamp(response=foreign),
        with_stamp(response="AAAA"),
        with_stamp(consistency=[]),
    ):
        assert found(judged(world, spoilt, site.root)) == [Code.TIMESTAMP_INVALID]
    assert found(judged(world, with_stamp(), other.root)) == [Code.TIMESTAMP_INVALID]
    head = good["timestamp"]["checkpoint"].replace("tstinc", "tstinx", 1)
    assert Code.BAD_SIGNATURE in found(judged(world, with_stamp(checkpoint=head), None))


async def test_without_an_authority_everything_goes_on(
    site: Authority, client: httpx.AsyncClient, tmp_path: Path
):
    """Nobody answers: it is said, the doctor names it, and giving and taking away do not wait."""
    (tmp_path / "server.toml").write_text(
        f'[timestamps]\nurl = "http://127.0.0.1:9/tsr"\ncertificates = "{site.root}"\n'
    )
    settings = load_settings(tmp_path)
    world = await make_world()
    limits = replace(world.services.limits, stamp_every=settings.stamp_for)
    here = replace(world, services=replace(world.services, limits=limits))
    once = stamper(settings, here.services, client)
    assert once is not None
    with pytest.raises(UnavailableError, match="does not answer"):
        await once()
    missing = Rfc3161Authority("http://127.0.0.1:9/tsr", tmp_path / "no.pem", client, here.clock)
    with pytest.raises(UnavailableError, match="nothing is stamped") as told:
        await missing.stamp(NOTE)
    assert f"{tmp_path}/no.pem: No such file" in told.value.message
    assert "`certificates` under [timestamps] in server.toml" in told.value.way_out
    await reviewed(here)
    assert "are without one" in only(await look(here), Sign.LOG_UNSTAMPED).text
    clock = replace(here.services, clock=SimulatedClock(start=now()))
    assert await stamp(clock, asking(site, client)) is not None
    assert Sign.LOG_UNSTAMPED not in signs(await look(here))


async def test_two_nodes_that_stamp_at_once(site: Authority, client: httpx.AsyncClient):
    """Both are answered, one is kept, neither fails."""
    world = await make_world()
    authority: TimestampAuthority = asking(site, client)
    both = await asyncio.gather(*(stamp(world.services, authority) for _ in range(2)))
    assert None not in both
    assert len(world.store.state.stamps) == 1
