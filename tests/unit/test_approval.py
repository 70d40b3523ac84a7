"""Statements and votes: what is signed, byte for byte, and which votes hold."""

import base64
from datetime import UTC, datetime

import msgspec
import pytest

from callpoint.domain.approval import (
    DOMAIN,
    Approval,
    Quorum,
    Statement,
    Verdict,
    signed_message,
    tally,
)
from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import DeniedError, RequestError, TamperError
from callpoint.domain.principal import PrincipalKind
from callpoint.lifecycle.votes import must_be_person, must_match, parse_statement, verify_vote
from tests.fakes.keys import Ed25519Checker, Signer
from tests.fakes.world import World, configuration, make_world

AT = datetime(2026, 3, 1, tzinfo=UTC)
STATEMENT = Statement(
    domain=DOMAIN,
    installation="tstinc",
    activation="a23456789012",
    request_digest="r",
    configuration_digest="c",
    policy_digest="p",
    nonce="00",
    checkpoint="1 root",
    approver="carol",
    person="carol",
    verdict=Verdict.APPROVE,
)


def test_what_is_signed_is_the_domain_and_the_canonical_statement():
    """An auditor can rebuild the signed bytes from the statement alone."""
    assert STATEMENT.message() == (
        b"callpoint/approval/v1\n"
        b'{"activation":"a23456789012","approver":"carol","checkpoint":"1 root",'
        b'"configuration_digest":"c","domain":"callpoint/approval/v1","installation":"tstinc",'
        b'"nonce":"00","person":"carol","policy_digest":"p","request_digest":"r",'
        b'"verdict":"approve"}'
    )
    assert signed_message(STATEMENT.body()) == STATEMENT.message()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        STATEMENT.body() + b" ",
        STATEMENT.body().replace(b",", b", ", 1),
        STATEMENT.body().replace(b"{", b'{"extra":1,', 1),
        STATEMENT.body().replace(b'"approve"', b'"abstain"'),
        STATEMENT.body().replace(b'"00"', b"0"),
    ],
)
def test_only_the_canonical_spelling_of_a_statement_is_read(body):
    """Other spellings, other fields and other types are refused before any key is looked at."""
    with pytest.raises(RequestError):
        parse_statement(body)


def test_a_statement_is_read_as_it_was_written():
    """What was signed comes back equal."""
    assert parse_statement(STATEMENT.body()) == STATEMENT


@pytest.mark.parametrize(
    "field", [f for f in Statement.__struct_fields__ if f not in {"checkpoint", "verdict"}]
)
def test_a_statement_of_anything_else_is_refused_and_says_what_differs(field):
    """Every field but the checkpoint that was seen is fixed by the request."""
    other = msgspec.structs.replace(STATEMENT, **{field: "other"})
    with pytest.raises(DeniedError, match=f"{field} differs"):
        must_match(other, STATEMENT)
    must_match(msgspec.structs.replace(STATEMENT, checkpoint="2 other"), STATEMENT)


@pytest.mark.parametrize("kind", [PrincipalKind.AGENT, PrincipalKind.WORKLOAD])
def test_a_machine_is_not_a_person(kind):
    """Agents and workloads ask; only people approve."""
    found = configuration().principals["fixer"]
    with pytest.raises(DeniedError, match="only people approve"):
        must_be_person(msgspec.structs.replace(found, kind=kind))


def test_a_quorum_tells_what_is_missing_and_who_can_give_it():
    """Commanders fill the usual seats, security the added one, the requester none."""
    quorum = Quorum(2, ("group:commanders",), 1, ("group:security",))
    votes = [Approval("dave", "dave", Verdict.APPROVE, "", "", "", AT)]
    found = tally(quorum, votes, configuration(), frozenset({"bob"}))
    assert (found.counted, found.missing, found.missing_security) == (("dave",), 1, 1)
    assert found.can_still_approve == ("carol", "erin", "frank")
    assert not found.met
    assert quorum.total == 3


def test_a_no_is_not_a_yes():
    """A denial fills no seat."""
    votes = [Approval(p, p, Verdict.DENY, "", "", "", AT) for p in ("carol", "dave")]
    assert not tally(Quorum(1, ("group:commanders",)), votes, configuration(), frozenset()).met


def test_an_empty_or_unknown_list_of_approvers_can_never_be_met():
    """Nobody, and a group that does not exist, approve nothing."""
    votes = [Approval("carol", "carol", Verdict.APPROVE, "", "", "", AT)]
    for approvers in ((), ("group:nobody",), ("stranger",)):
        found = tally(Quorum(1, approvers), votes, configuration(), frozenset())
        assert not found.met
        assert found.can_still_approve == ()


async def recorded() -> tuple[World, Configuration]:
    world = await make_world()
    await world.incident()
    return world, world.bundle.configuration


async def test_a_recorded_vote_holds_under_its_configuration():
    """Key, signature, statement and person are checked again, and found good."""
    world, rules = await recorded()
    made = await world.approved()
    for vote in made.approvals:
        verify_vote(made, vote, rules, Ed25519Checker())


async def test_a_vote_under_another_key_is_tampering():
    """A key that the configuration does not name, or names no more, does not count."""
    world, rules = await recorded()
    made = await world.approved()
    new = msgspec.structs.replace(rules.principals["carol"], key=Signer("mallory").public)
    changed = msgspec.structs.replace(rules, principals={**rules.principals, "carol": new})
    gone = msgspec.structs.replace(rules, principals={"dave": rules.principals["dave"]})
    for other in (changed, gone):
        with pytest.raises(TamperError, match="not by a key in the configuration"):
            verify_vote(made, made.approvals[0], other, Ed25519Checker())


@pytest.mark.parametrize(
    "changes",
    [
        {"person": "dave"},
        {"verdict": Verdict.DENY},
        {"statement": "!"},
        {"statement": base64.b64encode(b"{}").decode()},
        {"statement": base64.b64encode(STATEMENT.body()).decode()},
        {"signature": ""},
        {"signature": base64.b64encode(bytes(64)).decode()},
    ],
)
async def test_a_changed_vote_is_tampering(changes):
    """Whatever of a vote was changed, it no longer holds."""
    world, rules = await recorded()
    made = await world.approved()
    vote = msgspec.structs.replace(made.approvals[0], **changes)
    with pytest.raises(TamperError):
        verify_vote(made, vote, rules, Ed25519Checker())


async def test_a_vote_for_another_request_is_tampering():
    """The votes of a request that was changed by one letter are void."""
    world, rules = await recorded()
    made = await world.approved()
    request = msgspec.structs.replace(made.request, incident="inc-8")
    changed = msgspec.structs.replace(made, request=request, digest=request.digest())
    with pytest.raises(TamperError, match="request_digest differs"):
        verify_vote(changed, made.approvals[0], rules, Ed25519Checker())
