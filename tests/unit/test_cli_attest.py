"""`callpoint attest`: a governor's word about a target that is gone."""

import json
from pathlib import Path

from callpoint.api.messages import Attested
from callpoint.domain.errors import ConflictError
from callpoint.domain.lease import LeaseState
from tests.fakes.canned_api import CannedApi, refusal
from tests.fakes.machine import Shell

LEASE = "abc123zjxu1wczrpu200"
ATTEST = f"POST /v1/leases/{LEASE}/attest"


def shell_with(tmp_path: Path, answer: object) -> tuple[Shell, CannedApi]:
    api = CannedApi()
    api.lay(ATTEST, answer)
    return Shell(tmp_path, "gina", api), api


def test_a_first_word_says_who_is_missing(tmp_path: Path):
    """The account as `status` shows it is taken, and one more governor is asked for."""
    said = Attested(LEASE, "orders-db", LeaseState.ENDING, ("gina",), 2)
    shell, api = shell_with(tmp_path, said)
    told = shell.run("attest", f"cp_{LEASE}", "--because", "it was deleted", "--yes")
    assert told.exit_code == 0
    assert f"1 more governor must attest: `callpoint attest {LEASE}`" in told.stdout
    assert json.loads(api.bodies(ATTEST)[0]) == {"because": "it was deleted"}


def test_the_second_word_closes_it(tmp_path: Path):
    """What is closed without proof is said to be a matter for the review."""
    said = Attested(LEASE, "orders-db", LeaseState.ENDED, ("gina", "hugo"), 2)
    shell, _ = shell_with(tmp_path, said)
    told = shell.run("attest", LEASE, "--because", "it was deleted", "--yes")
    assert (told.exit_code, "not proven dead" in told.stdout) == (0, True)


def test_a_target_that_answers_has_the_conflict_code(tmp_path: Path):
    """A refusal keeps its class, and so its exit code."""
    shell, _ = shell_with(tmp_path, refusal(ConflictError("orders-db answers: no")))
    assert shell.run("attest", LEASE, "--because", "it was deleted", "--yes").exit_code == 4
