"""Errors over the wire and back: nothing of one is lost, nothing of a defect is told."""

import io
import re
from pathlib import Path

import msgspec
import pytest

from callpoint.cli.exit_codes import say
from callpoint.domain import errors
from callpoint.domain.errors import (
    CallpointError,
    ConfigError,
    ConfigErrors,
    DeniedError,
    TargetRefusedError,
    TargetUnknownError,
    UnavailableError,
)
from callpoint.domain.problem import (
    KINDS,
    MAX_WORDS,
    MEDIA_TYPE,
    URN,
    Problem,
    error_in,
    error_of,
    internal,
    problem_of,
    refusal,
)

SAMPLES = [
    errors.RequestError("wrong", way_out="change it"),
    ConfigError("wrong", file="callpoint.toml", line=7, key="targets.a", way_out="write b"),
    ConfigErrors((ConfigError("one", file="a", line=1), ConfigError("two", key="k"))),
    errors.AuthenticationError("who are you", way_out="sign"),
    errors.NotFoundError("no such thing"),
    DeniedError("no", reasons=("because", "and because"), way_out="ask carol"),
    errors.ConflictError("it moved"),
    errors.TargetError("failed", target="orders-db"),
    TargetRefusedError("refused", target="orders-db", code="42501"),
    TargetUnknownError("silent", target="orders-db", code="57P01", way_out="wait"),
    UnavailableError("not now"),
    errors.StoreUnavailableError("disk full"),
    errors.LogUnavailableError("no key"),
    errors.LogHaltedError("2 are missing", way_out="recover"),
    errors.ClockError("it jumped"),
    errors.HeldError("a copy", way_out="adopt"),
    errors.TamperError("the row was changed"),
]


def tree(kind: type[CallpointError] = CallpointError) -> set[type[CallpointError]]:
    return {kind}.union(*(tree(child) for child in kind.__subclasses__()))


def facts(error: CallpointError) -> dict[str, object]:
    found = dict(vars(error))
    if isinstance(error, ConfigErrors):
        found["errors"] = [facts(one) for one in error.errors]
    return found


@pytest.mark.parametrize("error", SAMPLES, ids=lambda e: type(e).__name__)
def test_a_client_raises_what_the_server_raised(error: CallpointError):
    """Class, message, way out and the class's own facts cross the wire."""
    body = msgspec.json.encode(problem_of(error))
    again = error_of(msgspec.json.decode(body, type=Problem))
    assert type(again) is type(error)
    assert facts(again) == facts(error)
    assert str(again) == str(error)


def test_every_class_of_the_tree_has_a_sample():
    """A class that is added to the tree must be given a kind and a status here."""
    ours = {kind for kind in tree() if kind.__module__ == errors.__name__}
    assert {type(error) for error in SAMPLES} == ours - {CallpointError}


@pytest.mark.parametrize("error", SAMPLES, ids=lambda e: type(e).__name__)
def test_the_most_special_kind_is_told(error: CallpointError):
    """No kind stands before one of its own subclasses."""
    kind = problem_of(error).type.removeprefix(URN)
    (told,) = [k for k in KINDS if k.name == kind]
    closest = min(
        (k for k in KINDS if isinstance(error, k.error)),
        key=lambda k: type(error).__mro__.index(k.error),
    )
    assert told == closest


@pytest.mark.parametrize(
    "error", [ValueError("hunter2"), CallpointError("hunter2"), KeyboardInterrupt("hunter2")]
)
def test_a_defect_is_told_without_detail(error: BaseException):
    """What nobody mapped becomes an internal error that quotes nothing."""
    problem = problem_of(error)
    assert problem == internal()
    assert b"hunter2" not in msgspec.json.encode(problem)
    assert isinstance(error_of(problem), UnavailableError)


def test_an_unknown_kind_is_not_guessed():
    """A newer server's kind is told as a failure of the server, with its words."""
    made = error_of(Problem(type=f"{URN}flood", title="Flood", status=500, detail="wet"))
    assert type(made) is UnavailableError
    assert "wet" in made.message


@pytest.mark.parametrize(
    "status,kind", [(404, "not_found"), (405, "request"), (413, "request"), (500, "internal")]
)
def test_what_the_framework_refuses_is_a_problem_too(status: int, kind: str):
    """Its own statuses are kept; its failures are ours."""
    problem = refusal(status, "Nope")
    assert (problem.status, problem.type) == (status, URN + kind)
    assert (problem.detail == "Nope") is (kind != "internal")


def test_the_document_tells_every_kind_with_its_status():
    """``docs/http-api.md`` lists the kinds of the table, each beside its status."""
    text = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]*) \| (\d{3})[^|]*\|", text, re.MULTILINE)
    told = {(name, int(status)) for names, status in rows for name in re.findall("`(.*?)`", names)}
    assert told == {(kind.name, kind.status) for kind in KINDS} | {("internal", 500)}


def test_whoever_answered_chose_the_words_and_not_how_many():
    """Texts of an answer are one bounded line each, lists end, what is nested is not followed."""
    inner = Problem(URN + "config", "t", 400, "one", file="a", line=1)
    for _ in range(60):
        inner = Problem(URN + "config", "t", 400, "in", errors=(inner,))
    wide = Problem(URN + "config", "t", 400, errors=(inner,) * 300)
    long = "\x1b[2J" + "x" * 10_000
    told = Problem(URN + "denied", long, 403, long, long, (long,) * 300, long, long, long, key=long)
    for problem in (wide, told):
        error = error_in(problem.status, MEDIA_TYPE, msgspec.json.encode(problem))
        stream = io.StringIO()
        say(error, stream=stream)
        lines = stream.getvalue().split("\n")
        assert len(lines) < 500
        assert max(map(len, lines)) < MAX_WORDS + 100
        assert "\x1b" not in stream.getvalue()
        say(error, output="json", stream=stream)
        assert len(stream.getvalue()) < 2_000_000
