"""The command line's errors: one code per class, words for people, JSON for scripts."""

import io
import json

import pytest

from callpoint.cli.exit_codes import ExitCode, describe, exit_code, reported, reporting, say
from callpoint.domain import errors
from callpoint.domain.errors import (
    CallpointError,
    ConfigError,
    ConfigErrors,
    ConflictError,
    DeniedError,
    NotFoundError,
    RequestError,
    TamperError,
    TargetUnknownError,
    UnavailableError,
)


def every_error_class() -> list[type[CallpointError]]:
    found = [v for v in vars(errors).values() if isinstance(v, type)]
    return [v for v in found if issubclass(v, CallpointError) and v is not CallpointError]


@pytest.mark.parametrize("kind", every_error_class())
def test_every_class_of_the_tree_has_a_code(kind: type[CallpointError]):
    """No error that Callpoint raises on purpose leaves the shell with "defect"."""
    error = ConfigErrors((ConfigError("x"),)) if kind is ConfigErrors else kind("x")
    assert exit_code(error) in set(ExitCode) - {ExitCode.OK, ExitCode.DEFECT}


@pytest.mark.parametrize(
    "error,code",
    [
        (RequestError("x"), 2),
        (NotFoundError("x"), 2),
        (ConfigError("x"), 2),
        (DeniedError("x"), 3),
        (ConflictError("x"), 4),
        (TargetUnknownError("x"), 5),
        (UnavailableError("x"), 6),
        (TamperError("x"), 7),
        (CallpointError("x"), 1),
    ],
)
def test_codes_never_change(error: CallpointError, code: int):
    """The documented table is what scripts get."""
    assert exit_code(error) == code


def said(error: CallpointError, output: str = "text") -> str:
    stream = io.StringIO()
    say(error, output=output, stream=stream)
    return stream.getvalue()


def test_words_name_place_and_way_out():
    """A wrong line is shown with file, line, key and what to write instead."""
    error = ConfigError("too long", file="a.toml", line=7, key="e.for", way_out="write 4h or less")
    assert said(error) == "error: a.toml:7: e.for: too long\n  what to do: write 4h or less\n"


def test_all_wrong_lines_are_said():
    """Every error of a configuration is reported in one go, not one per run."""
    error = ConfigErrors((ConfigError("one", file="a", line=1), ConfigError("two", file="b")))
    assert said(error) == "error: a:1: one\nerror: b: two\n"
    assert str(error) == "a:1: one\nb: two"
    assert [e["message"] for e in json.loads(said(error, "json"))["error"]["errors"]] == [
        "one",
        "two",
    ]


def test_denial_lists_its_reasons():
    """A refusal shows each rule that refused."""
    error = DeniedError("no", reasons=("quorum: one more",), way_out="ask bob")
    assert said(error) == "error: no\n  - quorum: one more\n  what to do: ask bob\n"


def test_json_carries_kind_and_code():
    """Scripts read the kind, the target and the exit code as fields."""
    body = json.loads(said(TargetUnknownError("gone", target="db", code="57P01"), "json"))
    assert body == {
        "error": {
            "kind": "target_unknown",
            "message": "gone",
            "way_out": "",
            "target": "db",
            "code": "57P01",
        },
        "exit_code": 5,
    }
    assert describe(DeniedError("no", reasons=("a",)))["reasons"] == ["a"]
    assert describe(ConfigError("x", line=3))["line"] == 3


def test_terminal_escapes_are_shown_not_obeyed():
    """What a stranger sent cannot move the cursor of the person who reads the error."""
    assert said(NotFoundError("no \x1b[2Jtarget\n")) == "error: no \\x1b[2Jtarget\\n\n"


def test_reporting_exits_with_the_code(capsys: pytest.CaptureFixture[str]):
    """An error of the tree becomes words on stderr and its exit code."""
    with pytest.raises(SystemExit) as left, reporting():
        raise DeniedError("no")
    assert left.value.code == 3
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "error: no\n")


def test_defects_pass_through():
    """An error outside the tree is not dressed up as a user's mistake."""
    with pytest.raises(ZeroDivisionError), reporting():
        raise ZeroDivisionError


def test_grouped_errors_are_said_and_the_highest_code_wins(capsys: pytest.CaptureFixture[str]):
    """Errors that a TaskGroup collected are each reported, nested ones too."""
    inner = ExceptionGroup("g", [TamperError("tampered")])
    with pytest.raises(SystemExit) as left, reporting():
        raise ExceptionGroup("g", [DeniedError("no"), inner])
    assert left.value.code == 7
    assert capsys.readouterr().err == "error: no\nerror: tampered\n"


def test_a_group_with_a_defect_passes_through():
    """One defect among the errors of a group keeps the whole group visible."""
    with pytest.raises(ExceptionGroup), reporting():
        raise ExceptionGroup("g", [DeniedError("no"), ZeroDivisionError()])


def test_decorated_command_follows_its_output_option(capsys: pytest.CaptureFixture[str]):
    """A command that was asked for JSON reports its errors as JSON."""

    @reported
    def command(*, output: str) -> int:
        if output == "json":
            raise ConflictError("moved")
        return 5

    assert command(output="text") == 5
    with pytest.raises(SystemExit):
        command(output="json")
    assert json.loads(capsys.readouterr().err)["exit_code"] == 4
