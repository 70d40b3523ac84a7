"""What is submitted as an access request, read; and the schema that says how."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from callpoint.api.evaluation_body import claims_of, object_of, read_evaluation, text_of
from callpoint.api.i_json import Object
from callpoint.domain.access_request import AccessRequestError, Fault
from callpoint.domain.eligibility import Purpose
from callpoint.domain.errors import DeniedError, RequestError
from callpoint.domain.untrusted import bounded
from callpoint.lifecycle.access_request import Submission
from callpoint.lifecycle.request import JUSTIFICATION_LEAST, JUSTIFICATION_LIMIT
from callpoint.ports.identity import Caller

SEAL_TO, PURPOSE, SOURCES = (
    "urn:callpoint:seal_to",
    "urn:callpoint:purpose",
    "urn:callpoint:sources",
)
"""Members of ``requested_access`` that are ours; the profile asks for a URI as their name."""

MAX_KEY = 256
_MAX_TIME = 40
_MAX_CLIENT = 128


def read_submission(document: Object, caller: Caller, idempotency_key: str) -> Submission:
    """A submission for one question.

    Raises:
        RequestError: A member is missing or has another type, or is one that is not served.
        AccessRequestError: There is no binding token.
        DeniedError: It says that somebody else acts than who signed it.
    """
    for member, instead in (
        ("items", "submit one access request for each"),
        ("callback", "ask for the task's status instead"),
    ):
        if member in document:
            raise RequestError(f"{member} is not served here", way_out=instead)
    if len(idempotency_key) > MAX_KEY:
        raise RequestError(f"an Idempotency-Key has at most {MAX_KEY} characters")
    denial, access = object_of(document, "denial"), claims_of(document, "requested_access")
    client = claims_of(document, "client")
    _must_act_itself(client, caller)
    context = claims_of(document, "context")
    return Submission(
        asked=read_evaluation(document),
        justification=text_of(context, "business_justification", "context.business_justification"),
        seal_to=text_of(access, SEAL_TO, f"requested_access.{SEAL_TO}"),
        purpose=_purpose(access),
        sources=_sources(access),
        until=_time(access, "requested_until", "requested_access"),
        is_emergency=_flag(access, "emergency"),
        token=_token(denial),
        expires_at=_time(denial, "expires_at", "denial"),
        template=_optional(denial, "template", "denial"),
        evaluation=_optional(denial, "evaluation_id", "denial"),
        client=bounded(_optional(client, "id", "client"), _MAX_CLIENT),
        idempotency_key=idempotency_key,
        body=_digest(document),
    )


def submission_schema() -> dict[str, Any]:
    """JSON Schema of what a submission adds to the denied question (``request_schema_url``)."""
    words = {
        "type": "string",
        "minLength": JUSTIFICATION_LEAST,
        "maxLength": JUSTIFICATION_LIMIT,
        "description": "What will be done, and why it cannot wait",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Access request",
        "type": "object",
        "required": ["context", "requested_access"],
        "properties": {
            "context": {
                "type": "object",
                "required": ["business_justification"],
                "properties": {"business_justification": words},
            },
            "requested_access": {
                "type": "object",
                "required": [SEAL_TO],
                "properties": {
                    SEAL_TO: {
                        "type": "string",
                        "pattern": "^age1",
                        "description": "A fresh one-time age recipient: only its key opens the"
                        " credential",
                    },
                    PURPOSE: {"type": "string", "enum": list(Purpose)},
                    SOURCES: {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "Networks (CIDR) that will connect",
                    },
                    "requested_until": {"type": "string", "format": "date-time"},
                    "emergency": {"type": "boolean"},
                },
            },
        },
    }


def _must_act_itself(client: Object, caller: Caller) -> None:
    """A chain of actors cannot be proven here, so one that is claimed is refused."""
    if "actor" not in client:
        return
    actor = object_of(client, "actor", "client.actor")
    if "act" in actor or text_of(actor, "id", "client.actor.id") != caller.principal.id:
        raise DeniedError(
            "client.actor is not who signed this",
            way_out="leave it out: who signs an access request is who acts",
        )


def _token(denial: Object) -> str:
    token = _optional(denial, "binding_token", "denial")
    if not token:
        raise AccessRequestError(
            Fault.INVALID_DENIAL_BINDING,
            "denial.binding_token is missing",
            way_out="return context.access_request.binding_token of the denial as it is",
        )
    return token


def _purpose(access: Object) -> Purpose | None:
    named = _optional(access, PURPOSE, "requested_access")
    if not named:
        return None
    try:
        return Purpose(named)
    except ValueError as error:
        raise RequestError(
            f"requested_access.{PURPOSE} is not known", way_out="use: " + ", ".join(Purpose)
        ) from error


def _sources(access: Object) -> tuple[str, ...]:
    named = access.get(SOURCES, [])
    if not isinstance(named, list) or not all(isinstance(text, str) for text in named):
        raise RequestError(f"requested_access.{SOURCES} is not a list of strings")
    return tuple(named)


def _flag(access: Object, name: str) -> bool:
    found = access.get(name, False)
    if not isinstance(found, bool):
        raise RequestError(f"requested_access.{name} is neither true nor false")
    return found


def _optional(document: Object, name: str, of: str) -> str:
    return text_of(document, name, f"{of}.{name}") if name in document else ""


def _time(document: Object, name: str, of: str) -> datetime | None:
    text = _optional(document, name, of)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text[:_MAX_TIME])
    except ValueError as error:
        raise RequestError(f"{of}.{name} is no time as RFC 3339 has it") from error
    if moment.tzinfo is None:
        raise RequestError(f"{of}.{name} has no offset from UTC")
    return moment.astimezone(UTC)


def _digest(document: Object) -> str:
    """Of everything that was submitted, whatever its white space and order."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
