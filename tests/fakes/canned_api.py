"""A server that answers what a test has laid out, and remembers what it was asked."""

from collections.abc import Mapping
from datetime import timedelta

import httpx
import msgspec

from callpoint.api.messages import (
    ActivationView,
    IncidentView,
    InstallationView,
    LeaseView,
    StatementView,
    TallyView,
)
from callpoint.domain.activation import Activation, ActivationState
from callpoint.domain.approval import Quorum, Verdict
from callpoint.domain.eligibility import Lane, Mode, Purpose, Severity
from callpoint.domain.errors import NotFoundError
from callpoint.domain.event import Private, Request
from callpoint.domain.incident_state import IncidentState
from callpoint.domain.lease import LeaseState
from callpoint.domain.problem import MEDIA_TYPE, problem_of
from callpoint.lifecycle.votes import statement_for
from tests.fakes.carrying import Carrying
from tests.fakes.clock import START
from tests.fakes.keys import MemoryLogSigner
from tests.fakes.world import INSTALLATION, ORIGIN, configuration

ID = "abcdefghij01"
WORDS = "the disk of the primary is full, and nobody else can empty it"
SALT = bytes(range(16))
_TEN_MINUTES, _HALF_AN_HOUR = 600, 1800

Answer = object
"""A message to encode, bytes, an httpx.Response, an Exception, or a function of the request."""


class CannedApi(Carrying, httpx.MockTransport):
    """Answers by method and path; what is not laid out is not found.

    Attributes:
        asked: Every request, in order.
    """

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.asked: list[httpx.Request] = []
        self._routes: dict[tuple[str, str], list[Answer]] = {}
        self.lay("GET /v1/installation", installation_view())

    def lay(self, route: str, *answers: Answer) -> None:
        """Answer ``METHOD /path`` with these, one after another; the last one stays."""
        method, _, path = route.partition(" ")
        self._routes[method, path] = list(answers)

    def bodies(self, route: str) -> list[bytes]:
        """What was sent there."""
        method, _, path = route.partition(" ")
        return [r.content for r in self.asked if (r.method, r.url.path) == (method, path)]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        laid = self._routes.get((request.method, request.url.path))
        if laid is None:
            return refusal(NotFoundError(f"{request.method} {request.url.path} is not laid out"))
        answer = laid[0] if len(laid) == 1 else laid.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, httpx.Response):
            return answer
        content = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
        return httpx.Response(200, content=content, headers={"content-type": "application/json"})


def refusal(error: Exception, **headers: str) -> httpx.Response:
    """An error as the real server sends it."""
    problem = problem_of(error)
    return httpx.Response(
        problem.status,
        content=msgspec.json.encode(problem),
        headers={"content-type": MEDIA_TYPE, **headers},
    )


def installation_view(**changes: object) -> InstallationView:
    """What the server says it is."""
    key = MemoryLogSigner(ORIGIN).verifier_key
    made = InstallationView(INSTALLATION, ORIGIN, key, trial=False, version="0")
    return msgspec.structs.replace(made, **changes)


def request(**changes: object) -> Request:
    """Alice asks for orders-db."""
    made = Request(
        installation=INSTALLATION,
        activation=ID,
        eligibility="orders-repair",
        principal="alice",
        persons=("alice",),
        incident="inc-7",
        opens=("orders-db:repair",),
        purpose=Purpose.RECOVER,
        lane=Lane.BREAK_GLASS,
        mode=Mode.HUMAN,
        ttl=timedelta(seconds=_HALF_AN_HOUR),
        idle=None,
        justification=Private(SALT, WORDS).commitment(),
        seal_to="age1notused",
        sources=(),
        nonce="00" * 16,
        quorum=Quorum(2, ("group:commanders",)),
        triage=timedelta(days=1),
        close=timedelta(days=5),
        reviewers=("group:security",),
        configuration_digest="c" * 64,
        policy_digest="d" * 64,
        requested_at=START,
        lapses_at=START + timedelta(seconds=_TEN_MINUTES),
        findings=("residual access on orders-db is unbounded: no reaper",),
    )
    return msgspec.structs.replace(made, **changes)


def view(
    state: str = "requested", asked: Request | None = None, **changes: object
) -> ActivationView:
    """An activation as the server shows it."""
    asked = asked or request()
    missing = 2 if state == "requested" else 0
    made = ActivationView(
        id=asked.activation,
        state=ActivationState(state),
        next="what comes next",
        now=START,
        request=asked,
        digest=asked.digest(),
        tally=TallyView(
            needed=2,
            counted=() if missing else ("carol", "dave"),
            missing=missing,
            missing_security=0,
            can_still_approve=("bob", "carol", "dave") if missing else (),
            met=not missing,
        ),
        justification=WORDS,
        justification_salt=SALT,
        lapses_at=asked.lapses_at if state in {"requested", "approved"} else None,
        not_after=asked.lapses_at if state == "active" else None,
        incident=incident() if asked.incident == "inc-7" else None,
        connectors={"orders-db": "postgresql"},
    )
    return msgspec.structs.replace(made, **changes)


def incident(**changes: object) -> IncidentView:
    """What justifies it: declared by frank, confirmed by gina, five minutes old."""
    made = IncidentView(
        id="inc-7",
        source="declared",
        severity=Severity.SEV1,
        targets=("orders-db",),
        state=IncidentState.OPEN,
        opened_at=START - timedelta(minutes=5),
        declared_by="frank",
        confirmed_by="gina",
        title="orders is down",
    )
    return msgspec.structs.replace(made, **changes)


def lease(state: str, **changes: object) -> LeaseView:
    """A credential of it."""
    made = LeaseView(
        id=f"{INSTALLATION}{ID}00",
        activation=ID,
        target="orders-db",
        role="repair",
        account=f"cp_{INSTALLATION}{ID}00",
        state=LeaseState(state),
        not_after=START,
    )
    return msgspec.structs.replace(made, **changes)


def ballot(
    principal: str,
    shown: ActivationView | None = None,
    verdict: Verdict = Verdict.APPROVE,
    lie: Mapping[str, object] | None = None,
) -> StatementView:
    """The statement that this principal would sign; ``lie`` is what a lying server changes."""
    shown = shown or view()
    activation = Activation(request=shown.request, digest=shown.request.digest())
    made = statement_for(
        activation, configuration().principals[principal], verdict, "7 " + "A" * 43 + "="
    )
    return StatementView(msgspec.structs.replace(made, **(lie or {})).body(), shown)
