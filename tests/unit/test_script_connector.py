"""The owner's program: what it is given, what it may answer, and when it is not run at all."""

import os
import stat
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from callpoint.adapters.targets.script.settings import ScriptRole, ScriptSettings
from callpoint.domain.errors import ConfigError, TargetRefusedError, TargetUnknownError
from callpoint.ports.credential import Attempt
from callpoint.ports.rotation import Rotation
from callpoint.ports.targets import MintRequest
from tests.fakes.appliance import INITIAL, Appliance


@pytest.fixture
def appliance(tmp_path):
    return Appliance(tmp_path)


def plan_of(connector):
    now = connector._clock.now()
    return connector.plan(MintRequest("abc123x1", "switch", "admin", now + timedelta(minutes=9)))


def change(secret="new-secret"):
    return Rotation(secret, (INITIAL,), 1, None)


async def test_secrets_are_on_standard_input_only(appliance):
    """No argument, no variable of ours and no folder of ours reaches the program."""
    os.environ["CALLPOINT_TEST_VARIABLE"] = "x"
    connector = appliance.connector()
    await connector.rotator.rotate(plan_of(connector), change())
    del os.environ["CALLPOINT_TEST_VARIABLE"]
    ((verb, arguments, variables, folder),) = appliance.state["seen"]
    assert (verb, arguments, folder) == ("set", [], "/")
    assert set(variables) <= {"LANG", "LC_CTYPE", "PATH"}


@pytest.mark.parametrize("fault", ["words", "noise", "not done", "unanswered"])
async def test_what_is_no_answer_is_unknown(appliance, fault):
    """Prose, a flood, a failing exit: perhaps done, never "refused"."""
    appliance.change(faults={"set": fault})
    connector = appliance.connector()
    with pytest.raises(TargetUnknownError):
        await connector.rotator.rotate(plan_of(connector), change())


async def test_a_program_that_hangs_is_ended_with_all_that_it_started(appliance):
    """After its limit it counts as unanswered, and its process is gone."""
    appliance.change(faults={"set": "slow"})
    connector = appliance.connector(seconds=0.3)
    began = time.monotonic()
    with pytest.raises(TargetUnknownError, match="did not answer within"):
        await connector.rotator.rotate(plan_of(connector), change())
    assert time.monotonic() - began < 3
    assert not _runs(appliance.program)


def _runs(program):
    lines = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended while we looked
            lines.append((place / "cmdline").read_bytes())
    return any(os.fsencode(program) in line for line in lines)


async def test_a_reason_that_repeats_a_secret_is_hidden(appliance):
    """An owner's mistake does not bring a secret into our log."""
    appliance.change(faults={"set": "gossip"})
    connector = appliance.connector()
    with pytest.raises(TargetRefusedError) as error:
        await connector.rotator.rotate(plan_of(connector), change())
    assert "new-secret" not in str(error.value)
    assert "repeats a secret" in str(error.value)


@pytest.mark.parametrize(
    "how", ["group writes", "others write the folder", "missing", "not executable"]
)
async def test_a_program_that_others_can_change_is_not_run(appliance, how):
    """Whoever could replace it would get every secret."""
    folder = appliance.program.parent
    match how:
        case "group writes":
            appliance.program.chmod(stat.S_IRWXU | stat.S_IWGRP)
        case "others write the folder":
            folder.chmod(stat.S_IRWXU | stat.S_IRWXO)
        case "missing":
            appliance.program.unlink()
        case _:
            appliance.program.chmod(stat.S_IRUSR)
    connector = appliance.connector()
    with pytest.raises(TargetRefusedError, match="the program"):
        await connector.rotator.rotate(plan_of(connector), change())
    assert appliance.state["seen"] == []


async def test_what_is_not_supported_is_said(appliance):
    """Sessions that nobody can see are None; the residual is unbounded until it is bounded."""
    appliance.change(sessions=None)
    connector = appliance.connector()
    plan = plan_of(connector)
    await connector.rotator.end_sessions(plan)
    assert (await connector.rotator.presence(plan)).sessions is None
    residual = await connector.residual()
    assert (residual.bound, "ends_sessions_within" in residual.way_out) == (None, True)
    appliance.change(ends=60)
    assert (await connector.residual()).bound == timedelta(seconds=60)


async def test_the_selftest_finds_a_program_that_accepts_anything(appliance):
    """It changes no secret, and a wrong one must be refused."""
    connector = appliance.connector()
    assert (await connector.selftest()).ok
    assert appliance.state["secret"] == INITIAL
    appliance.program.write_text(appliance.program.read_text().replace("if not right", "if False"))
    failed = [check.name for check in (await connector.selftest()).checks if not check.ok]
    assert failed == ["a wrong secret of admin"]
    tried = await connector.rotator.attempt(
        plan_of(connector), connector.rotator.credential(plan_of(connector), "x")
    )
    assert tried.attempt is Attempt.ACCEPTED


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/a b", "/", "/x/$(y)"])
def test_a_program_is_an_absolute_plain_path(path):
    """What is no such path is refused where settings are made."""
    with pytest.raises(ConfigError):
        ScriptSettings("switch", "abc123", path, {"admin": ScriptRole("admin")}, "switch.internal")
