"""The way to the server: every error arrives as itself, every failure says what to do."""

import json
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import msgspec
import pytest

from callpoint.cli.exit_codes import exit_code
from callpoint.cli.problems import unreachable
from callpoint.cli.transport import UnreachedError
from callpoint.domain.errors import (
    AuthenticationError,
    CallpointError,
    ConfigError,
    ConfigErrors,
    DeniedError,
)
from callpoint.domain.problem import KINDS
from tests.fakes.canned_api import ID, CannedApi, refusal, view
from tests.fakes.clock import START
from tests.fakes.machine import Shell

ROUTE = f"GET /v1/activations/{ID}"


def shell_with(tmp_path: Path, answer: object) -> tuple[Shell, CannedApi]:
    api = CannedApi()
    api.lay(ROUTE, answer)
    return Shell(tmp_path, "alice", api), api


@pytest.mark.parametrize("kind", [kind.error for kind in KINDS], ids=lambda kind: kind.__name__)
def test_an_error_of_the_server_has_the_same_exit_code_here(
    tmp_path: Path, kind: type[CallpointError]
):
    """Every class of error crosses the wire and ends in its own exit code, with its way out."""
    error = kind("it is so", way_out="do this")
    shell, _ = shell_with(tmp_path, refusal(error))
    told = shell.run("status", ID)
    assert told.exit_code == exit_code(error)
    assert "it is so" in told.stderr
    assert "what to do: do this" in told.stderr
    assert told.stdout == ""


def test_a_denial_keeps_its_reasons(tmp_path: Path):
    """A person reads which rules refused, a script finds them in JSON."""
    error = DeniedError("no", reasons=("denied by `incident-must-name-target`: …",))
    shell, _ = shell_with(tmp_path, refusal(error))
    assert "incident-must-name-target" in shell.run("status", ID).stderr
    told = json.loads(shell.run("status", ID, "-o", "json").stderr)
    assert told["error"]["reasons"] == list(error.reasons)
    assert told["exit_code"] == 3


def test_all_wrong_lines_arrive(tmp_path: Path):
    """Several errors of a configuration arrive with their places."""
    both = ConfigErrors(
        (ConfigError("a", file="x.toml", line=1), ConfigError("b", file="y.toml", line=2))
    )
    shell, _ = shell_with(tmp_path, refusal(both))
    told = shell.run("status", ID)
    assert ("x.toml:1" in told.stderr, "y.toml:2" in told.stderr) == (True, True)


def test_a_defect_of_the_server_is_no_fault_of_the_caller(tmp_path: Path):
    """An internal error says that the server's log has more, and that Callpoint is unavailable."""
    shell, _ = shell_with(tmp_path, refusal(ZeroDivisionError("secret detail")))
    told = shell.run("status", ID)
    assert told.exit_code == 6
    assert "the server's log says more" in told.stderr


@pytest.mark.parametrize("status,code", [(502, 6), (404, 2), (401, 2), (403, 3), (302, 2)])
def test_a_page_of_somebody_else_is_judged_by_its_status(tmp_path: Path, status: int, code: int):
    """A proxy's page is no problem of ours: its status counts, and its text is not shown."""
    page = httpx.Response(status, text="<html>nginx</html>")
    shell, _ = shell_with(tmp_path, page)
    told = shell.run("status", ID)
    assert told.exit_code == code
    assert "nginx" not in told.stderr
    assert f"answered {status}" in told.stderr


def test_an_unknown_kind_is_still_an_error(tmp_path: Path):
    """A newer server's kind of error is said, as unavailable."""
    body = {"type": "urn:callpoint:error:new", "title": "New", "status": 422, "detail": "what"}
    answer = httpx.Response(
        422,
        content=msgspec.json.encode(body),
        headers={"content-type": "application/problem+json"},
    )
    told = shell_with(tmp_path, answer)[0].run("status", ID)
    assert (told.exit_code, "what" in told.stderr) == (6, True)


@pytest.mark.parametrize("content", [b"{", b'{"type": "about:blank", "title": "", "status": 400}'])
def test_a_problem_that_is_none_of_ours_is_judged_by_its_status(tmp_path: Path, content: bytes):
    """Problem documents of others, or broken ones, do not break the client."""
    headers = {"content-type": "application/problem+json"}
    answer = httpx.Response(400, content=content, headers=headers)
    assert shell_with(tmp_path, answer)[0].run("status", ID).exit_code == 2


def test_a_server_that_is_not_there(tmp_path: Path):
    """Connection refused asks whether `callpoint serve` runs and how another one is named."""
    shell, _ = shell_with(tmp_path, httpx.ConnectError("[Errno 111] Connection refused"))
    told = shell.run("status", ID)
    assert told.exit_code == 6
    assert "is `callpoint serve` running there?" in told.stderr
    assert "CALLPOINT_SERVER" in told.stderr


def test_a_certificate_that_is_not_trusted():
    """An unknown authority is told from a server that is down."""
    error = UnreachedError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")
    assert "SSL_CERT_FILE" in unreachable("https://x", error).way_out


def test_a_lost_answer_is_not_called_a_failure(tmp_path: Path):
    """A request without answer may have been done, and the caller is told to look."""
    shell, _ = shell_with(tmp_path, httpx.ReadTimeout(""))
    told = shell.run("status", ID)
    assert told.exit_code == 6
    assert "it may have been done: look with `callpoint status`" in told.stderr


def test_an_answer_of_another_shape(tmp_path: Path):
    """What is no answer of Callpoint's is said, without a traceback."""
    shell, _ = shell_with(tmp_path, {"id": 3})
    told = shell.run("status", ID)
    assert (told.exit_code, "check the address" in told.stderr) == (6, True)


@pytest.mark.parametrize(
    "seconds,says",
    [(-30, "30 s ahead of"), (90, "90 s behind"), (0, None), (30, None)],
    ids=["ahead", "behind", "right", "behind but tolerated"],
)
def test_a_wrong_clock_is_named(tmp_path: Path, seconds: int, says: str | None):
    """A refused signature says by how much the clocks differ, when that can be the cause."""
    date = format_datetime(START + timedelta(seconds=seconds), usegmt=True)
    shell, _ = shell_with(tmp_path, refusal(AuthenticationError("too old"), date=date))
    told = shell.run("status", ID)
    assert told.exit_code == 2
    assert ("this machine's clock" in told.stderr) == (says is not None)
    assert says is None or f"{says} the server's" in told.stderr


def test_a_server_that_does_not_say_its_time(tmp_path: Path):
    """A Date that is none is passed over."""
    shell, _ = shell_with(tmp_path, refusal(AuthenticationError("no"), date="yesterday"))
    assert shell.run("status", ID).exit_code == 2


@pytest.mark.parametrize(
    "address",
    ["callpoint.example", "ftp://x", "http://", "http://a b/", "http://[::1", "http://x:99999"],
)
def test_an_address_that_is_none(tmp_path: Path, address: str):
    """A server address without scheme or host is refused before anything is sent."""
    shell, api = shell_with(tmp_path, view())
    told = shell.run("--server", address, "status", ID)
    assert (told.exit_code, api.asked) == (2, [])


@pytest.mark.parametrize(
    "address,warns", [("http://callpoint.example", True), ("http://127.0.0.1:8750", False)]
)
def test_http_to_another_machine_is_warned_of(tmp_path: Path, address: str, warns: bool):
    """Requests in the clear to another machine are said on stderr, beside any answer."""
    shell, _ = shell_with(tmp_path, view())
    told = shell.run("--server", address, "status", ID, "-o", "json")
    assert ("is not https" in told.stderr) is warns
    assert json.loads(told.stdout)["id"] == ID


def test_every_request_is_signed_by_the_callers_key(tmp_path: Path):
    """Requests carry a signature by the key's principal over the exact body."""
    shell, api = shell_with(tmp_path, view())
    shell.run("status", ID)
    assert 'keyid="alice"' in api.asked[0].headers["signature-input"]
    assert api.asked[0].headers["content-digest"].startswith("sha-256=:")


def test_an_id_cannot_leave_its_place_in_the_path(tmp_path: Path):
    """What is no activation id is refused here; names of incidents become one path segment."""
    shell, api = shell_with(tmp_path, view())
    assert shell.run("status", "../kill").exit_code == 2
    shell.run("incident", "confirm", "../../kill?x")
    assert [r.url.raw_path for r in api.asked] == [b"/v1/incidents/..%2F..%2Fkill%3Fx/confirm"]
    told = shell.run("incident", "confirm", "..")
    assert (told.exit_code, "is no name" in told.stderr, len(api.asked)) == (2, True, 1)


def test_no_key_says_how_to_make_one(tmp_path: Path):
    """Without a key file the way out names keygen, --key and CALLPOINT_KEY."""
    shell, _ = shell_with(tmp_path, view())
    (shell.home / "key.json").unlink()
    told = shell.run("status", ID)
    assert told.exit_code == 2
    assert "callpoint keygen" in told.stderr
    assert "--key FILE or CALLPOINT_KEY" in told.stderr


def test_a_key_that_others_can_read_is_refused(tmp_path: Path):
    """The mode of the key file is checked, and the way out is the command that repairs it."""
    shell, api = shell_with(tmp_path, view())
    (shell.home / "key.json").chmod(0o644)
    told = shell.run("status", ID)
    assert (told.exit_code, api.asked) == (2, [])
    assert "chmod 600" in told.stderr


def test_strangers_words_cannot_steer_the_terminal(tmp_path: Path):
    """Control characters in what others wrote are shown as escapes."""
    shell, _ = shell_with(tmp_path, view(next="\x1b[2Jgone\u202e"))
    told = shell.run("status", ID)
    assert "\x1b" not in told.stdout
    assert "\\x1b[2Jgone\\u202e" in told.stdout
