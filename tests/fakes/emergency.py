"""What people do over the API, in one call each; every message is signed and checked."""

import base64

import httpx
import msgspec
import pyrage

from callpoint.api.messages import StatementView
from callpoint.domain.approval import signed_message
from callpoint.domain.event_form import Private
from tests.fakes.face import Face
from tests.fakes.keys import Signer
from tests.fakes.world import WORDS

INCIDENT = {
    "incident": "INC-7",
    "severity": "sev1",
    "targets": ["orders-db"],
    "title": "orders is down",
}


def ask(recipient: str = "", **changes: object) -> dict[str, object]:
    """A request for the usual eligibility."""
    to = recipient or str(pyrage.x25519.Identity.generate().to_public())
    asked = {
        "eligibility": "orders-repair",
        "incident": "inc-7",
        "justification": WORDS,
        "seal_to": to,
    }
    return {**asked, **changes}


async def vote(face: Face, who: str, activation: str, verdict: str = "approve") -> httpx.Response:
    """Look at what is to be signed, check it, sign it, send it."""
    path = f"/v1/activations/{activation}"
    shown = await face.call(who, "GET", f"{path}/statement?verdict={verdict}")
    if shown.status_code != 200:
        return shown
    view = msgspec.json.decode(shown.content, type=StatementView)
    request = view.activation.request
    assert request.digest() == view.activation.digest
    words = Private(view.activation.justification_salt, view.activation.justification)
    assert words.commitment() == request.justification
    message = {
        "statement": base64.b64encode(view.statement).decode(),
        "signature": Signer(who).sign(signed_message(view.statement)),
        "comment": "seen",
    }
    return await face.call(who, "POST", f"{path}/{verdict}", message)


async def opened(face: Face) -> None:
    """Declared by frank and confirmed by gina."""
    await face.post("frank", "/v1/incidents", INCIDENT)
    await face.post("gina", "/v1/incidents/inc-7/confirm")


async def active(face: Face, key: pyrage.x25519.Identity | None = None) -> str:
    """An active activation of alice's."""
    await opened(face)
    made = await face.post("alice", "/v1/activations", ask(str(key.to_public()) if key else ""))
    for approver in ("carol", "dave"):
        assert (await vote(face, approver, made["id"])).status_code == 200
    await face.post("alice", f"/v1/activations/{made['id']}/issue")
    return str(made["id"])
