"""Commands that the program tells people to run can be copied as they stand."""

import shlex
from pathlib import Path

import pytest

from callpoint.bootstrap.home import Home
from callpoint.bootstrap.shell_word import shell_word
from callpoint.domain.errors import ConfigError


def test_a_path_without_a_space_stands_as_it_is() -> None:
    """What needs no quotes gets none."""
    assert shell_word(Path("/var/lib/callpoint")) == "/var/lib/callpoint"


def test_a_folder_with_a_space_is_one_word_of_the_way_out(tmp_path: Path) -> None:
    """The command of the way out names the folder also where its name has a space or a quote."""
    folder = tmp_path / "on call's home"

    with pytest.raises(ConfigError) as told:
        Home(folder).installation()

    command = told.value.way_out.split("`")[1]
    assert shlex.split(command)[:4] == ["callpoint", "init", "--home", str(folder)]
