"""What the shell gets: one exit code per class of error, and one way of saying what is wrong.

| code | class | whose turn it is |
|---|---|---|
| 0 | | done |
| 1 | not in the tree | a defect of Callpoint: the traceback is shown |
| 2 | RequestError, and wrong usage | the caller: change the request, a file or an option |
| 3 | DeniedError | policy, quorum or governance said no |
| 4 | ConflictError | look at the state again, then decide |
| 5 | TargetError | the target's side |
| 6 | UnavailableError | a part of Callpoint itself: wait, or repair it |
| 7 | TamperError | stop, and investigate |
| 130 | | nobody's: it was interrupted, or a question was answered with no |
| 141 | | nobody's: whoever read the answer went away, as in `callpoint status | head -1` |

Codes are an interface: scripts branch on them, so none ever changes its meaning.
"""

import functools
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import NoReturn, ParamSpec, TextIO, TypeVar

from callpoint.domain.errors import (
    CallpointError,
    ConfigError,
    ConfigErrors,
    ConflictError,
    DeniedError,
    RequestError,
    TamperError,
    TargetError,
    UnavailableError,
)

_P = ParamSpec("_P")
_R = TypeVar("_R")


class ExitCode(IntEnum):
    """The table above."""

    OK = 0
    DEFECT = 1
    BAD_INPUT = 2
    DENIED = 3
    CONFLICT = 4
    TARGET = 5
    UNAVAILABLE = 6
    TAMPER = 7
    INTERRUPTED = 130
    UNREAD = 141


_CODES: tuple[tuple[type[CallpointError], ExitCode], ...] = (
    (RequestError, ExitCode.BAD_INPUT),
    (DeniedError, ExitCode.DENIED),
    (ConflictError, ExitCode.CONFLICT),
    (TargetError, ExitCode.TARGET),
    (UnavailableError, ExitCode.UNAVAILABLE),
    (TamperError, ExitCode.TAMPER),
)


def exit_code(error: CallpointError) -> int:
    """The code for an error of the tree; a class that nobody mapped is a defect."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return int(code)
    return int(ExitCode.DEFECT)


def describe(error: CallpointError) -> dict[str, object]:
    """The error as JSON builtins: ``kind``, ``message``, ``way_out``, and what its class adds."""
    facts: dict[str, object] = {
        "kind": _kind(error),
        "message": error.message,
        "way_out": error.way_out,
    }
    match error:
        case ConfigErrors():
            facts["errors"] = [describe(one) for one in error.errors]
        case ConfigError():
            facts |= {"file": error.file, "line": error.line, "key": error.key}
        case DeniedError():
            facts["reasons"] = list(error.reasons)
        case TargetError():
            facts |= {"target": error.target, "code": error.code}
        case _:
            pass
    return facts


def _kind(error: CallpointError) -> str:
    """``TargetUnknownError`` reads ``target_unknown``."""
    name = type(error).__name__.removesuffix("Error").removesuffix("Errors")
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def say(error: CallpointError, *, output: str = "text", stream: TextIO | None = None) -> None:
    """Write the error for a person, or with ``output="json"`` as one line of JSON, to stderr."""
    stream = stream or sys.stderr
    if output == "json":
        stream.write(json.dumps({"error": describe(error), "exit_code": exit_code(error)}) + "\n")
        return
    for line in _lines(error):
        stream.write(_printable(line) + "\n")


def _lines(error: CallpointError) -> Iterator[str]:
    match error:
        case ConfigErrors():
            for one in error.errors:
                yield from _lines(one)
            return
        case ConfigError():
            place = f"{error.file}:{error.line}" if error.line is not None else error.file
            yield "error: " + ": ".join(p for p in (place, error.key, error.message) if p)
        case DeniedError():
            yield f"error: {error.message}"
            yield from (f"  - {reason}" for reason in error.reasons)
        case _:
            yield f"error: {error.message}"
    if error.way_out:
        yield f"  what to do: {error.way_out}"


def _printable(line: str) -> str:
    """Messages quote what strangers sent (I14): nothing of it may move the cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


@contextmanager
def reporting(output: str = "text") -> Iterator[None]:
    """Turn errors of the tree into words on stderr and an exit code; also a decorator.

    A TaskGroup wraps its children's errors: when all of them are ours each is said, and the
    highest code wins. Anything else passes through, because it is a defect.

    Raises:
        SystemExit: With the code of the error.
    """
    try:
        yield
    except CallpointError as error:
        _leave((error,), output)
    except ExceptionGroup as group:
        ours, others = group.split(CallpointError)
        if ours is None or others is not None:
            raise
        _leave(tuple(_leaves(ours)), output)


def reported(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a command: as ``reporting``, in the format of the command's ``output`` option."""

    @functools.wraps(command)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with reporting(str(kwargs.get("output") or "text")):
            return command(*args, **kwargs)

    return wrapped


def _leave(errors: tuple[CallpointError, ...], output: str) -> NoReturn:
    with suppress(OSError):  # nobody reads stderr: then the code alone says it
        for error in errors:
            say(error, output=output)
    raise SystemExit(max(exit_code(error) for error in errors))


def _leaves(group: BaseExceptionGroup[CallpointError]) -> Iterator[CallpointError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
