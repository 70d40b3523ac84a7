"""Verification of votes: who approved exactly this request, and whether they may count (I9)."""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from callpoint.audit.entry import Entry, EntryError, JsonObject, canonical_json
from callpoint.audit.note import BadSignatureError, verify_ed25519
from callpoint.audit.verify.report import Code, Findings

DOMAIN = b"callpoint/approval/v1"
"""What a vote's signature begins with, so that nothing else signed by the key can be a vote."""

_NEEDS_QUORUM = frozenset({"activation:approved", "activation:activated", "lease:issued"})
_SAME_AS_EVENT = ("approver", "person", "verdict")
_SAME_AS_REQUEST = ("installation", "activation", "configuration_digest", "policy_digest")


@dataclass(frozen=True, slots=True)
class Known:
    """An entry that could be read: its log index, its leaf hash in hexadecimal, and itself."""

    index: int
    digest: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class AskedFor:
    """The request that votes must be over: itself, its digest, and who may not vote on it."""

    request: JsonObject
    digest: str
    excluded: frozenset[str]


def check_votes(
    events: Sequence[Known], related: Sequence[Known], activation: str, findings: Findings
) -> None:
    """Check the request of an activation and every vote on it.

    Args:
        events: The activation's own events, in order.
        related: Events of other streams: who confirmed the incident has no vote.
        activation: The activation's id.
        findings: Where failures go.
    """
    asked = _asked_for(events, related, activation, findings)
    if asked is None:
        return
    keys: dict[str, str] = {}
    unmet = False
    for known in events:
        if known.entry.type == "approval:recorded":
            person = _check_vote(known, asked, findings)
            if person is not None:
                _count(person, known, keys, findings)
        elif known.entry.type in _NEEDS_QUORUM and not unmet:
            unmet = _check_quorum(known, asked, len(keys), findings)
    if keys:
        findings.note(
            "approvers' keys are as the entries state them: compare them with the configuration"
            f" {asked.request.get('configuration_digest')}"
        )


def _asked_for(
    events: Sequence[Known], related: Sequence[Known], activation: str, findings: Findings
) -> AskedFor | None:
    first = events[0]
    request = first.entry.data.get("request")
    if first.entry.type != "activation:requested" or not isinstance(request, dict):
        message = "the activation's first event does not hold the request"
        findings.add(Code.REQUEST_MISMATCH, message, first.index)
        return None
    digest = hashlib.sha256(canonical_json(request)).hexdigest()
    if first.entry.data.get("digest") != digest:
        message = "the stated request digest is not that of the request"
        findings.add(Code.REQUEST_MISMATCH, message, first.index)
    stated = (request.get("installation"), request.get("activation"))
    if stated != (first.entry.installation, activation):
        message = "the request is for another installation or activation"
        findings.add(Code.REQUEST_MISMATCH, message, first.index)
    persons = _texts(request.get("persons"))
    if not persons:
        message = "the request names nobody who asks or answers for it"
        findings.add(Code.REQUEST_MISMATCH, message, first.index)
    confirmed = {
        str(known.entry.data.get("person"))
        for known in related
        if known.entry.type == "incident:confirmed"
        and known.entry.data.get("incident") == request.get("incident")
    }
    return AskedFor(request, digest, frozenset(persons | confirmed))


def _count(person: str, known: Known, keys: dict[str, str], findings: Findings) -> None:
    """Count one approval in `keys`, person to key, unless that person or key has approved."""
    key = str(known.entry.data["key"])
    if person in keys:
        message = f"{person} approved twice, and counts once"
        findings.add(Code.VOTE_NOT_INDEPENDENT, message, known.index)
    elif key in keys.values():
        message = f"{person} approved with the key of another approver"
        findings.add(Code.VOTE_NOT_INDEPENDENT, message, known.index)
    else:
        keys[person] = key


def _check_vote(known: Known, asked: AskedFor, findings: Findings) -> str | None:
    """The person whose approval counts, or None for a no and for a vote that does not hold."""
    data = known.entry.data
    try:
        body = _raw(data.get("statement"))
        verify_ed25519(_raw(data.get("key")), _raw(data.get("signature")), DOMAIN + b"\n" + body)
        statement = _statement(body)
    except (BadSignatureError, EntryError) as error:
        findings.add(Code.VOTE_INVALID, f"the vote does not hold: {error}", known.index)
        return None
    for name in _SAME_AS_EVENT:
        if statement.get(name) != data.get(name) or not isinstance(statement.get(name), str):
            message = f"the event's {name} is not what the approver signed"
            findings.add(Code.VOTE_INVALID, message, known.index)
            return None
    if not _is_over(statement, asked, known, findings) or statement["verdict"] != "approve":
        return None
    person = str(statement["person"])
    if person in asked.excluded:
        message = f"{person} asked for it, answers for it, or confirmed the incident"
        findings.add(Code.VOTE_NOT_INDEPENDENT, message, known.index)
        return None
    return person


def _is_over(statement: JsonObject, asked: AskedFor, known: Known, findings: Findings) -> bool:
    """Whether the statement is over exactly this request."""
    wrong = [name for name in _SAME_AS_REQUEST if statement.get(name) != asked.request.get(name)]
    if statement.get("domain") != DOMAIN.decode():
        wrong.append("domain")
    if statement.get("request_digest") != asked.digest:
        wrong.append("request_digest")
    if wrong:
        message = f"the vote is over another request: {', '.join(wrong)} differ"
        findings.add(Code.VOTE_OTHER_REQUEST, message, known.index)
    return not wrong


def _check_quorum(known: Known, asked: AskedFor, counted: int, findings: Findings) -> bool:
    """Whether the event stands there without the votes that the request asked for."""
    need = _need(asked.request.get("quorum"))
    if need is None:
        message = "the request does not say how many must approve"
        findings.add(Code.REQUEST_MISMATCH, message, known.index)
        return True
    if counted >= need:
        return False
    message = f"{known.entry.type} with {counted} valid approvals where {need} are needed"
    findings.add(Code.QUORUM_NOT_MET, message, known.index)
    return True


def _need(quorum: object) -> int | None:
    """How many persons must approve in all; at least one, whatever the request says."""
    if not isinstance(quorum, dict):
        return None
    need, extra = quorum.get("need"), quorum.get("extra", 0)
    if not isinstance(need, int) or not isinstance(extra, int):
        return None
    return max(need, 1) + max(extra, 0)


def _statement(body: bytes) -> JsonObject:
    try:
        statement = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise EntryError(f"the statement cannot be read: {error}") from error
    if canonical_json(statement) != body:
        raise EntryError("the statement is not in canonical form")
    return statement


def _raw(value: object) -> bytes:
    if not isinstance(value, str):
        raise EntryError("statement, signature and key are base64 text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EntryError("statement, signature and key are base64 text") from error


def _texts(value: object) -> set[str]:
    return {item for item in value if isinstance(item, str)} if isinstance(value, list) else set()
