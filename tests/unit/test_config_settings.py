"""Settings of a server process: defaults, limits, and what is refused."""

from datetime import timedelta
from pathlib import Path

import pytest

from callpoint.cli.keyring import state_directory
from callpoint.config.settings import FILE, Settings, StoreKind, home_directory, load_settings
from callpoint.domain.errors import ConfigError, ConfigErrors, RequestError


def loaded(home: Path, text: str) -> Settings:
    (home / FILE).write_text(text)
    return load_settings(home)


def errors_of(home: Path, text: str) -> list[tuple[str, int | None, str]]:
    with pytest.raises(ConfigErrors) as told:
        loaded(home, text)
    assert all(e.way_out and e.file == str(home / FILE) for e in told.value.errors)
    return [(e.key, e.line, e.message) for e in told.value.errors]


def test_everything_has_a_default(tmp_path: Path):
    """A home without server.toml starts the embedded server on loopback."""
    assert load_settings(tmp_path) == Settings(
        home=tmp_path,
        store=StoreKind.SQLITE,
        store_dsn_env="",
        host="127.0.0.1",
        port=8750,
        behind_proxy=False,
        sweep_for=timedelta(seconds=1),
        reconcile_for=timedelta(minutes=1),
        claim_for=timedelta(minutes=1),
        stop_for=timedelta(seconds=10),
    )
    assert load_settings(tmp_path).sqlite_path.parent == tmp_path
    assert load_settings(tmp_path).checkpoint_file == tmp_path / "checkpoint"


def test_what_is_written_holds(tmp_path: Path):
    """Each table can be set."""
    found = loaded(
        tmp_path,
        '[store]\nkind = "postgresql"\ndsn = { env = "STORE_DSN" }\n'
        'checkpoint = "/other/disk"\n'
        '[listen]\nhost = "::1"\nport = 1\npublic = ["https://callpoint.example"]\n'
        '[notify]\nwebhook = { env = "HOOK" }\n[workers]\nsweep = "2s"\n',
    )
    assert found.checkpoint_file == Path("/other/disk")
    assert (found.public, found.notify_env) == (("https://callpoint.example",), "HOOK")
    assert (found.store, found.store_dsn_env) == (StoreKind.POSTGRESQL, "STORE_DSN")
    assert (found.host, found.port, found.sweep_for) == ("::1", 1, timedelta(seconds=2))


@pytest.mark.parametrize(
    "text,key,line,says",
    [
        ("[sotre]", "sotre", 1, "unknown key"),
        ("[listen]\nprot = 1", "listen.prot", 2, "unknown key"),
        ("[listen]\nport = 70000", "listen.port", 2, "out of limits"),
        ('[workers]\nsweep = "1h"', "workers.sweep", 2, "out of limits"),
        ('[store]\nkind = "mysql"', "store.kind", 2, "is not a choice"),
        ('[store]\nkind = "postgresql"', "store.dsn", 1, "is missing"),
        ('[store]\ndsn = { env = "X" }', "store.dsn", 2, "goes with postgresql"),
        ('[store]\ndsn = "postgresql://a:b@c"', "store.dsn", 2, "a secret is written out"),
        ('[listen]\nhost = "0.0.0.0"', "listen.host", 2, "not a loopback address"),
        ('[listen]\nhost = "db.example.net"', "listen.host", 2, "not a loopback address"),
        ("listen = 1", "listen", 1, "is an integer"),
        ("[listen]\nbehind_proxy = true", "listen.public", 1, "is missing"),
        ('[listen]\npublic = ["callpoint.example"]', "listen.public[0]", 2, "has another form"),
        ('[notify]\nwebhook = "https://a.example/t"', "notify.webhook", 2, "a secret"),
        ('[store]\ncheckpoint = "here"', "store.checkpoint", 2, "has another form"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, key: str, line: int, says: str):
    """Each mistake names file, line, key and the way out."""
    ((found, at, message),) = errors_of(tmp_path, text)
    assert (found, at) == (key, line)
    assert says in message


def test_behind_a_proxy_any_address_will_do(tmp_path: Path):
    """Whoever says that a proxy ends TLS may listen anywhere; localhost needs no proxy."""
    open_to_all = '[listen]\nhost = "0.0.0.0"\nbehind_proxy = true\npublic = ["https://a.b"]'
    assert loaded(tmp_path, open_to_all).host == "0.0.0.0"  # noqa: S104 -- what is tested
    assert loaded(tmp_path, '[listen]\nhost = "localhost"').host == "localhost"


def test_a_file_that_cannot_be_read(tmp_path: Path):
    """What the system refuses is told; it is not taken for an absent file."""
    (tmp_path / FILE).mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path)


def test_where_home_is():
    """The option goes before the variable, and that before the user's own directory."""
    known = {"CALLPOINT_HOME": "/srv/callpoint", "HOME": "/home/ann"}
    assert home_directory("/x", known) == Path("/x")
    assert home_directory(None, known) == Path("/srv/callpoint")
    assert home_directory(None, {"HOME": "/home/ann"}) == Path("/home/ann/.callpoint/server")
    with pytest.raises(RequestError):
        home_directory(None, {})


def test_server_and_client_share_no_folder(monkeypatch: pytest.MonkeyPatch):
    """Both keep a `keys/`: neither's default place is the other's."""
    monkeypatch.setenv("HOME", "/home/ann")
    home, state = home_directory(None, {"HOME": "/home/ann"}), state_directory({})
    assert home / "keys" != state / "keys"
    assert {child.name for child in (home, *home.parents) if child.parent == state} == {"server"}
