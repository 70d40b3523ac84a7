"""From one entry to a step: what each type of event means, in one table."""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping

from callpoint.audit.entry import Entry
from callpoint.audit.verify.bundle import BundleEntry
from callpoint.audit.verify.story.actions import (
    act_title,
    acted,
    allowance,
    alone,
    alone_title,
    granted,
)
from callpoint.audit.verify.story.members import Data, Facts, inner, text_of
from callpoint.audit.verify.story.tale import Fact, Step
from callpoint.audit.verify.story.words import clean, duration, moment, plain

NOT_SHOWN = "[erased, or not shown: the log keeps a commitment only]"
_MAX_STATEMENT = 100_000


def step(item: BundleEntry, entry: Entry, after: str) -> Step:
    """The step of an entry; of a type that is not known here, with everything that it says."""
    title, facts, loud = _TOLD.get(entry.type, (entry.type, _everything, False))
    return Step(
        index=item.index,
        at=moment(entry.at),
        after=after,
        title=clean(title(entry.data) if callable(title) else title),
        kind=clean(entry.type),
        facts=tuple(fact for fact in (*_words(item, entry), *facts(entry.data)) if fact.text),
        is_loud=loud or _has_findings(entry.data) or is_attested(entry.data),
    )


def unreadable(item: BundleEntry, error: str) -> Step:
    """An entry that is none: the verifier has a finding about it."""
    title = f"This entry cannot be read: {clean(error)}"
    return Step(item.index, at="", after="", title=title, kind="", is_loud=True)


def _words(item: BundleEntry, entry: Entry) -> Facts:
    """Personal values: in full, or that they are not here any more."""
    for name in sorted(entry.personal):
        revealed = item.personal.get(name)
        text = clean(revealed.value) if revealed is not None else NOT_SHOWN
        yield Fact(name.replace("_", " "), text, is_quote=revealed is not None)


def _has_findings(data: Data) -> bool:
    return bool(data.get("residue") or data.get("findings") or data.get("finding"))


def _fact(label: str, text: str, *, is_quote: bool = False) -> Fact:
    return Fact(label, text, is_quote)


def _plain_facts(*names: str) -> Callable[[Data], Facts]:
    def facts(data: Data) -> Facts:
        for name in names:
            yield _fact(name.replace("_", " "), text_of(data, name))

    return facts


def _everything(data: Data) -> Facts:
    for name, value in data.items():
        yield _fact(clean(name.replace("_", " ")), plain(value))


def _requested(data: Data) -> Facts:
    asked = inner(data, "request")
    quorum = inner(asked, "quorum")
    extra = text_of(quorum, "extra")
    yield _fact("answering persons", text_of(asked, "persons"))
    yield _fact("opens", text_of(asked, "opens"))
    yield _fact("for the incident", text_of(asked, "incident"))
    yield _fact("purpose", text_of(asked, "purpose"))
    yield _fact("eligibility", text_of(asked, "eligibility"))
    yield _fact("lane and mode", f"{text_of(asked, 'lane')}, {text_of(asked, 'mode')}")
    yield _fact("for at most", duration(text_of(asked, "ttl")))
    yield _fact("needs", f"{text_of(quorum, 'need')} of {text_of(quorum, 'approvers')}")
    if extra not in ("", "0"):
        yield _fact("and as well", f"{extra} of {text_of(quorum, 'security')}")
    yield _fact("may do through gateways at most", allowance(inner(asked, "allowance")))
    alone = inner(asked, "offline")
    yield _fact("without the authority, for at most", duration(text_of(alone, "span")))
    yield _fact("and then at most", allowance(inner(alone, "allowance")))
    yield _fact("from the networks", text_of(asked, "sources"))
    yield _fact("lapses at", moment(text_of(asked, "lapses_at")))
    yield _fact("reviewers", text_of(asked, "reviewers"))
    for finding in _listed(asked, "findings"):
        yield _fact("told to approvers", finding)
    yield _fact("digest of the request", text_of(data, "digest"))


def _listed(data: Data, name: str) -> Iterator[str]:
    """Findings and other lists, one line each."""
    value = data.get(name)
    for one in value if isinstance(value, list) else []:
        if isinstance(one, dict) and "text" in one:
            yield f"{text_of(one, 'kind')}: {text_of(one, 'text')}"
        else:
            yield plain(one)


def _voted(data: Data) -> Facts:
    """What was signed, out of the signed bytes themselves."""
    said = _statement(text_of(data, "statement"))
    yield _fact("signed over the request", text_of(said, "request_digest"))
    yield _fact("having seen the log at", text_of(said, "checkpoint"))
    yield _fact("under the configuration", text_of(said, "configuration_digest"))
    yield _fact("and the policies", text_of(said, "policy_digest"))
    yield _fact("with the key", text_of(data, "key"))


def _statement(encoded: str) -> Data:
    try:
        said = json.loads(base64.b64decode(encoded[:_MAX_STATEMENT], validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _activated(data: Data) -> Facts:
    yield _fact("ends at the latest", moment(text_of(data, "not_after")))
    plans = data.get("plans")
    for plan in plans if isinstance(plans, list) else []:
        if isinstance(plan, dict):
            opened = f"{text_of(plan, 'target')} as {text_of(plan, 'role')}"
            yield _fact("account", f"{text_of(plan, 'account')} on {opened}")
    decisions = data.get("decisions")
    for decision in decisions if isinstance(decisions, list) else []:
        if isinstance(decision, dict):
            yield _fact("allowed by", text_of(decision, "policies"))


def _issued(data: Data) -> Facts:
    bound = text_of(data, "residual")
    outlives = f"at most {duration(bound)}" if bound else "unbounded"
    yield _fact("if Callpoint dies, a session outlives its end by", outlives)
    yield _fact("because", text_of(data, "residual_because"))
    yield _fact("sealed box, SHA-256", text_of(data, "box_sha256"))


def _ended(data: Data) -> Facts:
    yield _fact("a first look is due", moment(text_of(data, "triage_by")))
    yield _fact("the verdict is due", moment(text_of(data, "close_by")))


def _buried(data: Data) -> Facts:
    code = text_of(data, "code")
    yield _fact("on whose word" if is_attested(data) else "proof", text_of(data, "evidence"))
    yield _fact("the old credential was refused with", code)
    yield _fact("control attempt before it was disabled", text_of(data, "control"))
    for finding in _listed(data, "residue"):
        yield _fact("left behind", finding)


def _stuck(data: Data) -> Facts:
    yield _fact("attempts", text_of(data, "attempts"))
    yield _fact("error", text_of(data, "error"))
    yield _fact("code", text_of(data, "code"))


def _found(data: Data) -> Facts:
    found = inner(data, "finding")
    yield _fact(text_of(found, "kind"), text_of(found, "text"), is_quote=True)


def _reviewed(data: Data) -> Facts:
    for name in ("findings", "follow_ups"):
        for line in _listed(data, name):
            yield _fact("finding" if name == "findings" else "follow-up", line, is_quote=True)
    yield _fact("over the evidence at", text_of(data, "checkpoint"))


def _none(_: Data) -> Facts:
    return iter(())


def _by(words: str, *names: str) -> Callable[[Data], str]:
    """``{0} asked for {1}``, filled with members."""

    def title(data: Data) -> str:
        return words.format(*(text_of(data, name) or "(nobody)" for name in names))

    return title


def _ask_title(data: Data) -> str:
    asked = inner(data, "request")
    return f"{text_of(asked, 'principal')} asked for {text_of(asked, 'opens')}"


def _vote_title(data: Data) -> str:
    who, person = text_of(data, "approver"), text_of(data, "person")
    named = who if who == person else f"{who} ({person})"
    return f"{named} signed: {text_of(data, 'verdict')}"


def _end_title(data: Data) -> str:
    which = f"{text_of(data, 'lease')} on {text_of(data, 'target')}"
    return f"{which} is closed without proof" if is_attested(data) else f"{which} is dead"


def is_attested(data: Data) -> bool:
    """Whether nobody saw it dead: governors said that the target no longer exists."""
    return text_of(data, "evidence").startswith("attested")


Title = str | Callable[[Data], str]

_TOLD: Mapping[str, tuple[Title, Callable[[Data], Facts], bool]] = {
    "activation:requested": (_ask_title, _requested, False),
    "approval:recorded": (_vote_title, _voted, False),
    "activation:approved": (_by("The quorum is met: {}", "persons"), _none, False),
    "activation:denied": (_by("Denied by {}", "person"), _none, True),
    "activation:lapsed": ("Lapsed: not enough answers in time", _none, True),
    "activation:withdrawn": (_by("Taken back: {}", "reason"), _none, False),
    "activation:activated": (_by("{} took it up: access begins", "actor"), _activated, False),
    "lease:issued": (_by("A credential exists on {}: {}", "target", "lease"), _issued, False),
    "lease:failed": (
        _by("The credential on {} could not be made: {}", "target", "lease"),
        _plain_facts("error", "code"),
        True,
    ),
    "credential:revealed": (_by("{} fetched the credential {}", "actor", "lease"), _none, False),
    "connection:offered": (
        _by("{} was given a connection to {} through {}", "actor", "target", "gateway"),
        _plain_facts("connection", "lease", "expires_at"),
        False,
    ),
    "token:issued": (
        _by("{} was given a token for {}", "actor", "audience"),
        _plain_facts("lease", "binding", "thumbprint", "acts_for", "delegate", "expires_at"),
        False,
    ),
    "token:revoked": (_by("{} gave a token of {} up", "actor", "lease"), _none, False),
    "session:opened": (
        _by("{} opened a session on {} through {}", "actor", "target", "gateway"),
        _plain_facts("session", "connection", "not_after"),
        False,
    ),
    "session:paused": (
        _by("Stopped: {}", "because"),
        _plain_facts("session", "sessions"),
        True,
    ),
    "session:resumed": (
        _by("{} let the stopped sessions go on", "person"),
        _plain_facts("sessions", "grants"),
        True,
    ),
    "session:ended": (_by("The session {} is over: {}", "session", "reason"), _none, False),
    "session:closed": (_by("Nothing more comes of the session {}", "session"), _none, False),
    "action:decided": (act_title, acted, False),
    "action:finished": (
        _by("Action {} is done: {} rows, {} bytes", "number", "rows", "bytes"),
        _plain_facts("duration", "code"),
        False,
    ),
    "session:offline": (
        _by("The gateway {} lost the authority and went on under a grant", "gateway"),
        granted,
        True,
    ),
    "action:offline": (alone_title, alone, True),
    "action:finished-offline": (
        _by(
            "Action {} without the authority is done: {} rows, {} bytes", "number", "rows", "bytes"
        ),
        _plain_facts("finished_at", "duration", "code", "trouble"),
        False,
    ),
    "secret:prepared": (
        _by("A new secret of {} on {} is prepared ({})", "account", "target", "purpose"),
        _plain_facts("generation", "box_sha256"),
        False,
    ),
    "secret:promoted": (
        _by("{} on {} accepts the new secret alone", "account", "target"),
        _plain_facts("generation"),
        False,
    ),
    "activation:ended": (_by("Access ends: {}", "reason"), _ended, False),
    "lease:ending": (_by("Revocation of {} on {} begins", "lease", "target"), _none, False),
    "lease:probed": (
        _by("Control attempt with {} before it is disabled: {}", "lease", "control"),
        _plain_facts("control_code"),
        False,
    ),
    "lease:stuck": (_by("{} on {} does not die yet: {}", "lease", "target", "rung"), _stuck, True),
    "lease:ended": (_end_title, _buried, False),
    "lease:attested": (
        _by("{1} says that {0} no longer exists", "target", "person"),
        _plain_facts("lease"),
        True,
    ),
    "finding:raised": ("A finding", _found, True),
    "review:triaged": (_by("{} took a first look", "person"), _none, False),
    "activation:reviewed": (_by("{} reviewed it: {}", "person", "verdict"), _reviewed, False),
    "incident:declared": (
        _by("{} declared the incident {} ({})", "person", "incident", "severity"),
        _plain_facts("targets"),
        False,
    ),
    "incident:reported": (
        _by("{} reported the incident {} ({})", "source", "incident", "severity"),
        _plain_facts("targets", "body_sha256"),
        False,
    ),
    "incident:confirmed": (_by("{} confirmed the incident {}", "person", "incident"), _none, False),
    "incident:resolved": (
        _by("The incident {1} is over, says {0}", "by", "incident"),
        _none,
        False,
    ),
    "installation:created": (
        _by("Installation {} was founded", "installation"),
        _plain_facts("governors", "quorum", "log_key", "trial"),
        False,
    ),
    "bundle:published": (
        _by("Configuration {} came into force, brought by {}", "number", "actor"),
        _plain_facts("digest", "configuration_digest", "policy_digest", "widens"),
        False,
    ),
    "key:rotated": (_by("The {} key was replaced", "use"), _plain_facts("old", "new"), False),
    "log:recovered": (
        "The log goes on after a loss",
        _plain_facts("reason", "old_checkpoint", "kept_size", "lost_size"),
        True,
    ),
}
