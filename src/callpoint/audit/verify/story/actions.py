"""What was done through gateways, as the story tells it: decided by the authority, or alone."""

from datetime import UTC, datetime

from callpoint.audit.verify.story.members import Data, Facts, inner, text_of
from callpoint.audit.verify.story.tale import Fact
from callpoint.audit.verify.story.words import duration, moment, plain


def allowance(limits: Data) -> str:
    """Limits in words."""
    rate = inner(limits, "rate")
    words = [f"{name} {plain(value)}" for name, value in limits.items() if name != "rate"]
    if rate:
        words.append(f"{text_of(rate, 'actions')} actions per {duration(text_of(rate, 'per'))}")
    return ", ".join(words)


def act_title(data: Data) -> str:
    """``Action 3 is refused: sql:delete public.items``."""
    answer = "allowed" if data.get("allowed") is True else "refused"
    return f"Action {text_of(data, 'number')} is {answer}: {_operations(data)}"


def _operations(data: Data) -> str:
    """``sql:select public.items, sql:delete public.items``."""
    listed = data.get("operations")
    found = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return ", ".join(f"{text_of(one, 'verb')} {text_of(one, 'object')}".rstrip() for one in found)


def acted(data: Data) -> Facts:
    """Why it was refused, and the exact text's hash."""
    if text_of(data, "reason"):
        yield Fact("because", text_of(data, "reason"))
    listed = data.get("decisions")
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, dict) and text_of(one, "effect") != "allow":
            yield Fact("because", text_of(one, "reasons"))
    yield Fact("SHA-256 of the text", text_of(data, "text_sha256"))
    if text_of(data, "evidence") == "with":
        yield Fact("answered before this was on record, at", moment(text_of(data, "answered_at")))


def alone_title(data: Data) -> str:
    """Likewise, of what a gateway decided without the authority."""
    answer = "allowed" if data.get("allowed") is True else "refused"
    return (
        f"Action {text_of(data, 'number')} without the authority is {answer} by the gateway alone:"
        f" {_operations(data)}"
    )


def alone(data: Data) -> Facts:
    """By what, and whether a grant covers it."""
    yield Fact("no grant covers it", text_of(data, "trouble"))
    yield Fact("because", text_of(data, "reason"))
    yield Fact("by the gateway's clock, at", moment(text_of(data, "decided_at")))
    yield Fact("under the grant", text_of(data, "grant"))
    yield Fact("SHA-256 of the text", text_of(data, "text_sha256"))


def granted(data: Data) -> Facts:
    """What the authority had signed for the time without it."""
    said = inner(data, "granted")
    yield Fact("it does not count", text_of(data, "trouble"))
    yield Fact("from", _second(said.get("iat")))
    yield Fact("until", _second(said.get("exp")))
    yield Fact("at most", allowance(inner(said, "allowance")))
    yield Fact("what it lists", _operations(said))
    yield Fact("the grant", text_of(data, "grant"))


def _second(value: object) -> str:
    """A moment in whole seconds since 1970; what is none is not told."""
    if not isinstance(value, int):
        return ""
    try:
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, OSError, ValueError):
        return ""
