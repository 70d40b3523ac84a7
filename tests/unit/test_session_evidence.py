"""The evidence of an activation holds what was done in its sessions, provably whole."""

import base64
from typing import Any

import pytest

from callpoint.audit.verify import verify_bundle
from callpoint.audit.verify.bundle import parse_bundle
from callpoint.audit.verify.report import Code, Report
from callpoint.audit.verify.story.write import tell
from callpoint.domain.allowance import Used
from callpoint.domain.canonical import encode
from callpoint.domain.eligibility import Purpose
from callpoint.evidence.bundle import evidence_bundle
from callpoint.lifecycle import give_back
from callpoint.ports.authority import Outcome
from tests.fakes.keys import MemoryLogSigner
from tests.fakes.world import INSTALLATION, ORIGIN
from tests.unit.test_authority import DELETE, READ, opened


async def gathered() -> dict[str, Any]:
    """One session: a reading that is allowed, a deletion that is not, and its end."""
    world, authority, made = await opened(Purpose.INVESTIGATE)
    verdict = await authority.decide(made.session, READ)
    await authority.report(made.session, Outcome(verdict.number, Used(rows=3, bytes=40)))
    await authority.decide(made.session, DELETE)
    await authority.end_session(made.session, "left")
    await give_back.give_back(world.services, world.caller("alice"), made.activation)
    return await world.services.store.read(
        lambda view: evidence_bundle(view, INSTALLATION, made.activation, "inc-7")
    )


def verified(bundle: dict[str, Any]) -> Report:
    return verify_bundle(encode(bundle), MemoryLogSigner(ORIGIN).verifier_key)


async def test_the_bundle_shows_what_was_done_in_sessions():
    """It verifies, and the page tells what was allowed, what refused and why, and how many rows."""
    bundle = await gathered()
    report = verified(bundle)
    assert report.ok, report.findings
    assert not [note for note in report.notes if "session:" in note]
    tale = tell(parse_bundle(encode(bundle)))
    titles = [step.title for step in tale.steps]
    assert "Action 1 is allowed: sql:select public.items" in titles
    assert "Action 2 is refused: sql:delete public.items" in titles
    figures = {fact.label: fact.text for fact in tale.figures}
    assert figures["actions that were refused"] == "1"
    assert figures["rows that were let through"] == "3"
    (refused,) = [step for step in tale.steps if step.title.startswith("Action 2")]
    assert any("investigate" in fact.text for fact in refused.facts)
    assert any(fact.text == "DELETE FROM items" for fact in refused.facts)


@pytest.mark.parametrize(
    "lost, code",
    [(0, Code.ENTRY_REMOVED), (1, Code.ENTRY_REMOVED), (3, None)],
)
async def test_an_action_that_is_left_out_shows(lost, code):
    """In the middle it is a finding; of one without its end is said up to where it is whole."""
    bundle = await gathered()
    del bundle["sessions"][lost]
    report = verified(bundle)
    assert [finding.code for finding in report.findings] == ([code] if code else [])
    assert bool(code) or any("is open" in note for note in report.notes)


async def test_another_activations_session_does_not_belong():
    """What no session of this activation did is foreign, and a changed entry is not in the log."""
    bundle, other = await gathered(), await gathered()
    bundle["sessions"].append(bundle["related"][0])
    assert Code.ENTRY_FOREIGN in [finding.code for finding in verified(bundle).findings]
    leaf = base64.b64decode(other["sessions"][0]["leaf"]).replace(
        b'"allowed":true', b'"allowed":false'
    )
    other["sessions"][0]["leaf"] = base64.b64encode(leaf).decode()
    assert Code.NOT_INCLUDED in [finding.code for finding in verified(other).findings]
