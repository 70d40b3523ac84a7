"""Votes: what is signed, and whether a recorded one still holds (I9)."""

import base64
import binascii

import msgspec

from callpoint.domain.activation import Activation
from callpoint.domain.approval import DOMAIN, Approval, Statement, Verdict, signed_message
from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import DeniedError, RequestError, TamperError
from callpoint.domain.principal import Principal, PrincipalKind
from callpoint.domain.untrusted_json import read_json
from callpoint.ports.keys import Verifier


def statement_for(
    activation: Activation, approver: Principal, verdict: Verdict, checkpoint: str
) -> Statement:
    """What this approver signs for this exact request."""
    request = activation.request
    return Statement(
        domain=DOMAIN,
        installation=request.installation,
        activation=activation.id,
        request_digest=activation.digest,
        configuration_digest=request.configuration_digest,
        policy_digest=request.policy_digest,
        nonce=request.nonce,
        checkpoint=checkpoint,
        approver=approver.id,
        person=approver.persons[0],
        verdict=verdict,
    )


def parse_statement(body: bytes) -> Statement:
    """Untrusted bytes to a statement; only the canonical spelling is accepted.

    Raises:
        RequestError: Something else was signed.
    """
    try:
        statement = read_json(body, Statement)
    except msgspec.DecodeError as error:
        raise RequestError(f"not an approval statement: {error}") from error
    if statement.body() != body:
        raise RequestError("the statement is not in canonical form")
    return statement


def must_match(statement: Statement, expected: Statement) -> None:
    """The signed statement is about this exact request, apart from the checkpoint that was seen.

    Raises:
        DeniedError: It is about another request, another configuration, or another verdict.
    """
    for field in Statement.__struct_fields__:
        if field != "checkpoint" and getattr(statement, field) != getattr(expected, field):
            raise DeniedError(
                f"the signed statement does not match this request: {field} differs",
                way_out="the request or the configuration changed; read it again and vote again",
            )


def must_be_person(approver: Principal) -> str:
    """The natural person behind an approving principal.

    Raises:
        DeniedError: A workload or an agent: those may ask, only people approve.
    """
    if approver.kind is not PrincipalKind.HUMAN:
        raise DeniedError(f"{approver.id} is a {approver.kind}: only people approve")
    return approver.persons[0]


def verify_vote(
    activation: Activation, approval: Approval, configuration: Configuration, verifier: Verifier
) -> None:
    """A recorded vote still holds: right key, right signature, this very request.

    Raises:
        TamperError: It does not, so somebody changed the request, the vote or the key.
    """
    approver = configuration.principals.get(approval.approver)
    if approver is None or approver.key != approval.key:
        raise TamperError(f"the vote of {approval.approver} is not by a key in the configuration")
    try:
        body = base64.b64decode(approval.statement, validate=True)
        statement = parse_statement(body)
        person = must_be_person(approver)
        expected = statement_for(activation, approver, Verdict.APPROVE, "")
        must_match(statement, expected)
    except (binascii.Error, RequestError, DeniedError) as error:
        raise TamperError(f"the vote of {approval.approver} does not hold: {error}") from error
    if person != approval.person or approval.verdict is not Verdict.APPROVE:
        raise TamperError(f"the vote of {approval.approver} was changed")
    if not verifier.is_valid(approver.key, signed_message(body), approval.signature):
        raise TamperError(f"the signature of {approval.approver}'s vote is wrong")
