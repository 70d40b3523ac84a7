"""Running the owner's program: no shell, nothing on its command line, an empty environment.

It gets one question on standard input and has a few seconds. Its standard error is thrown away: it
could hold a secret, and a program that wants to be read writes a log of its own. Whatever it leaves
running is killed with it.
"""

import asyncio
import os
import signal
import stat
from contextlib import suppress
from pathlib import Path

import msgspec

from callpoint.adapters.targets.script.protocol import (
    ANSWER_LIMIT,
    PROTOCOL,
    WHY_LIMIT,
    Answer,
    Question,
    Result,
    decode,
    encode,
)
from callpoint.adapters.targets.script.settings import ScriptSettings
from callpoint.domain.errors import TargetRefusedError, TargetUnknownError
from callpoint.domain.untrusted import printable

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class Program:
    """The executable of one target."""

    def __init__(self, settings: ScriptSettings) -> None:
        self._settings = settings
        self._path = Path(settings.program)

    async def ask(self, question: Question) -> Answer:
        """Run it once.

        Raises:
            TargetRefusedError: It answered ``refused``, or must not be run: nothing was changed.
            TargetUnknownError: It did not answer in time or in the protocol, or said ``unknown``.
        """
        self.must_be_safe()
        asked = msgspec.structs.replace(question, protocol=PROTOCOL, target=self._settings.name)
        answer = decode(await self._run(encode(asked)))
        if answer is None:
            raise self._unknown(f"{question.verb.value} was not answered in the protocol")
        why = _harmless(answer.why, question)
        match answer.result:
            case Result.REFUSED if question.secret == "":
                raise TargetRefusedError(
                    f"{self._settings.name} refused {question.verb.value}: {why or 'no reason'}",
                    target=self._settings.name,
                    code="refused",
                )
            case Result.UNKNOWN if question.secret == "":
                raise self._unknown(f"{question.verb.value}: {why or 'unknown'}")
            case _:
                return msgspec.structs.replace(answer, why=why)

    def must_be_safe(self) -> None:
        """Whoever can change the program gets every secret: only root and we may.

        Raises:
            TargetRefusedError: It is missing, no executable file, or others can change it.
        """
        try:
            # Also the folders: whoever can rename files in one can put another one there.
            places = [place.stat() for place in (self._path, *self._path.parents)]
        except OSError as error:
            raise self._unusable(f"cannot be read ({type(error).__name__})") from error
        if not stat.S_ISREG(places[0].st_mode) or not os.access(self._path, os.X_OK):
            raise self._unusable("is no executable file")
        if any(_others_can_change(place) for place in places):
            raise self._unusable("or a folder above it can be changed by others than root and us")

    async def _run(self, line: bytes) -> bytes:
        try:
            process = await asyncio.create_subprocess_exec(
                self._path,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise self._unusable(f"cannot be run ({type(error).__name__})") from error
        try:
            async with asyncio.timeout(self._settings.limit.total_seconds()):
                return await _exchange(process, line)
        except TimeoutError as error:
            raise self._unknown(
                f"the program did not answer within {self._settings.limit.seconds} s"
            ) from error
        finally:
            # The whole group: also what the program started and left behind.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())

    def _unknown(self, words: str) -> TargetUnknownError:
        return TargetUnknownError(f"{self._settings.name}: {words}", target=self._settings.name)

    def _unusable(self, words: str) -> TargetRefusedError:
        return TargetRefusedError(
            f"the program {self._settings.program} of {self._settings.name} {words}",
            target=self._settings.name,
            code="program",
            way_out="make it an executable file that only root or the server's user can write",
        )


def _others_can_change(place: os.stat_result) -> bool:
    writable = place.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    # In a sticky folder such as /tmp nobody renames what belongs to somebody else.
    is_sticky = stat.S_ISDIR(place.st_mode) and place.st_mode & stat.S_ISVTX
    return bool(writable and not is_sticky) or place.st_uid not in {0, os.geteuid()}


async def _exchange(process: asyncio.subprocess.Process, line: bytes) -> bytes:
    """Everything that it answers, at most the limit; empty when it failed or says too much."""
    if process.stdin is None or process.stdout is None:
        return b""
    with suppress(BrokenPipeError, ConnectionResetError):  # it may end without having read
        process.stdin.write(line)
        await process.stdin.drain()
        process.stdin.close()
    answer = b""
    while chunk := await process.stdout.read(ANSWER_LIMIT):
        answer += chunk
        if len(answer) > ANSWER_LIMIT:
            return b""
    return answer if await process.wait() == 0 else b""


def _harmless(why: str, question: Question) -> str:
    if any(secret in why for secret in question.secrets):
        return "(hidden: the program repeats a secret)"
    return printable(why, WHY_LIMIT)
