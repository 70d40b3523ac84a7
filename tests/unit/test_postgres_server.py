"""Finding PostgreSQL servers, with directories of shell scripts as servers."""

from pathlib import Path

import pytest

from callpoint.cli import postgres_server
from callpoint.cli.postgres_server import (
    ENVIRONMENT_KEY,
    Origin,
    PostgresServer,
    choose_server,
    find_servers,
    parse_version,
    read_version,
)
from callpoint.domain.errors import UnavailableError


def make_server(bindir: Path, version: str) -> Path:
    """A directory that answers `postgres -V` like a server."""
    bindir.mkdir(parents=True)
    for name in ("initdb", "postgres"):
        script = bindir / name
        script.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        script.chmod(0o755)
    return bindir


@pytest.fixture(autouse=True)
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the wheel that the test environment really has."""
    monkeypatch.setattr(postgres_server, "WHEEL", "no_such_wheel")


@pytest.mark.parametrize(
    "text,version",
    [
        ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", (15, 18)),
        ("postgres (PostgreSQL) 18.6", (18, 6)),
        ("postgres (PostgreSQL) 19beta2", (19, 0)),
        ("mysqld  Ver 8.0.36", None),
        ("", None),
    ],
)
def test_version_is_read(text: str, version: tuple[int, int] | None) -> None:
    """The version is taken from the server's own words, and nothing else passes for one."""
    assert parse_version(text) == version


def test_order_of_preference(tmp_path: Path) -> None:
    """The named directory comes first, then PATH, then packages from the newest down."""
    named = make_server(tmp_path / "named", "14.1")
    on_path = make_server(tmp_path / "path", "16.2")
    old = make_server(tmp_path / "lib" / "15" / "bin", "15.18")
    new = make_server(tmp_path / "lib" / "17" / "bin", "17.3")
    found = find_servers(
        {ENVIRONMENT_KEY: str(named), "PATH": str(on_path)}, patterns=(f"{tmp_path}/lib/*/bin",)
    )
    assert [server.bindir for server in found] == [named, on_path, new, old]
    assert [server.origin for server in found] == [
        *(Origin.ENVIRONMENT, Origin.PATH, Origin.SYSTEM, Origin.SYSTEM)
    ]
    assert choose_server(found).version == (14, 1)


def test_linked_initdb_leads_to_its_server_once(tmp_path: Path) -> None:
    """A lone link to initdb on PATH names the real directory, which is not listed twice."""
    real = make_server(tmp_path / "lib" / "15" / "bin", "15.18")
    links = tmp_path / "links"
    links.mkdir()
    (links / "initdb").symlink_to(real / "initdb")
    found = find_servers({"PATH": str(links)}, patterns=(f"{tmp_path}/lib/*/bin",))
    assert found == (PostgresServer((15, 18), real, Origin.PATH),)


def test_server_that_does_not_run_is_left_out(tmp_path: Path) -> None:
    """Binaries that fail, are missing or answer something else are not servers."""
    broken = make_server(tmp_path / "lib" / "15" / "bin", "15.18")
    (broken / "postgres").write_text("#!/bin/sh\nexit 1\n")
    (make_server(tmp_path / "lib" / "16" / "bin", "16.1") / "postgres").unlink()
    (make_server(tmp_path / "lib" / "17" / "bin", "17.1") / "initdb").unlink()
    assert find_servers({"PATH": ""}, patterns=(f"{tmp_path}/lib/*/bin",)) == ()
    assert read_version(tmp_path / "nowhere") is None


def test_named_directory_without_server_is_an_error(tmp_path: Path) -> None:
    """A wrong CALLPOINT_TEST_PG_BIN is told, and never replaced by another server in silence."""
    with pytest.raises(UnavailableError, match=ENVIRONMENT_KEY):
        find_servers({ENVIRONMENT_KEY: str(tmp_path), "PATH": ""}, patterns=())


def test_no_server_says_what_to_install() -> None:
    """Without any server the error names the package, the extra and the variable."""
    with pytest.raises(UnavailableError, match=r"postgresql.*callpoint\[demo\].*CALLPOINT_TEST"):
        choose_server(())
