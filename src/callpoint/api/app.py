"""The application: every controller, one place for errors, one guard for signatures."""

from typing import Any

from litestar import Litestar, Response
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from callpoint.api.access_requests import (
    AccessRequestController,
    AccessRequestPublicController,
)
from callpoint.api.activations import ActivationController
from callpoint.api.answers import Answers
from callpoint.api.authentication import provide_caller
from callpoint.api.authzen import (
    DiscoveryController,
    EvaluationController,
    SearchController,
    echo_request_id,
)
from callpoint.api.configuration import ConfigurationController
from callpoint.api.connections import ConnectionController
from callpoint.api.diagnosis import DiagnosisController
from callpoint.api.gateway_lines import GatewayLines
from callpoint.api.gateways import GatewayController, GatewayLineController
from callpoint.api.incidents import IncidentController, WebhookController
from callpoint.api.installation import PublicController
from callpoint.api.kill import KillController
from callpoint.api.leases import LeaseController
from callpoint.api.log import LogController
from callpoint.api.log_proofs import ProofController
from callpoint.api.log_status import LogStatusController
from callpoint.api.messages import MAX_BODY
from callpoint.api.posture import PostureController
from callpoint.api.sessions import SessionController
from callpoint.api.signals import SignalController, SignalDocuments
from callpoint.api.status import StatusController
from callpoint.api.surface import Surface
from callpoint.api.tlog import TlogController
from callpoint.api.token_documents import TokenDocuments
from callpoint.api.token_holder import HolderController
from callpoint.api.tokens import TokenController
from callpoint.api.witness import WitnessController
from callpoint.domain.errors import CallpointError
from callpoint.lifecycle.evaluations import Evaluations
from callpoint.ports.evaluator import Evaluator

CONTROLLERS = (
    PublicController,
    IncidentController,
    WebhookController,
    ActivationController,
    ConnectionController,
    SessionController,
    KillController,
    LeaseController,
    ConfigurationController,
    LogController,
    ProofController,
    LogStatusController,
    TlogController,
    WitnessController,
    StatusController,
    DiagnosisController,
    PostureController,
    DiscoveryController,
    EvaluationController,
    SearchController,
    GatewayLineController,
    GatewayController,
    TokenController,
    TokenDocuments,
    HolderController,
    AccessRequestController,
    AccessRequestPublicController,
    SignalDocuments,
    SignalController,
)

_DESCRIPTION = """\
Emergency access that is approved by people, ends by itself, is proven dead, and leaves evidence.

Every request but the public ones is signed with the caller's Ed25519 key: HTTP Message Signatures
(RFC 9421), as `docs/authentication.md` says; incident sources send a bearer token. Errors are
`application/problem+json` (RFC 9457) with the members `way_out` and `reasons`.
"""


def make_app(surface: Surface, evaluator: Evaluator | None = None) -> Litestar:
    """An ASGI application over the surface; it starts nothing and closes nothing.

    Args:
        surface: What it works with.
        evaluator: Answers enforcement points; the life cycle and its policies when None.
    """
    answers = Answers(surface.logger)
    services = surface.services
    lines = GatewayLines(lambda: services.rules.last_proven, services.clock, services.random)
    asked = Evaluations(services) if evaluator is None else evaluator

    def provide_surface() -> Surface:
        return surface

    def provide_evaluator() -> Evaluator:
        return asked

    return Litestar(
        route_handlers=CONTROLLERS,
        dependencies={
            "surface": Provide(provide_surface, sync_to_thread=False),
            "caller": Provide(provide_caller, sync_to_thread=False),
            "evaluator": Provide(provide_evaluator, sync_to_thread=False),
        },
        exception_handlers={
            CallpointError: answers.of_ours,
            HTTPException: answers.of_the_framework,
            Exception: answers.of_a_defect,
        },
        state=State(
            {"surface": surface, "evaluator": asked, "gateway_lines": lines}, deep_copy=False
        ),
        request_max_body_size=MAX_BODY,
        after_request=_never_cached,
        before_send=[echo_request_id],
        openapi_config=OpenAPIConfig(
            title="Callpoint",
            version=surface.version,
            description=_DESCRIPTION,
            path="/schema",
            render_plugins=(JsonRenderPlugin(),),
            use_handler_docstrings=True,
        ),
        logging_config=None,
        debug=False,
    )


async def _never_cached(response: Response[Any]) -> Response[Any]:
    """No cache between us and the caller may keep who asked for what.

    It waits for nothing; the framework would give a plain function a thread for each answer.
    """
    response.headers.setdefault("cache-control", "no-store")
    return response
