"""What an approver is asked to sign, checked here before the key is used (I9).

The server shows a request and hands over a statement. What was shown is what is signed only if the
digest of the request *as shown* is the one in the statement; a server that shows one thing and has
another signed is found out here and nowhere else.
"""

import base64

from callpoint.api.messages import ActivationView, StatementView
from callpoint.cli.keyring import PrincipalKey
from callpoint.domain.approval import DOMAIN, Statement, Verdict, Vote, signed_message
from callpoint.domain.errors import RequestError, TamperError
from callpoint.domain.event import Private
from callpoint.lifecycle.votes import parse_statement


def verify_ballot(
    ballot: StatementView, activation: str, principal: str, verdict: Verdict, installation: str
) -> Statement:
    """The statement, if it is about exactly the request beside it.

    Args:
        ballot: The server's answer.
        activation: Which one the caller named.
        principal: The caller.
        verdict: What the caller wants to say.
        installation: Which installation the server must be (``cli.trust``).

    Raises:
        TamperError: What is shown is not what would be signed.
    """
    try:
        statement = parse_statement(ballot.statement)
    except RequestError as error:
        raise TamperError(f"the server wants something else signed: {error.message}") from error
    view = ballot.activation
    request = view.request
    _must_equal(
        {
            "domain": (statement.domain, DOMAIN),
            "activation": (statement.activation, activation),
            "activation shown": (request.activation, activation),
            # The digest covers the incident's id alone, so at least that must be the one shown.
            "incident shown": (_incident_shown(view), request.incident),
            "installation": (statement.installation, installation),
            "installation shown": (request.installation, installation),
            "request digest": (statement.request_digest, request.digest()),
            "digest shown": (view.digest, request.digest()),
            "configuration digest": (statement.configuration_digest, request.configuration_digest),
            "policy digest": (statement.policy_digest, request.policy_digest),
            "nonce": (statement.nonce, request.nonce),
            "approver": (statement.approver, principal),
            "verdict": (statement.verdict, verdict),
        }
    )
    verify_words(view)
    return statement


def _incident_shown(view: ActivationView) -> str:
    """A server that shows none says no more about it than the request itself does."""
    return view.incident.id if view.incident else view.request.incident


def _must_equal(pairs: dict[str, tuple[str, str]]) -> None:
    wrong = [
        f"{what} is {found[:80]!r}, not {expected[:80]!r}"
        for what, (found, expected) in pairs.items()
        if found != expected
    ]
    if wrong:
        raise TamperError(
            f"what the server shows is not what you would sign: {'; '.join(wrong)}",
            way_out="sign nothing; tell the governors, and compare with `callpoint evidence`",
        )


def verify_words(view: ActivationView) -> None:
    """The words shown are those that the request commits to; erased ones cannot be checked.

    Raises:
        TamperError: They are others.
    """
    if not view.justification and not view.justification_salt:
        return
    words = Private(salt=view.justification_salt, value=view.justification)
    if words.commitment() != view.request.justification:
        raise TamperError(
            "the justification shown is not the one that the request commits to",
            way_out="sign and record nothing; tell the governors",
        )


def cast(ballot: StatementView, key: PrincipalKey, comment: str) -> Vote:
    """The vote: the statement's own bytes, signed by the approver's own key."""
    signature = key.key.sign(signed_message(ballot.statement))
    return Vote(
        statement=ballot.statement,
        signature=base64.b64encode(signature).decode(),
        comment=comment,
    )
