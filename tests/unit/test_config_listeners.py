"""Settings of gateways: inside a server, and of one that runs alone."""

from pathlib import Path

import pytest

from callpoint.config.listeners import AuthorityPlace, PostgresListener, load_gateway
from callpoint.config.settings import FILE, load_settings
from callpoint.domain.errors import ConfigError, ConfigErrors
from tests.fakes.keys import Signer

KEY = Signer("token-key").public
ALONE = f"""
[authority]
servers = ["https://callpoint.example", "http://127.0.0.1:8750"]
key = "/etc/callpoint/edge.json"
certificates = "/etc/callpoint/roots.pem"
lost_after = 5
token_keys = ["{KEY}"]

[postgresql]
name = "front"
listen = "[::]:6432"
tls_certificate = "/etc/callpoint/front.pem"
tls_key = "/etc/callpoint/front.key"
target_certificates = "/etc/callpoint/targets.pem"
search_path = ["orders", "public"]
connections = 20
"""


def test_a_gateway_that_runs_alone(tmp_path: Path):
    """Each setting holds, and the file has all that the process is told."""
    file = tmp_path / "gateway.toml"
    file.write_text(ALONE)
    place, listener = load_gateway(file)
    assert place == AuthorityPlace(
        ("https://callpoint.example", "http://127.0.0.1:8750"),
        Path("/etc/callpoint/edge.json"),
        "/etc/callpoint/roots.pem",
        5,
        (KEY,),
    )
    assert listener == PostgresListener(
        name="front",
        host="::",
        port=6432,
        tls_certificate="/etc/callpoint/front.pem",
        tls_key="/etc/callpoint/front.key",
        target_certificates="/etc/callpoint/targets.pem",
        search_path=("orders", "public"),
        connections=20,
    )


def test_a_gateway_inside_the_server(tmp_path: Path):
    """It is named in server.toml, or there is none."""
    assert load_settings(tmp_path).gateway is None
    (tmp_path / FILE).write_text('[gateway.postgresql]\nname = "front"\n')
    assert load_settings(tmp_path).gateway == PostgresListener("front", "127.0.0.1", 6432)


@pytest.mark.parametrize(
    "was, now, key, says",
    [
        ("https://callpoint.example", "http://callpoint.example", "authority.servers[0]", "clear"),
        ('servers = ["https', 'servers = ["ftp', "authority.servers[0]", "another form"),
        ('key = "/etc/callpoint/edge.json"', "", "authority.key", "is missing"),
        ('\nkey = "/etc', '\nkey = "etc', "authority.key", "another form"),
        ("[authority]", '[store]\ndsn = "x"\n[authority]', "store", "unknown key"),
        ("[authority]\n", '[authority]\ndsn = "x"\n', "authority.dsn", "unknown key"),
        ('name = "front"', "", "postgresql.name", "is missing"),
        ("6432", "65536", "postgresql.listen", "no TCP port"),
        ("[::]:6432", "6432", "postgresql.listen", "another form"),
        ('tls_key = "/etc/callpoint/front.key"', "", "postgresql.tls_key", "missing beside"),
        (
            'tls_certificate = "/etc/callpoint/front.pem"',
            "",
            "postgresql.tls_certificate",
            "beside",
        ),
        ("connections = 20", "connections = 0", "postgresql.connections", "out of limits"),
        ('"orders", "public"', '"Orders"', "postgresql.search_path[0]", "another form"),
    ],
)
def test_what_is_refused(tmp_path: Path, was: str, now: str, key: str, says: str):
    """Each mistake names its key; a store's or a target's secret has no place to be written."""
    file = tmp_path / "gateway.toml"
    assert was in ALONE
    file.write_text(ALONE.replace(was, now))
    with pytest.raises(ConfigErrors) as told:
        load_gateway(file)
    assert [(e.key, says in e.message) for e in told.value.errors] == [(key, True)]
    assert all(e.way_out for e in told.value.errors)


@pytest.mark.parametrize(
    "text, key",
    [
        ("gateway = 1", "gateway"),
        ("[gateway]", "gateway"),
        ('[gateway.ssh]\nname = "x"\n[gateway.postgresql]\nname = "front"', "gateway.ssh"),
        ('[gateway.postgresql]\nlisten = "0.0.0.0:6432"\nname = "x"', "tls_certificate"),
    ],
)
def test_what_is_refused_inside_the_server(tmp_path: Path, text: str, key: str):
    """A gateway that does not exist, or that a network could listen in on, does not start."""
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ConfigErrors) as told:
        load_settings(tmp_path)
    assert [e.key.endswith(key) for e in told.value.errors] == [True]


def test_a_file_that_is_not_there(tmp_path: Path):
    """It is named."""
    with pytest.raises(ConfigError, match=r"none\.toml.*cannot be read"):
        load_gateway(tmp_path / "none.toml")
