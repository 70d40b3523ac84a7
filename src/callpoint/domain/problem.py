"""Errors as they cross the wire (RFC 9457), both ways; the one table from the tree to HTTP.

| kind | status | |
|---|---|---|
| request, config | 400 | the caller must change it |
| authentication | 401 | who it is was not proven |
| denied | 403 | policy, quorum or governance; ``reasons`` says which |
| not_found | 404 | |
| conflict | 409 | another state, or it moved meanwhile |
| tamper | 500 | evidence does not agree: stop and investigate |
| internal | 500 | not in the tree: a defect; the answer says nothing more, the log does |
| target_refused | 502 | the target answered no |
| target | 502 | the target failed in another way |
| unavailable, store_unavailable, log_unavailable, log_halted, clock, held | 503 | our side |
| target_unknown | 504 | the target did not answer; it may be done |
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from callpoint.domain.errors import (
    AuthenticationError,
    CallpointError,
    ClockError,
    ConfigError,
    ConfigErrors,
    ConflictError,
    DeniedError,
    HeldError,
    LogHaltedError,
    LogUnavailableError,
    NotFoundError,
    RequestError,
    StoreUnavailableError,
    TamperError,
    TargetError,
    TargetRefusedError,
    TargetUnknownError,
    UnavailableError,
)
from callpoint.domain.untrusted import printable
from callpoint.domain.untrusted_json import read_json

MEDIA_TYPE = "application/problem+json"
URN = "urn:callpoint:error:"
INTERNAL = "internal"
MAX_WORDS = 2000
"""Most characters of each text of a problem that was received."""

MAX_LISTED = 200
"""Most reasons, or wrong lines, of one."""

_SERVER_ERROR = 500
_NOT_FOUND = 404
_BY_STATUS: dict[int, type[CallpointError]] = {
    401: AuthenticationError,
    403: DeniedError,
    _NOT_FOUND: NotFoundError,
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as ``application/problem+json`` (RFC 9457).

    Attributes:
        type: ``urn:callpoint:error:<kind>``.
        title: The kind in words.
        detail: What is wrong.
        way_out: What to do next.
        reasons: Of a denial: one sentence for each rule that refused.
        target: Of a target's failure: its name; ``code`` is the target's own.
        file, line, key: Of a configuration error; ``errors`` lists all when there are several.
    """

    type: str
    title: str
    status: int
    detail: str = ""
    way_out: str = ""
    reasons: tuple[str, ...] = ()
    target: str = ""
    code: str = ""
    file: str = ""
    line: int | None = None
    key: str = ""
    errors: tuple["Problem", ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """One class of error: its name on the wire, its status, and its title for people."""

    error: type[CallpointError]
    name: str
    status: int
    title: str


KINDS: tuple[Kind, ...] = (
    Kind(ConfigError, "config", 400, "The configuration is wrong"),
    Kind(AuthenticationError, "authentication", 401, "Not authenticated"),
    Kind(NotFoundError, "not_found", 404, "There is no such thing"),
    Kind(RequestError, "request", 400, "The request is wrong"),
    Kind(DeniedError, "denied", 403, "Denied"),
    Kind(ConflictError, "conflict", 409, "Not possible in this state"),
    Kind(TargetUnknownError, "target_unknown", 504, "The target did not answer"),
    Kind(TargetRefusedError, "target_refused", 502, "The target refused"),
    Kind(TargetError, "target", 502, "The target failed"),
    Kind(StoreUnavailableError, "store_unavailable", 503, "The store is not available"),
    Kind(LogHaltedError, "log_halted", 503, "The event log is halted"),
    Kind(LogUnavailableError, "log_unavailable", 503, "The event log is not available"),
    Kind(ClockError, "clock", 503, "A clock cannot be trusted"),
    Kind(HeldError, "held", 503, "Held: this may be a copy"),
    Kind(UnavailableError, "unavailable", 503, "Not available"),
    Kind(TamperError, "tamper", 500, "Evidence does not agree"),
)
"""The most special class first."""

_BY_NAME = {kind.name: kind for kind in KINDS}


def problem_of(error: BaseException) -> Problem:
    """What the caller is told. Of an error outside the tree: nothing but that there was one."""
    kind = next((kind for kind in KINDS if isinstance(error, kind.error)), None)
    if kind is None or not isinstance(error, CallpointError):
        return internal()
    problem = Problem(
        type=URN + kind.name,
        title=kind.title,
        status=kind.status,
        detail=error.message,
        way_out=error.way_out,
    )
    return _with_facts(problem, error)


def _with_facts(problem: Problem, error: CallpointError) -> Problem:
    """What the error's class says beyond message and way out."""
    parts = (problem.type, problem.title, problem.status, problem.detail, problem.way_out)
    match error:
        case ConfigErrors():
            return Problem(*parts, errors=tuple(problem_of(one) for one in error.errors))
        case ConfigError():
            return Problem(*parts, file=error.file, line=error.line, key=error.key)
        case DeniedError():
            return Problem(*parts, reasons=error.reasons)
        case TargetError():
            return Problem(*parts, target=error.target, code=error.code)
        case _:
            return problem


def internal() -> Problem:
    """A defect of ours; the server's log has the detail."""
    return Problem(
        type=URN + INTERNAL,
        title="Internal error",
        status=_SERVER_ERROR,
        detail="internal error",
        way_out="the server's log says more; nothing was given out",
    )


def refusal(status: int, detail: str) -> Problem:
    """What the web framework refused by itself: no such route, no such method, a wrong body."""
    if status >= _SERVER_ERROR:
        return internal()
    kind = _BY_NAME["not_found" if status == _NOT_FOUND else "request"]
    way_out = (
        "is the server's address right (without a path), and is the client of its version?"
        if status == _NOT_FOUND
        else ""
    )
    return Problem(
        type=URN + kind.name, title=kind.title, status=status, detail=detail, way_out=way_out
    )


def error_of(problem: Problem) -> CallpointError:
    """The error that a client raises for a problem that it received.

    A kind that this version does not know, and a defect of the server, is UnavailableError.
    """
    make = _MAKERS.get(problem.type.removeprefix(URN))
    if make is not None:
        return make(problem)
    return UnavailableError(
        f"the server failed ({problem.status} {problem.title}): {problem.detail}",
        way_out=problem.way_out,
    )


def error_in(status: int, media_type: str, content: bytes) -> CallpointError:
    """The error that an answer with a failing status stands for.

    An answer that is no problem of ours (a proxy's page) is judged by its status. Whoever answered
    chose the words: they are made fit to be shown, and bounded.
    """
    problem = _parse(media_type, content)
    return _by_status(status) if problem is None else error_of(_bounded(problem))


def _parse(media_type: str, content: bytes) -> Problem | None:
    if not media_type.startswith(MEDIA_TYPE):
        return None
    try:
        problem = read_json(content, Problem)
    except msgspec.DecodeError:
        return None
    return problem if problem.type.startswith(URN) else None


def _bounded(problem: Problem) -> Problem:
    """Each text on one line, and no more of them than somebody reads."""
    return msgspec.structs.replace(
        problem,
        title=printable(problem.title),
        detail=printable(problem.detail, MAX_WORDS),
        way_out=printable(problem.way_out, MAX_WORDS),
        reasons=tuple(printable(one, MAX_WORDS) for one in problem.reasons[:MAX_LISTED]),
        target=printable(problem.target),
        code=printable(problem.code),
        file=printable(problem.file, MAX_WORDS),
        key=printable(problem.key, MAX_WORDS),
        # One in another is none of ours, and would be followed as deep as it goes.
        errors=tuple(
            _bounded(msgspec.structs.replace(one, errors=())) for one in problem.errors[:MAX_LISTED]
        ),
    )


def _by_status(status: int) -> CallpointError:
    words = f"the server answered {status} without saying why"
    if status >= _SERVER_ERROR:
        return UnavailableError(words, way_out="try again; then look at the server's log")
    kind = _BY_STATUS.get(status, RequestError)
    return kind(words, way_out="check the address: does a proxy, or another program, answer there?")


def _plain(error: type[CallpointError]) -> Callable[[Problem], CallpointError]:
    return lambda problem: error(problem.detail, way_out=problem.way_out)


def _config(problem: Problem) -> ConfigError:
    if problem.errors:
        return ConfigErrors(tuple(_config(one) for one in problem.errors))
    return ConfigError(
        problem.detail,
        file=problem.file,
        line=problem.line,
        key=problem.key,
        way_out=problem.way_out,
    )


def _denied(problem: Problem) -> DeniedError:
    return DeniedError(problem.detail, reasons=problem.reasons, way_out=problem.way_out)


def _target(error: type[TargetError]) -> Callable[[Problem], CallpointError]:
    return lambda problem: error(
        problem.detail, target=problem.target, code=problem.code, way_out=problem.way_out
    )


_MAKERS: dict[str, Callable[[Problem], CallpointError]] = {
    **{kind.name: _plain(kind.error) for kind in KINDS},
    "config": _config,
    "denied": _denied,
    "target": _target(TargetError),
    "target_refused": _target(TargetRefusedError),
    "target_unknown": _target(TargetUnknownError),
}
