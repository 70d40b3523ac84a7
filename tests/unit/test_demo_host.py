"""The demo's second target, on a machine that cannot play one."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from callpoint.cli.demo.narrator import Narrator
from callpoint.cli.demo.stage import host_or_reason
from callpoint.cli.sshd_server import ENVIRONMENT_KEY


def test_without_an_sshd_the_act_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """One sentence says so and what would bring it; nothing of it is begun."""
    monkeypatch.setenv(ENVIRONMENT_KEY, str(tmp_path / "no-sshd"))
    with ExitStack() as ends:
        assert host_or_reason(Narrator(), tmp_path / "host", ends) is None
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1
    assert said[0].startswith("Left out is the host under repair: ")
    assert not (tmp_path / "host").exists()
