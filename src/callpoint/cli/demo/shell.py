"""Somebody at a terminal: runs the real ``callpoint`` command and shows what was typed and seen."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callpoint.cli.demo.errors import UnexpectedError
from callpoint.cli.demo.narrator import Narrator

_LIMIT_SECONDS = 120


@dataclass(frozen=True)
class Shell:
    """The terminals of all people.

    Attributes:
        home: One folder a person, with the key file and what the client keeps.
        environment: What all of them have.
    """

    narrator: Narrator
    home: Path
    environment: Mapping[str, str]

    def run(self, who: str, *words: str, code: int = 0, show: bool = True) -> str:
        """Type ``callpoint words``; returns what was seen on both streams.

        Raises:
            UnexpectedError: It ended with another exit code than the story expects.
        """
        if show:
            self.narrator.typed(who, ["callpoint", *words])
        return self.finish(self.start(who, *words), *words, code=code, show=show)

    def finish(
        self, begun: "subprocess.Popen[str]", *words: str, code: int = 0, show: bool = True
    ) -> str:
        """Wait for what was started with these words; as ``run``."""
        out, _ = begun.communicate(timeout=_LIMIT_SECONDS)
        if show:
            self.narrator.seen(out)
        if begun.returncode != code:
            said = " ".join(["callpoint", *words])
            raise UnexpectedError(f"`{said}` ended with {begun.returncode}, not {code}:\n{out}")
        return out

    def json(self, who: str, *words: str) -> Any:  # noqa: ANN401 -- whatever JSON the verb prints
        """The same without showing it, as data."""
        done = self.start(who, *words, "-o", "json", stderr=subprocess.PIPE)
        out, err = done.communicate(timeout=_LIMIT_SECONDS)
        if done.returncode != 0:
            raise UnexpectedError(f"`callpoint {' '.join(words)}`: {err or out}")
        return json.loads(out)

    def start(
        self, who: str, *words: str, stderr: int = subprocess.STDOUT
    ) -> "subprocess.Popen[str]":
        """Type it and do not wait."""
        return subprocess.Popen(  # noqa: S603 -- our own program, in its own words
            [sys.executable, "-m", "callpoint", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=self.home,
            env=self.environment_of(who),
        )

    def environment_of(self, who: str) -> dict[str, str]:
        """The environment of somebody's terminal."""
        own = self.home / who
        return {
            **os.environ,
            **self.environment,
            "CALLPOINT_KEY": str(self.key_file(who)),
            "CALLPOINT_STATE": str(own),
        }

    def key_file(self, who: str) -> Path:
        """Somebody's key."""
        return self.home / who / "key.json"
