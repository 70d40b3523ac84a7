"""The error tree: each class says whose fault it is, each message what to do next.

CallpointError
├── RequestError            the caller must change the request
│   ├── ConfigError         ... a line of the configuration
│   │   └── ConfigErrors    ... several lines, all told at once
│   ├── AuthenticationError ... the signature or key
│   └── NotFoundError       ... the name
├── DeniedError             policy, quorum or governance says no
├── ConflictError           the thing is in another state, or moved meanwhile
├── TargetError             the target's side
│   ├── TargetRefusedError  it answered no: nothing was done
│   └── TargetUnknownError  no answer: it may or may not have been done
├── UnavailableError        our own side: wait, or repair Callpoint
│   ├── StoreUnavailableError
│   ├── LogUnavailableError
│   │   └── LogHaltedError  ... until somebody recovers it
│   ├── ClockError
│   └── HeldError           this is a copy of an installation, or one that was moved
└── TamperError             evidence does not agree with itself: stop and investigate

Faces turn these into HTTP answers and exit codes in one place; what is not in the tree becomes
"internal error", without detail. Messages carry no secret (invariant I14).
"""


class CallpointError(Exception):
    """Root of everything that Callpoint raises on purpose.

    Args:
        message: What is wrong, in words a person on call understands.
        way_out: What to do next (a command, a key, a person to ask), or empty.
    """

    def __init__(self, message: str, *, way_out: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.message} ({self.way_out})" if self.way_out else self.message


class RequestError(CallpointError):
    """The request is malformed or asks for something that cannot exist."""


class ConfigError(RequestError):
    """A line of the configuration is wrong.

    Args:
        message: What is wrong.
        file: The file as the reader named it.
        line: 1-based line, or None when the file as a whole is meant.
        key: Dotted key, for instance ``eligibilities.orders-repair.for``.
        way_out: What to write instead.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str = "",
        line: int | None = None,
        key: str = "",
        way_out: str = "",
    ) -> None:
        super().__init__(message, way_out=way_out)
        self.file = file
        self.line = line
        self.key = key

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line is not None else self.file
        head = ": ".join(part for part in (place, self.key, self.message) if part)
        return f"{head} ({self.way_out})" if self.way_out else head


class ConfigErrors(ConfigError):  # noqa: N818 -- the plural is its meaning
    """Every wrong line of a configuration at once, in the order of the files.

    Args:
        errors: At least one.
    """

    def __init__(self, errors: tuple[ConfigError, ...]) -> None:
        first = errors[0]
        super().__init__(
            first.message, file=first.file, line=first.line, key=first.key, way_out=first.way_out
        )
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


class AuthenticationError(RequestError):
    """The caller did not prove who it is."""


class NotFoundError(RequestError):
    """There is nothing of that name that the caller may see."""


class DeniedError(CallpointError):
    """Policy, quorum or governance refuses.

    Args:
        message: The refusal in one sentence.
        reasons: One sentence per rule that refused, naming the rule.
        way_out: What the caller can do.
    """

    def __init__(self, message: str, *, reasons: tuple[str, ...] = (), way_out: str = "") -> None:
        super().__init__(message, way_out=way_out)
        self.reasons = reasons


class ConflictError(CallpointError):
    """The thing is not in a state that allows this, or somebody changed it meanwhile."""


class TargetError(CallpointError):
    """A target did not do what it was asked.

    Args:
        message: What happened, without secrets.
        target: The target's name.
        code: The target's own code (SQLSTATE …), empty when there was no answer.
        way_out: What to do next.
    """

    def __init__(
        self, message: str, *, target: str = "", code: str = "", way_out: str = ""
    ) -> None:
        super().__init__(message, way_out=way_out)
        self.target = target
        self.code = code


class TargetRefusedError(TargetError):
    """The target answered no, so the act was not done."""


class TargetUnknownError(TargetError):
    """No answer: the act may or may not have been done. Never read it as "not done"."""


class UnavailableError(CallpointError):
    """A part of Callpoint itself cannot work now; nothing was given out."""


class StoreUnavailableError(UnavailableError):
    """The state store does not answer, is full or is read-only.

    Args:
        message: What is wrong.
        way_out: What to do next.
        is_silent: Nobody answers there, which may pass; not that something else is wrong with it.
    """

    def __init__(self, message: str, *, way_out: str = "", is_silent: bool = False) -> None:
        super().__init__(message, way_out=way_out)
        self.is_silent = is_silent


class LogUnavailableError(UnavailableError):
    """The event log cannot be signed or extended: no issue, while revocation goes on (I2)."""


class LogHaltedError(LogUnavailableError):
    """The database's tree does not go on from what was signed: only ``log recover`` leads on."""


class ClockError(UnavailableError):
    """A clock jumped back or differs too much: no issue, while revocation goes on (I4)."""


class HeldError(UnavailableError):
    """This is perhaps a copy: nothing is given, and nothing taken away from under the original."""


class TamperError(CallpointError):
    """Evidence does not agree: a state row, a vote, a digest or the log was changed by hand."""
