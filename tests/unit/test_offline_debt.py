"""A session with a grant outlives its gateway's silence, and what was not told is not forgotten."""

from datetime import timedelta

from callpoint.audit.verify import verify_bundle
from callpoint.audit.verify.bundle import parse_bundle
from callpoint.audit.verify.story.write import tell
from callpoint.domain.canonical import encode
from callpoint.domain.offline_journal import Told
from callpoint.domain.session import SILENT_FOR, SessionState
from callpoint.evidence.bundle import evidence_bundle
from callpoint.lifecycle import give_back
from callpoint.lifecycle.sweep import sweep
from callpoint.lifecycle.symptoms.symptom import Code
from tests.attack.test_gateway_offline import JOURNAL, SECRETS, scene
from tests.fakes.doctor import codes, look, only
from tests.fakes.keys import MemoryLogSigner
from tests.fakes.world import INSTALLATION, ORIGIN
from tests.unit.test_authority import row

SLACK = timedelta(seconds=60)


async def test_a_session_with_a_grant_is_not_over_before_its_grant():
    """Its gateway may be silent so long; then it ends as every session of a silent gateway."""
    made = await scene()
    world, session = made.world, made.opened.session
    world.clock.advance(SILENT_FOR + timedelta(seconds=30))
    await sweep(world.services)
    assert (await row(world, session)).state is SessionState.OPEN
    world.clock.advance(timedelta(minutes=5) + SLACK)
    await sweep(world.services)
    assert (await row(world, session)).state is SessionState.OVER


async def test_the_doctor_names_a_journal_that_nobody_took():
    """From the end of the session on, until the gateway has told all that is in it."""
    made = await scene()
    world = made.world
    world.clock.advance(timedelta(minutes=8))
    assert Code.OFFLINE_UNTOLD not in codes(await look(world))
    await sweep(world.services)
    found = only(await look(world), Code.OFFLINE_UNTOLD)
    assert found.activation == made.opened.activation
    assert made.opened.session in found.text
    await made.authority.take(Told(JOURNAL, open=(made.opened.session,), is_whole=True))
    assert Code.OFFLINE_UNTOLD in codes(await look(world))
    await made.authority.take(Told(JOURNAL, is_whole=True))
    assert Code.OFFLINE_UNTOLD not in codes(await look(world))


async def test_a_session_that_its_gateway_ended_owes_nothing():
    """The gateway was there to say so, and its journal is empty."""
    made = await scene()
    await made.authority.end_session(made.opened.session, "left")
    made.world.clock.advance(timedelta(minutes=8))
    assert Code.OFFLINE_UNTOLD not in codes(await look(made.world))


async def test_the_page_tells_what_was_done_without_the_authority():
    """Loud, with the grant, what it listed, and what no grant covers; and the bundle verifies."""
    made = await scene()
    strange = made.decided(2, operations=(SECRETS,))
    await made.tell(made.using(), made.decided(1, text="SELECT 1"), strange)
    await give_back.give_back(
        made.world.services, made.world.caller("alice"), made.opened.activation
    )
    bundle = await made.world.services.store.read(
        lambda view: evidence_bundle(view, INSTALLATION, made.opened.activation, "inc-7")
    )
    report = verify_bundle(encode(bundle), MemoryLogSigner(ORIGIN).verifier_key)
    assert report.ok, report.findings
    assert not [note for note in report.notes if "offline:" in note]
    tale = tell(parse_bundle(encode(bundle)))
    loud = {
        step.title: {f.label: f.text for f in step.facts} for step in tale.steps if step.is_loud
    }
    grant = loud["The gateway front lost the authority and went on under a grant"]
    assert grant["what it lists"] == "sql:select public.items"
    assert grant["until"].endswith("UTC")
    first = "Action 1 without the authority is allowed by the gateway alone"
    assert loud[f"{first}: sql:select public.items"]["text"] == "SELECT 1"
    second = f"{first.replace('1', '2')}: {SECRETS}"
    assert "not what its grant lists" in loud[second]["no grant covers it"]
    figures = {fact.label: fact.text for fact in tale.figures}
    assert figures["actions that a gateway allowed without the authority"] == "2"
    assert figures["of them or the refused ones, covered by no grant"] == "1"
