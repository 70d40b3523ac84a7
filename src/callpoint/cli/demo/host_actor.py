"""What the actor does on the host: `callpoint connect`, and later with a copy of the credential."""

import subprocess
from collections.abc import Mapping, Sequence

import msgspec

from callpoint.cli.demo.errors import UnexpectedError, expect
from callpoint.cli.demo.stage import Stage
from callpoint.cli.invocation import Invocation
from callpoint.cli.machine import ThisMachine
from callpoint.cli.session import run_session
from callpoint.ports.box import SealedCredential

_OUT_OF_SCOPE = 126
NOT_LET_IN = 255
"""Status of ssh itself: its connection was refused, or cut."""

_LIMIT_SECONDS = 15.0


class HostActor:
    """Alice on the host, under one activation."""

    def __init__(self, made: Stage, who: str, activation: str) -> None:
        self._stage = made
        self._who = who
        self._activation = activation
        self._copy = made.folder / who / f"{activation}.json"

    def works(self, command: str) -> str:
        """Run what the owner's tool knows; what it said."""
        return self._connect(command, code=0)

    def is_refused(self, command: str) -> None:
        """Ask for something else: the host runs the owner's tool all the same, which says no."""
        said = self._connect(command, code=_OUT_OF_SCOPE)
        expect(f"not in scope: {command}" in said, "the host names what it did not run")

    def take_a_copy(self) -> None:
        """Somebody keeps the private key and its certificate, to come again later."""
        self._stage.shell.run(
            self._who, "credentials", self._activation, "--file", str(self._copy), show=False
        )
        done = self._with_copy("status")
        expect(done.returncode == 0, f"the copy logs in while the access lasts: {done.stderr}")

    def copy_is_dead(self) -> str:
        """Try the copy again; ssh's own words."""
        done = self._with_copy("status")
        expect(done.returncode == NOT_LET_IN, "the copied certificate is refused")
        expect("Permission denied (publickey)" in done.stderr, "sshd refuses the key itself")
        return done.stderr

    def long_session(self) -> "subprocess.Popen[str]":
        """A session that stays open until somebody ends it."""
        words = ("connect", self._activation, "--keep", "--", "follow")
        self._stage.narrator.typed(self._who, ["callpoint", *words])
        session = self._stage.shell.start(self._who, *words)
        if session.stdout is None:
            raise UnexpectedError("a session without output")
        for line in session.stdout:
            self._stage.narrator.seen(line)
            if "following" in line:
                return session
        raise UnexpectedError("the session ended before it began")

    def _connect(self, command: str, *, code: int) -> str:
        return self._stage.shell.run(
            self._who, "connect", self._activation, "--keep", "--", command, code=code
        )

    def _with_copy(self, command: str) -> "subprocess.CompletedProcess[str]":
        (sealed,) = msgspec.json.decode(self._copy.read_bytes(), type=list[SealedCredential])
        machine = _Listening()
        run_session(Invocation("", None, "text", machine), sealed, [command])
        if machine.done is None:
            raise UnexpectedError("ssh was not run")
        return machine.done


class _Listening(ThisMachine):
    """This machine, with what a program says kept and not shown."""

    def __init__(self) -> None:
        self.done: subprocess.CompletedProcess[str] | None = None

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
        self.done = subprocess.run(  # noqa: S603 -- ssh, as `callpoint connect` runs it
            arguments,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
        return self.done.returncode
