"""``/witness`` over HTTP: statuses, content types and bodies as C2SP tlog-witness has them."""

import hashlib
from dataclasses import replace

from callpoint.api.app import make_app
from callpoint.audit.cosignature import WitnessKey, cosigned
from callpoint.audit.note import parse_note
from tests.fakes.face import Face, kind_of
from tests.fakes.witnesses import make_desk
from tests.fakes.world import ORIGIN
from tests.unit.test_cosign import OTHERS, body, signed


async def witness() -> tuple[Face, str]:
    """An installation that witnesses the test log, and its key."""
    desk, world, *_ = await make_desk()
    face = Face(world)
    face.client._transport.app = make_app(replace(face.surface, witness=desk))  # type: ignore[attr-defined]
    return face, desk.key


async def test_a_checkpoint_is_cosigned_and_can_be_fetched():
    """200 with signature lines; then the monitoring address shows the cosigned note."""
    face, key = await witness()
    async with face:
        answer = await face.client.post("/witness/add-checkpoint", content=body(0, 5))
        assert answer.status_code == 200
        assert answer.text.startswith("\N{EM DASH} north.example/w ")
        assert answer.text.endswith("\n")
        place = hashlib.sha256(ORIGIN.encode()).hexdigest()
        kept = await face.client.get(f"/witness/{place}/checkpoint")
        assert kept.headers["content-type"] == "text/plain; charset=utf-8"
        assert cosigned(parse_note(kept.content), [WitnessKey.parse(key)])
        assert (await face.client.get(f"/witness/{'0' * 64}/checkpoint")).status_code == 404


async def test_refusals_have_their_statuses():
    """409 carries the size and its own content type; the others are as specified."""
    face, _ = await witness()
    async with face:
        await face.client.post("/witness/add-checkpoint", content=body(0, 5))
        outdated = await face.client.post("/witness/add-checkpoint", content=body(0, 9))
        assert outdated.status_code == 409
        assert outdated.headers["content-type"] == "text/x.tlog.size"
        assert outdated.content == b"5\n"
        for content, expected in (
            (b"", 400),
            (b"\xff\xfe", 400),
            (body(0, 5).replace(ORIGIN.encode(), b"callpoint/other"), 404),
            (b"old 5\n\n" + signed(9).replace(b"\n9\n", b"\n8\n"), 403),
            (b"old 5\n\n" + signed(9, OTHERS), 422),
        ):
            answer = await face.client.post("/witness/add-checkpoint", content=content)
            assert answer.status_code == expected, content[:40]
        assert (await face.client.get("/witness/add-checkpoint")).status_code == 405


async def test_an_installation_without_a_key_is_no_witness():
    """404, with the way to become one."""
    desk, world, *_ = await make_desk()
    async with Face(world) as face:
        answer = await face.client.post("/witness/add-checkpoint", content=body(0, 5))
        assert kind_of(answer) == (404, "not_found")
        assert "callpoint key witness" in answer.json()["way_out"]
    assert desk.key
